"""A Lease as a lock: taken, renewed and given back by compare-and-set on its resourceVersion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from blocks.errors import Conflict, NotFound
from blocks.kubernetes.connection import Connection, Object, path_of

MICROTIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # the API refuses other precisions


@dataclass(frozen=True)
class Lease:
    """A lock as it was last written.

    Attributes
    ----------
    holder: whose it is; empty where it was given back.
    version: resourceVersion; a write with an older one is refused.
    renewed: when the holder last wrote it, UTC, by the holder's clock.
    duration_s: how long it holds after `renewed`.
    transitions: how often it changed hands: a fencing token that only grows.
    """

    name: str
    namespace: str
    holder: str
    version: str
    renewed: datetime
    duration_s: int
    transitions: int

    def free(self, now: datetime) -> bool:
        """Whether anybody may take it."""
        return not self.holder or now >= self.renewed + timedelta(seconds=self.duration_s)


class LeaseVerbs(Connection):
    """Acquire, renew and release; `Conflict` always means that it is not ours (any more)."""

    def lease(self, name: str, namespace: str = "default") -> Lease | None:
        """The lease as it stands, or None."""
        try:
            return _lease(self.get("leases", name, namespace))
        except NotFound:
            return None

    def acquire_lease(self, name: str, holder: str, duration_s: int, namespace: str = "default") -> Lease:
        """Take a lease that is absent, given back, expired or already ours.

        Expiry compares the holder's clock with this one's: keep `duration_s` well above the skew of the two.

        Raises
        ------
        Conflict: somebody holds it, or was quicker.
        """
        now = self._now()
        held = self.lease(name, namespace)
        if held is None:
            try:
                body = _body(name, holder, duration_s, now, acquired=now, transitions=0)
                return _lease(self.request("POST", path_of("leases", namespace=namespace), body=body))
            except Conflict:
                raise self._taken(name, "somebody who was quicker") from None
        if held.holder != holder and not held.free(now):
            raise self._taken(name, held.holder)
        changes = held.transitions + (held.holder != holder)
        return self._write(held, _body(name, holder, duration_s, now, acquired=now, transitions=changes))

    def renew_lease(self, lease: Lease) -> Lease:
        """Hold it for another `duration_s` from now; `Conflict` where somebody wrote it since."""
        body = _body(lease.name, lease.holder, lease.duration_s, self._now(), transitions=lease.transitions)
        return self._write(lease, body)

    def release_lease(self, lease: Lease) -> None:
        """Give it back; `Conflict` where it was no longer ours."""
        self._write(lease, _body(lease.name, "", 1, self._now(), transitions=lease.transitions))

    def _write(self, lease: Lease, body: Object) -> Lease:
        body["metadata"]["resourceVersion"] = lease.version
        try:
            return _lease(self.request("PUT", path_of("leases", lease.name, lease.namespace), body=body))
        except (Conflict, NotFound):
            raise self._taken(lease.name, "somebody who wrote it since") from None

    def _taken(self, name: str, holder: str) -> Conflict:
        return Conflict(
            f"lease {name} is held by {holder}", where=self._where, fix="wait until it is given back or expires"
        )


def _body(
    name: str, holder: str, duration_s: int, renewed: datetime, *, transitions: int, acquired: datetime | None = None
) -> Object:
    spec: Object = {
        "holderIdentity": holder,
        "leaseDurationSeconds": duration_s,
        "renewTime": renewed.strftime(MICROTIME),
        "leaseTransitions": transitions,
    }
    if acquired is not None:
        spec["acquireTime"] = acquired.strftime(MICROTIME)
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def _lease(obj: Object) -> Lease:
    """The lease of an API object; one that was never renewed counts as renewed at the epoch, so it is free."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    return Lease(
        name=metadata["name"],
        namespace=metadata["namespace"],
        holder=spec.get("holderIdentity") or "",
        version=metadata["resourceVersion"],
        renewed=datetime.fromisoformat(spec.get("renewTime") or "1970-01-01T00:00:00+00:00"),
        duration_s=int(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
    )
