"""What keeps flows out of each other's way: freezes, leases, reservations and the fleet-wide disruption budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, text, update
from sqlmodel import Session, col, select

from blocks.errors import Conflict, NotFound, Refused
from blocks.store.database import Database
from blocks.store.owner import is_gone, new_owner
from blocks.store.tables import UNFINISHED, Disruption, Freeze, Hold, Intent, Lease, Reservation, now

_BUDGET_LOCK = 0x64697372757074  # PostgreSQL advisory lock that orders the takers of the budget
_LEASE_LOCK = 0x6C65617365


def covers(scope: str, subject: str) -> bool:
    """Whether a frozen scope forbids acting on a subject: the subject lies in it, or holds it.

    >>> covers("*", "eu-eks/web"), covers("eu-eks", "eu-eks/web"), covers("eu-eks", "eu-eks-2/web")
    (True, True, False)
    >>> covers("eu-eks/web", "eu-eks")
    True
    """
    return scope in ("*", subject) or subject.startswith(f"{scope}/") or scope.startswith(f"{subject}/")


class Guards:
    """The shared guard rails, as one owner sees them.

    Parameters
    ----------
    owner: who asks; default: a new name for this process ("HOST:PID:START:RANDOM").
    clock: gives the present, timezone-aware UTC. It is real time, also where the fleet is simulated.
    lease_s: how long an intent or a budget share stays ours without a heartbeat, seconds. Clocks of hosts that share
        a store must agree to well within it.
    """

    def __init__(self, store: Database, owner: str | None = None, *, clock: Callable[[], datetime] = now,
                 lease_s: float = 120) -> None:  # fmt: skip
        self.store, self.owner, self.clock, self.lease_s = store, owner or new_owner(), clock, lease_s

    def _until(self, seconds: float | None = None) -> datetime:
        return self.clock() + timedelta(seconds=self.lease_s if seconds is None else seconds)

    def _in_turn(self, session: Session, lock: int) -> None:
        """Let one transaction at a time past here. SQLite's writers already queue at BEGIN IMMEDIATE."""
        if not self.store.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})

    # Freezes

    def freeze(self, scope: str = "*", until: datetime | None = None, *, reason: str = "", by: str = "") -> Freeze:
        """Stop all acting inside `scope` at the next step; a freeze of the same scope is replaced."""
        frozen = Freeze(scope=scope, reason=reason, by=by, at=self.clock(), until=until)
        with self.store.write() as session:
            session.merge(frozen)
        return frozen

    def thaw(self, scope: str = "*") -> None:
        """End the freeze of exactly this scope.

        Raises
        ------
        NotFound: it is not frozen.
        """
        with self.store.write() as session:
            found = session.get(Freeze, scope)
            if found is None:
                raise NotFound("is not frozen", where=f"scope {scope}", fix="see `continuum journal list` for what is")
            session.delete(found)

    def freezes(self) -> list[Freeze]:
        """Every freeze in force, by scope."""
        with self.store.read() as session:
            return self._freezes(session)

    def frozen(self, subject: str) -> Freeze | None:
        """The freeze that forbids acting on the subject now, if any."""
        with self.store.read() as session:
            return self._frozen(session, subject)

    def _freezes(self, session: Session) -> list[Freeze]:
        present = self.clock()
        return [row for row in session.exec(select(Freeze).order_by(col(Freeze.scope)))
                if row.until is None or row.until > present]  # fmt: skip

    def _frozen(self, session: Session, subject: str) -> Freeze | None:
        return next((row for row in self._freezes(session) if covers(row.scope, subject)), None)

    # Leases

    def acquire(self, name: str, ttl_s: float) -> Lease:
        """Take or extend the lease `name`. Its `token` grows with every new holding.

        Raises
        ------
        Conflict: another owner holds it.
        """
        present = self.clock()
        with self.store.write() as session:
            self._in_turn(session, _LEASE_LOCK)
            lease = session.get(Lease, name) or Lease(name=name, owner="", token=0, ttl_s=ttl_s, until=present)
            held = lease.owner != "" and lease.until > present
            if held and lease.owner != self.owner and not is_gone(lease.owner):
                raise Conflict(f"is held by {lease.owner} until {lease.until:%Y-%m-%d %H:%M:%S} UTC",
                               where=f"lease {name}", fix="wait until then")  # fmt: skip
            if not held or lease.owner != self.owner:
                lease.token += 1
            lease.owner, lease.ttl_s, lease.until = self.owner, ttl_s, present + timedelta(seconds=ttl_s)
            session.add(lease)
        return lease

    def release(self, name: str) -> None:
        """Give the lease back; nothing happens where it is not ours. The row stays, so that its token never falls."""
        with self.store.write() as session:
            session.execute(update(Lease).where(col(Lease.name) == name, col(Lease.owner) == self.owner)
                            .values(owner="", until=self.clock()))  # fmt: skip

    # Reservations

    def reserve(self, scope: str, amount: float, unit: str, *, flow: str, until: datetime) -> Reservation:
        """Write down that `flow` will use `amount` (in `unit`, e.g. `nodes`, `cpu_cores`) of `scope` until a time."""
        reservation = Reservation(scope=scope, unit=unit, amount=amount, flow=flow, owner=self.owner, until=until)
        with self.store.write() as session:
            session.execute(delete(Reservation).where(col(Reservation.until) <= self.clock()))
            session.add(reservation)
        return reservation

    def release_reservation(self, reservation_id: str) -> None:
        """Give reserved capacity back; nothing happens where it is gone already."""
        with self.store.write() as session:
            session.execute(delete(Reservation).where(col(Reservation.id) == reservation_id))

    def reserved(self, unit: str, *, but_not_by: str = "") -> dict[str, float]:
        """Sum of the active reservations by scope, in `unit`, leaving out those of one flow."""
        query = (select(Reservation.scope, func.sum(Reservation.amount))
                 .where(col(Reservation.unit) == unit, col(Reservation.until) > self.clock(),
                        col(Reservation.flow) != but_not_by).group_by(Reservation.scope))  # fmt: skip
        with self.store.read() as session:
            return {scope: float(amount) for scope, amount in session.exec(query)}

    # What actuators hold up

    def keep_hold(self, hold: Hold) -> None:
        """Write down what an actuator holds up; the same subject, kind and fleet again replaces the older."""
        with self.store.write() as session:
            session.merge(hold)

    def drop_hold(self, hold: Hold) -> None:
        """Forget a hold that was taken back; nothing happens where there is none."""
        mine = (col(Hold.subject) == hold.subject, col(Hold.kind) == hold.kind, col(Hold.fleet) == hold.fleet)
        with self.store.write() as session:
            session.execute(delete(Hold).where(*mine))

    def holds(self, fleet: str) -> list[Hold]:
        """Everything that is held up in a fleet, by subject."""
        with self.store.read() as session:
            return list(session.exec(select(Hold).where(Hold.fleet == fleet).order_by(col(Hold.subject))))

    # The disruption budget

    def disrupt(self, scope: str, nodes: int, *, limit_ratio: float, fleet_nodes: int, intent: Intent | None = None,
                ttl_s: float | None = None) -> Disruption:  # fmt: skip
        """Take `nodes` out of the fleet-wide budget: limit_ratio x fleet_nodes, at least one node where the ratio > 0.

        A share bound to an intent lasts until the intent is finished, also when its owner dies: nodes that nobody has
        put back are still disrupted. Any other share ends after `ttl_s` (default: `lease_s`, extended by `renew`).

        Raises
        ------
        Refused: the budget would be exceeded; nothing was taken.
        """
        allowed = max(1, math.floor(limit_ratio * fleet_nodes)) if limit_ratio > 0 else 0
        with self.store.write() as session:
            self._in_turn(session, _BUDGET_LOCK)
            session.execute(delete(Disruption).where(~self._active()))
            used = self._disrupted(session)
            if used + nodes > allowed:
                raise Refused(
                    f"{nodes} more nodes disrupted would make {used + nodes}, the fleet-wide budget is {allowed} nodes "
                    f"({limit_ratio:.0%} of {fleet_nodes})",
                    where=scope,
                    fix="wait for running acts to finish, or raise the disruption limit",
                )
            share = Disruption(scope=scope, nodes=nodes, owner=self.owner, intent_id=intent.id if intent else None,
                               until=self._until(ttl_s))  # fmt: skip
            session.add(share)
        return share

    def disrupted(self) -> int:
        """Nodes of the fleet that count against the budget now."""
        with self.store.read() as session:
            return self._disrupted(session)

    def restore(self, share: Disruption) -> None:
        """Give a share of the budget back; nothing happens where it is gone already."""
        with self.store.write() as session:
            session.execute(delete(Disruption).where(col(Disruption.id) == share.id))

    def _disrupted(self, session: Session) -> int:
        return int(session.exec(select(func.coalesce(func.sum(Disruption.nodes), 0)).where(self._active())).one())

    def _active(self) -> ColumnElement[bool]:
        unfinished = exists().where(col(Intent.id) == col(Disruption.intent_id), col(Intent.state).in_(UNFINISHED))
        return (col(Disruption.until) > self.clock()) | unfinished
