"""One small tree of errors. Each says what was wrong, where, what was kept, and what to do next, in one line."""

from __future__ import annotations


class ContinuumError(Exception):
    """Root of the tree.

    Parameters
    ----------
    what: what was wrong, without a full stop.
    where: the thing it happened to (`cluster eu-eks`, `fleet.yaml:12 clusters[0].site`).
    fix: what a person can do next.
    retryable: whether the same call may succeed later without anybody changing anything.

    >>> str(Refused("desired 40 is above max_nodes 20", where="pool eu-eks/web", fix="raise max_nodes"))
    'pool eu-eks/web: desired 40 is above max_nodes 20. To mend it: raise max_nodes'
    """

    retryable = False

    def __init__(self, what: str, *, where: str = "", fix: str = "", retryable: bool | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        if retryable is not None:
            self.retryable = retryable
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. To mend it: {self.fix}" if self.fix else head


class InvalidInput(ContinuumError):
    """Something from outside (file, form, body) does not fit its schema."""


class NotConfigured(ContinuumError):
    """A setting, extra or credential that this step needs is absent."""


class Refused(ContinuumError):
    """A guard rail said no: bounds, cooldown, freeze, hands-off, stale data, budget."""


class Unreachable(ContinuumError):
    """No usable answer: connection refused, time-out, HTML from a proxy, 5xx."""

    retryable = True


class TimedOut(Unreachable):
    """The answer did not come in time; the work may still be going on: poll, do not repeat."""


class Unauthorized(ContinuumError):
    """401 or 403: reported, never retried."""


class NotFound(ContinuumError):
    """404: the object is not there."""


class Conflict(ContinuumError):
    """409 or 412: somebody else changed it, or holds it; read again before deciding anything."""


class Throttled(ContinuumError):
    """429 or the cloud's own throttling."""

    retryable = True

    def __init__(self, what: str, *, retry_after_s: float = 1.0, where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.retry_after_s = retry_after_s


class CloudRefused(ContinuumError):
    """The cloud refuses for good: quota, capacity, parameter out of range."""


class OperationFailed(ContinuumError):
    """An asynchronous operation was accepted and ended in failure."""


class StoreUnavailable(ContinuumError):
    """The store is locked, full or gone."""

    retryable = True
