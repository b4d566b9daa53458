"""One move from stage to stage, each read from the world before it is taken for done; and back from any of them.

The source loses its pods only when the target is Ready and has the requests; it is removed only when the target has
held alone. Whatever does not come true in time, or was changed by somebody else, turns the move round: the source is
made whole, the requests go back, and only then is what the move made removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from blocks.errors import Conflict, ContinuumError, NotFound, Refused, StoreUnavailable, Throttled, Unreachable
from blocks.store.journal import Journal
from blocks.store.tables import UNFINISHED, Intent, State
from tasks.migration.moves import objects
from tasks.migration.moves.back import go_back, make_whole, remove_made
from tasks.migration.moves.closure import replicas_of
from tasks.migration.moves.forward import FORWARD
from tasks.migration.moves.hook import TurnedRound
from tasks.migration.moves.plan import MovePlan
from tasks.migration.moves.stages import DRAINED, PLANNED, REMOVED, SHIFTING
from tasks.migration.moves.step import SilentYet, Step, World, lease_name

KIND = "move-workload"
AWAY = (Unreachable, Throttled, StoreUnavailable)  # asking again may help, and changes nothing
_DONE = "done"
AtOnce = Callable[[Callable[[Intent], Intent | None], list[Intent]], list[Intent | None]]


def _one_by_one(work: Callable[[Intent], Intent | None], moves: list[Intent]) -> list[Intent | None]:
    """Each in its turn."""
    return [work(each) for each in moves]


@dataclass(frozen=True)
class Mover:
    """Carries out moves of one owner of the journal."""

    journal: Journal
    world: World

    def begin(self, plan: MovePlan, *, key: str, decision_id: str | None = None, fleet: str = "default") -> Intent:
        """Write the move down, and take it: one open move a workload. The same key gives the same move again.

        Raises
        ------
        Refused: another move holds the workload, or a freeze covers it or its target.
        """
        self._refuse_frozen(plan)
        back = {"move": plan.payload()["move"] | {"source": plan.target, "target": plan.source}}
        told = {"fleet": fleet, "pace": asdict(self.world.pace)}
        intent = self.journal.plan(
            decision_id, plan.subject, KIND, do=plan.payload() | told, undo=back | told,
            planned_against={"digest": plan.digest}, key=key,
        )  # fmt: skip
        return self.journal.start(intent) if intent.state == State.PLANNED else intent

    def carry_out(self, intent: Intent) -> Intent:
        """Take a started move to its end, forward or back; one whose end is not known yet stays started.

        Nothing is raised for what the world refuses: the intent tells it, and a later run goes on from there.

        Raises
        ------
        StoreUnavailable: the journal cannot be written; nothing more was touched.
        """
        plan = MovePlan.of(intent.do)
        try:
            while intent.state == State.STARTED:
                intent = self._advance(plan, intent)
        except StoreUnavailable:
            raise
        except ContinuumError as error:  # a cluster is away, acting is frozen, or another run has taken it over
            with suppress(ContinuumError):
                intent = self.journal.note(intent, None, f"waits: {error}")
        except BaseException as signal:  # Ctrl-C, a run cancelled in the UI: whoever settles it goes back
            if not isinstance(signal, Exception):
                with suppress(ContinuumError):
                    about = dict(intent.operation) | {"back": f"its run was cancelled ({type(signal).__name__})"}
                    self.journal.note(intent, about, "cancelled: goes back")
            raise
        return intent

    def _advance(self, plan: MovePlan, intent: Intent) -> Intent:
        """One stage, forward or back; the intent with what was reached.

        Raises
        ------
        ContinuumError: a cluster or the store does not answer, acting is frozen, or the intent is no longer ours.
        """
        about: dict[str, Any] = {"stage": PLANNED, "weight": 0, "want": plan.replicas, "back": "", **intent.operation}
        intent = self.journal.proceed(intent)
        self._refuse_frozen(plan)
        step = Step(self.world, plan, intent.id, about)
        self._patiently(step.see_how_far)
        if about["back"]:
            self._patiently(lambda: go_back(step))
            return self.journal.undone(intent, about["back"])
        try:
            self._patiently(lambda: self._fence(step))
            reached = self._patiently(lambda: FORWARD[about["stage"]](step))
        except AWAY:
            raise
        except ContinuumError as error:  # what will not come true by asking again
            return self.journal.note(intent, about | {"back": str(error)}, f"goes back: {error}")
        if reached == _DONE:
            said = f"{step.want} pods are Ready in {plan.target}, none is left in {plan.source}"
            said += f"; there stays {', '.join(about['kept'])}" if about["kept"] else ""
            return self.journal.done(intent, said)
        words = f"{reached}, {about['weight']} % of the requests" if reached == SHIFTING else reached
        return self.journal.note(intent, about | {"stage": reached}, words)

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Do it, and again while an API is away or somebody writes the same object, for `away_s` at most."""
        until = self.world.clock() + self.world.pace.away_s
        while True:
            try:
                return work()
            except SilentYet:
                raise
            except (Unreachable, Throttled, Conflict):
                if self.world.clock() >= until:
                    raise
                self.world.sleep(self.world.pace.poll_s)

    def _fence(self, step: Step) -> None:
        """Hold the workload's Lease, and mark it with its token: no other move may touch it meanwhile.

        Raises
        ------
        TurnedRound: another move holds it.
        """
        if step.is_from_afar:
            return
        plan, there = step.plan, step.of(step.source)
        if there is None or step.about["stage"] in (DRAINED, REMOVED):
            return
        try:
            held = step.source.acquire_lease(lease_name(plan), step.intent_id, self.world.pace.lease_s, plan.namespace)
        except Conflict as error:
            raise TurnedRound(f"another move holds it: {error.what}", where=plan.subject) from None
        fence = objects.fence_of(there)
        if fence.get("intent") not in (None, step.intent_id):  # with the Lease ours, it has ended or was forgotten
            self._clear_stranger(step, fence)
        mine = {"intent": step.intent_id, "target": plan.target, "token": held.transitions}
        if int(fence.get("token", -1)) > held.transitions:
            raise TurnedRound("a newer move holds it", where=plan.subject, fix="see `continuum journal list`")
        if fence != mine:
            objects.set_fence(step.source, there, mine)

    def _clear_stranger(self, step: Step, fence: Mapping[str, Any]) -> None:
        """Remove what a move has left that is over, or that this store does not know (it was restored from a copy).

        Raises
        ------
        TurnedRound: it is not over.
        """
        stranger = str(fence["intent"])
        try:
            known = self.journal.intent(stranger)
        except NotFound:
            known = None
        if known is not None and known.state in UNFINISHED:
            raise TurnedRound(f"move {stranger[:8]} holds it", where=step.plan.subject, fix="wait for it, or undo it")
        there = self.world.clusters(str(fence["target"]))
        copy = step.of(there)
        if copy is not None and objects.is_ours(copy, stranger):  # it may be all that serves
            step.about["want"] = max(step.want, replicas_of(copy))
            make_whole(step)
        remove_made(there, step.plan, stranger)

    def _refuse_frozen(self, plan: MovePlan) -> None:
        place = f"{plan.target}/{plan.namespace}/{plan.name}"
        if frozen := self.journal.frozen(place):
            raise Refused(f"acting is frozen by the freeze of {frozen.scope}", where=place,
                          fix=f"continuum thaw '{frozen.scope}'")  # fmt: skip


def settle_left_over(mover: Mover, fleet: str = "default", at_once: AtOnce = _one_by_one) -> list[Intent]:
    """Take up every move whose owner is gone, and carry it to its end, unless another run was quicker.

    at_once: does a piece of work for each of many; a move waits for minutes, and the others need not wait for it.
    """
    left = [each for each in mover.journal.expired() if each.kind == KIND and each.do.get("fleet") == fleet]
    return [ended for ended in at_once(lambda each: _settle(mover, each), left) if ended is not None]


def _settle(mover: Mover, intent: Intent) -> Intent | None:
    try:
        adopted = mover.journal.adopt(intent)
    except Conflict:
        return None
    if adopted.state == State.PLANNED:
        return mover.journal.undone(adopted, "its run ended before anything was asked for")
    return mover.carry_out(adopted)
