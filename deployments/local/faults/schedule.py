"""When faults begin and end, on the simulated clock; what is active is applied to clusters, clouds and requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from blocks.errors import NotFound, Refused
from blocks.fleet import Fleet
from deployments.local.clock import SimulatedClock
from deployments.local.faults import outages
from deployments.local.faults.clouds import CloudFaults
from deployments.local.faults.fault import Fault
from deployments.local.faults.kinds import Shape, parsed
from deployments.local.faults.rules import Rule, rules
from deployments.local.faults.targets import check
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.node_pools import NodePools

MOST = 10_000  # faults that one simulation is given in its life: all of them are kept and saved
ON_REQUEST = frozenset({"api", "cloud-operation-fails"})  # they strike when somebody asks, not when they begin


class Faults:
    """All faults of a simulation, those to come and those that are over included.

    Parameters
    ----------
    start_s: where a fresh simulation stands, from which `campaign` counts.
    on_change: called whenever the saved state is no longer the present one.

    Attributes
    ----------
    rules: what the active faults do to requests, in the order in which a request meets them.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: SimulatedClock,
        clusters: Mapping[str, SimulatedCluster],
        pools: NodePools,
        *,
        seed: int,
        start_s: float,
        on_change: Callable[[], object],
    ) -> None:
        self.fleet, self.clock, self.clusters, self.pools = fleet, clock, clusters, pools
        self.seed, self.start_s, self.on_change = seed, start_s, on_change
        self.rules: tuple[Rule, ...] = ()
        self._all: dict[str, Fault] = {}
        self._clouds = CloudFaults(fleet, pools)
        self._listeners: list[Callable[[], object]] = []

    def __iter__(self) -> Iterator[Fault]:
        """Every fault, in the order in which they were asked for."""
        return iter(self._all.values())

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` whenever the set of active faults has changed."""
        self._listeners.append(listener)

    def add(self, documents: Sequence[Any], seed: int | None = None) -> list[Fault]:
        """Schedule faults, all of them or none; `seed` is for those that name none.

        Raises
        ------
        InvalidInput: a document is not one of the kinds, or does not fit it.
        NotFound: there is no such cluster, site, node pool or node.
        Refused: more than a simulation takes.
        """
        if len(self._all) + len(documents) > MOST:
            raise Refused(f"a simulation takes {MOST} faults", where="faults", fix="start a fresh one")
        asked = [parsed(document, f"faults[{index}]") for index, document in enumerate(documents)]
        for index, shape in enumerate(asked):
            check(shape, self.fleet, self.clusters, f"faults[{index}] ({shape.kind})")
        made = [self._made(shape, self.seed if seed is None else seed) for shape in asked]
        for fault in made:
            self._turn(fault)
            self._arm(fault)
        self._apply()
        return made

    def lift(self, fault_id: str) -> Fault:
        """End a fault now. NotFound: there is none of that id."""
        if (fault := self._all.get(fault_id)) is None:
            raise NotFound(f"there is no fault {fault_id}", where="faults", fix="list them with GET /faults")
        self._lift(fault)
        self._apply()
        return fault

    def lift_all(self) -> list[Fault]:
        """End every fault that is active or scheduled; those it ended."""
        lifted = [fault for fault in self if fault.state != "ended"]
        for fault in lifted:
            self._lift(fault)
        self._apply()
        return lifted

    def strikes(self, fault: Fault) -> bool:
        """Whether a request that a rule takes is struck; it counts, and the last of `times` ends the fault."""
        fault.seen += 1
        share, times = fault.parameters.get("share", 1.0), fault.parameters.get("times")
        if share < 1 and fault.draw() >= share:
            return False
        fault.struck += 1
        if times is not None and fault.struck >= times:
            fault.state = "ended"
            self._apply()
        self.on_change()
        return True

    def look_at_pools(self) -> None:
        """Notice the operations that have taken a failure."""
        taken = self._clouds.failed()
        for fault in taken:
            self.strikes(fault)
        if taken:
            self._apply()

    def campaign(self) -> dict[str, Any]:
        """Every fault so far, to be posted to a fresh simulation of the same seed."""
        return {"seed": self.seed, "faults": [fault.document(self.start_s) for fault in self]}

    def snapshot(self) -> list[dict[str, Any]]:
        """The whole state, JSON-able."""
        return [asdict(fault) for fault in self]

    def restore(self, snapshot: list[dict[str, Any]]) -> None:
        """Go on from a snapshot of the same moment as those of clusters and node pools."""
        self._all = {saved["id"]: Fault(**saved) for saved in snapshot}
        for fault in self:
            self._arm(fault)
        self._apply()

    def _made(self, shape: Shape, seed: int) -> Fault:
        begins_s = self.clock.now() + shape.after_s
        fault = Fault(
            f"f{len(self._all) + 1}",
            shape.kind,
            shape.model_dump(exclude=set(Shape.model_fields)),
            seed if shape.seed is None else shape.seed,
            begins_s,
            None if shape.for_s is None else begins_s + shape.for_s,
        )
        self._all[fault.id] = fault
        return fault

    def _active(self) -> list[Fault]:
        return [fault for fault in self if fault.active]

    def _arm(self, fault: Fault) -> None:
        """Have the clock turn it on and off: after all else that is due then, as a request would come."""
        for when_s in (fault.begins_s, fault.ends_s):
            if when_s is not None and when_s > self.clock.now():
                self.clock.at(when_s, f"~faults/{fault.id[1:]:>6}", lambda: self._due(fault))

    def _due(self, fault: Fault) -> None:
        before = fault.state
        self._turn(fault)
        if fault.state != before:
            self._apply()

    def _turn(self, fault: Fault) -> None:
        """Begin it or end it, as the time says."""
        now_s = self.clock.now()
        over = fault.ends_s is not None and fault.ends_s <= now_s
        if fault.state == "scheduled" and over:
            fault.state = "ended"
        elif fault.state == "scheduled" and fault.begins_s <= now_s:
            self._begin(fault)
        elif fault.active and over:
            self._end(fault)

    def _begin(self, fault: Fault) -> None:
        already = [other for other in self._active() if _node(other) == _node(fault)]
        fault.state = "active"
        fault.struck = 0 if fault.kind in ON_REQUEST else 1
        if fault.kind == "node-kill" and not already:
            fault.struck = int(self._clouds.kill(fault))

    def _end(self, fault: Fault) -> None:
        fault.state = "ended"
        if fault.kind == "node-kill" and all(_node(other) != _node(fault) for other in self._active()):
            self._clouds.revive(fault)

    def _lift(self, fault: Fault) -> None:
        if fault.state != "ended":
            fault.ends_s = max(self.clock.now(), fault.begins_s) if fault.active else fault.begins_s
            self._end(fault)

    def _apply(self) -> None:
        active = self._active()
        self.rules = rules(active, self.fleet)
        outages.apply(active, self.fleet, self.clusters, self.pools.dead_nodes)
        self._clouds.apply(active)
        for listener in self._listeners:
            listener()
        self.on_change()


def _node(fault: Fault) -> tuple[Any, ...]:
    return fault.kind, fault.parameters.get("cluster"), fault.parameters.get("node")
