"""Decisions and what became of them, scorecards, report sections, forecasts: bulk in, filtered out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, func, true, update
from sqlalchemy import select as sql_select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col, select

from blocks.errors import InvalidInput, NotFound
from blocks.store.database import Database
from blocks.store.tables import Decision, ForecastRecord, Intent, Outcome, Pass, Row, Scorecard, Section, Verdict

_Record = TypeVar("_Record", bound=Row)
_CHUNK = 1000  # rows a statement: PostgreSQL takes 65,535 parameters, a decision has 14


def _about(fleet: str | None) -> ColumnElement[bool]:
    return true() if fleet is None else col(Decision.fleet).in_((fleet, ""))


class Decided(NamedTuple):
    """What a scorecard reads of a decision."""

    id: str
    subject: str
    as_of: datetime
    state: str
    content: dict[str, Any]
    promised: dict[str, float]


class Store(Database):
    """The store with its records. The journal of acts is `blocks.store.journal.Journal(store)`."""

    def record_decisions(self, decisions: Sequence[Decision]) -> None:
        """Keep decisions in their order, in one transaction; one whose id is there already stays as it is."""
        rows = [decision.model_dump() | {"ordinal": ordinal} for ordinal, decision in enumerate(decisions)]
        self._insert(Decision, rows, ())

    def decision(self, decision_id: str) -> Decision:
        """One decision by its id, or by any unique beginning of it.

        Raises
        ------
        NotFound: none begins so. InvalidInput: several do.
        """
        return self._by_prefix(Decision, decision_id, "decision")

    def decisions(
        self,
        *,
        flow: str | None = None,
        flow_run_id: str | None = None,
        subject: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        fleet: str | None = None,
        limit: int | None = 100,
    ) -> list[Decision]:
        """Decisions, newest first (those of one moment in their recorded order).

        `fleet`, here and below: those about this fleet. What a release decided that kept no fleet counts for every one.
        """
        query = select(Decision).order_by(col(Decision.created_at).desc(), col(Decision.ordinal)).limit(limit)
        for column, wanted in ((Decision.flow, flow), (Decision.flow_run_id, flow_run_id),
                               (Decision.subject, subject), (Decision.state, state)):  # fmt: skip
            query = query.where(col(column) == wanted) if wanted is not None else query
        query = query.where(col(Decision.created_at) >= since) if since is not None else query
        with self.read() as session:
            return list(session.exec(query.where(_about(fleet))))

    def subjects(self) -> set[str]:
        """Every subject that was ever decided on."""
        with self.read() as session:
            return set(session.exec(select(Decision.subject).distinct()))

    def decided(
        self, flow: str, begin: datetime, end: datetime, *, states: Sequence[str] = (), action: str | None = None,
        fleet: str | None = None,
    ) -> Iterator[Decided]:  # fmt: skip
        """Decisions of a flow made for a time in [begin, end), in order of that time; many, so a few at a time."""
        columns = [col(getattr(Decision, name)) for name in Decided._fields]
        query = (sql_select(*columns).where(col(Decision.flow) == flow, col(Decision.as_of) >= begin,
                                            col(Decision.as_of) < end, _about(fleet))
                 .order_by(col(Decision.as_of), col(Decision.ordinal)))  # fmt: skip
        query = query.where(col(Decision.state).in_(states)) if states else query
        query = query.where(col(Decision.action) == action) if action is not None else query
        with self.read() as session:
            for row in session.execute(query.execution_options(yield_per=5 * _CHUNK)):
                yield Decided(*row)

    def first_decided(self, flow: str, since: datetime | None = None, *, fleet: str | None = None) -> datetime | None:
        """The earliest time that a decision of a flow was made for (not before `since`); None where there is none."""
        query = (select(Decision.as_of).where(Decision.flow == flow, _about(fleet))
                 .order_by(col(Decision.as_of)).limit(1))  # fmt: skip
        with self.read() as session:
            return session.exec(query if since is None else query.where(Decision.as_of >= since)).first()

    def last_decided(self, flow: str, before: datetime, *, fleet: str | None = None) -> list[Decided]:
        """The decisions of the last time before a moment that a flow decided for; empty where there is none."""
        query = (select(Decision.as_of).where(Decision.flow == flow, Decision.as_of < before, _about(fleet))
                 .order_by(col(Decision.as_of).desc()).limit(1))  # fmt: skip
        with self.read() as session:
            as_of = session.exec(query).first()
        return list(self.decided(flow, as_of, as_of + timedelta(microseconds=1), fleet=fleet)) if as_of else []

    def proposals(self, flow_run_id: str) -> list[Decision]:
        """Every decision that this flow run stored, in recorded order: what a resumed run loads instead of deciding."""
        query = select(Decision).where(Decision.flow_run_id == flow_run_id).order_by(col(Decision.ordinal))
        with self.read() as session:
            return list(session.exec(query))

    def settle(self, decisions: Iterable[Decision | str], state: Verdict, *, detail: str = "") -> int:
        """Set what became of decisions; returns how many changed. An expired or undone decision never changes again."""
        ids = [decision if isinstance(decision, str) else decision.id for decision in decisions]
        final = (Verdict.EXPIRED, Verdict.UNDONE, Verdict.REJECTED, state)
        values: dict[str, Any] = {"state": state} | ({"detail": detail} if detail else {})
        count = 0
        with self.write() as session:
            for begin in range(0, len(ids), _CHUNK):
                chunk = update(Decision).where(col(Decision.id).in_(ids[begin : begin + _CHUNK]),
                                               col(Decision.state).not_in(final))  # fmt: skip
                count += session.execute(chunk.values(values)).rowcount  # type: ignore[attr-defined]
        return count

    def postpone(self, decisions: Iterable[Decision], until: datetime) -> None:
        """Let decisions that wait for a person expire later."""
        ids = [decision.id for decision in decisions]
        with self.write() as session:
            for begin in range(0, len(ids), _CHUNK):
                chunk = update(Decision).where(col(Decision.id).in_(ids[begin : begin + _CHUNK]))
                session.execute(chunk.values(expires_at=until))

    def expire_proposals(self, at: datetime, *, fleet: str) -> int:
        """Expire a fleet's proposals and approvals whose time is over by that fleet's clock; returns how many."""
        due = update(Decision).where(col(Decision.state).in_((Verdict.PROPOSED, Verdict.APPROVED)),
                                     col(Decision.expires_at) <= at, _about(fleet))  # fmt: skip
        with self.write() as session:
            return int(session.execute(due.values(state=Verdict.EXPIRED)).rowcount)  # type: ignore[attr-defined]

    def save_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what happened after decisions; measured again, the newer row replaces the older."""
        self._insert(Outcome, [row.model_dump() for row in outcomes], ("decision_id",))

    def outcomes(self, decision_ids: Sequence[str]) -> dict[str, Outcome]:
        """Outcomes by decision id; a decision that nobody measured yet is absent."""
        found: dict[str, Outcome] = {}
        with self.read() as session:
            for begin in range(0, len(decision_ids), _CHUNK):
                chunk = decision_ids[begin : begin + _CHUNK]
                found |= {row.decision_id: row for row in
                          session.exec(select(Outcome).where(col(Outcome.decision_id).in_(chunk)))}  # fmt: skip
        return found

    def unmeasured(self, flow: str, before: datetime, limit: int = 1000) -> list[Decision]:
        """Decisions of a flow, made before a time, that have no outcome yet; oldest first."""
        query = (select(Decision).outerjoin(Outcome, col(Outcome.decision_id) == col(Decision.id))
                 .where(Decision.flow == flow, Decision.as_of < before, col(Outcome.decision_id).is_(None))
                 .order_by(col(Decision.as_of), col(Decision.ordinal)).limit(limit))  # fmt: skip
        with self.read() as session:
            return list(session.exec(query))

    def verdicts(self, since: datetime, *, fleet: str | None = None) -> list[tuple[str, str, str, str, int, datetime]]:
        """Decisions made since a time: (flow, action, mode, state, how many, when the newest was made)."""
        keys = [col(getattr(Decision, name)) for name in ("flow", "action", "mode", "state")]
        query = (sql_select(*keys, func.count(), func.max(col(Decision.created_at)))
                 .where(col(Decision.created_at) >= since, _about(fleet)).group_by(*keys))  # fmt: skip
        with self.read() as session:
            return [tuple(row) for row in session.execute(query)]

    def counts(self, flow_run_ids: Sequence[str]) -> list[tuple[str, str, str, str, int]]:
        """Decisions of some runs: (flow, fleet, mode, state, how many)."""
        keys = [col(getattr(Decision, name)) for name in ("flow", "fleet", "mode", "state")]
        query = (sql_select(*keys, func.count()).where(col(Decision.flow_run_id).in_(flow_run_ids))
                 .group_by(*keys))  # fmt: skip
        with self.read() as session:
            return [tuple(row) for row in session.execute(query)]

    def open_proposals(self, at: datetime) -> list[tuple[str, str, str]]:
        """(flow, fleet, flow run) of the runs whose proposals wait for a person, and have not lapsed."""
        keys = [col(getattr(Decision, name)) for name in ("flow", "fleet", "flow_run_id")]
        waits = col(Decision.state) == Verdict.PROPOSED, col(Decision.expires_at) > at
        with self.read() as session:
            return [tuple(row) for row in session.execute(sql_select(*keys).where(*waits).distinct())]

    def measured(self, flow: str, since: datetime, *, fleet: str | None = None) -> Iterator[tuple[Any, Any, Any]]:
        """(promised, happened, baselines) of the decisions of a flow made since a time that have an outcome."""
        query = (sql_select(col(Decision.promised), col(Outcome.happened), col(Outcome.baselines))
                 .join(Outcome, col(Outcome.decision_id) == col(Decision.id))
                 .where(col(Decision.flow) == flow, col(Decision.created_at) >= since, _about(fleet)))  # fmt: skip
        with self.read() as session:
            for row in session.execute(query.execution_options(yield_per=5 * _CHUNK)):
                yield tuple(row)

    def save_scorecards(self, cards: Sequence[Scorecard]) -> None:
        """Keep scorecards; the same flow, subject, method and period again replaces the older."""
        keys = ("flow", "subject", "method", "period_start", "period_end")
        self._insert(Scorecard, [row.model_dump() for row in cards], keys)

    def scorecards(
        self, *, flow: str, subject: str | None = None, method: str | None = None, period_end: datetime | None = None,
        limit: int | None = 100,
    ) -> list[Scorecard]:  # fmt: skip
        """Scorecards of a flow, newest period first."""
        query = select(Scorecard).where(Scorecard.flow == flow).order_by(
            col(Scorecard.period_end).desc(), col(Scorecard.subject), col(Scorecard.method)).limit(limit)  # fmt: skip
        for column, wanted in ((Scorecard.subject, subject), (Scorecard.method, method),
                               (Scorecard.period_end, period_end)):  # fmt: skip
            query = query.where(col(column) == wanted) if wanted is not None else query
        with self.read() as session:
            return list(session.exec(query))

    def score_sums(
        self, flow: str, names: Sequence[str], since: datetime, *, methods: Sequence[str] = (),
        subjects: Sequence[str] | None = None,
    ) -> dict[tuple[str, str], dict[str, float]]:  # fmt: skip
        """Sums of the named scores by (subject, method), over the scorecards of periods that begin at `since` or later.

        A score that a card lacks adds nothing; `methods` and `subjects` restrict which cards are read.
        """
        sums = [func.coalesce(func.sum(col(Scorecard.scores)[name].as_float()), 0.0) for name in names]
        query = (sql_select(col(Scorecard.subject), col(Scorecard.method), *sums)
                 .where(col(Scorecard.flow) == flow, col(Scorecard.period_start) >= since)
                 .group_by(col(Scorecard.subject), col(Scorecard.method)))  # fmt: skip
        query = query.where(col(Scorecard.method).in_(methods)) if methods else query
        chunks = [None] if subjects is None else [subjects[at : at + _CHUNK] for at in range(0, len(subjects), _CHUNK)]
        found: dict[tuple[str, str], dict[str, float]] = {}
        with self.read() as session:
            for chunk in chunks:
                part = query if chunk is None else query.where(col(Scorecard.subject).in_(chunk))
                for row in session.execute(part):
                    found[row[0], row[1]] = dict(zip(names, map(float, row[2:]), strict=True))
        return found

    def save_sections(self, sections: Sequence[Section]) -> None:
        """Keep report sections; the same flow run, subject and ordinal again replaces the older."""
        self._insert(Section, [row.model_dump() for row in sections], ("flow_run_id", "subject", "ordinal"))

    def sections(
        self, *, flow: str | None = None, flow_run_id: str | None = None, subject: str | None = None
    ) -> list[Section]:
        """Sections of one flow run, or of the newest run of each flow and subject (of those given alone), in order."""
        query = select(Section).order_by(col(Section.flow), col(Section.subject), col(Section.ordinal))
        with self.read() as session:
            if flow_run_id is not None:
                return list(session.exec(query.where(Section.flow_run_id == flow_run_id)))
            keys = (col(Section.flow), col(Section.subject))
            ends = sql_select(*keys, func.max(col(Section.created_at)).label("at")).group_by(*keys)
            for column, wanted in zip(keys, (flow, subject), strict=True):
                ends = ends.where(column == wanted) if wanted is not None else ends
            newest = ends.subquery()
            last = sql_select(col(Section.flow_run_id), *keys).distinct().join(
                newest, and_(keys[0] == newest.c.flow, keys[1] == newest.c.subject,
                             col(Section.created_at) == newest.c["at"])).subquery()  # fmt: skip
            return list(session.exec(query.join(last, and_(
                col(Section.flow_run_id) == last.c.flow_run_id, keys[0] == last.c.flow,
                keys[1] == last.c.subject))))  # fmt: skip

    def record_pass(self, ended: Pass) -> None:
        """Keep that a pass has ended; the same flow run again replaces it."""
        self._insert(Pass, [ended.model_dump()], ("flow_run_id",))

    def last_passes(self) -> list[Pass]:
        """The newest pass of each flow and fleet, by flow."""
        keys = (col(Pass.flow), col(Pass.fleet))
        newest = sql_select(*keys, func.max(col(Pass.ended_at)).label("at")).group_by(*keys).subquery()
        query = select(Pass).join(newest, and_(keys[0] == newest.c.flow, keys[1] == newest.c.fleet,
                                               col(Pass.ended_at) == newest.c["at"])).order_by(*keys)  # fmt: skip
        with self.read() as session:
            return list(session.exec(query))

    def record_forecasts(self, records: Sequence[ForecastRecord]) -> None:
        """Keep where forecasts are; the same metric, as_of and shard again replaces the older."""
        self._insert(ForecastRecord, [row.model_dump() for row in records], ("metric", "as_of", "shard"))

    def latest_forecasts(self, metric: str, not_after: datetime | None = None) -> list[ForecastRecord]:
        """The shards of a metric's newest forecast (made not after a time), by shard; empty where there is none."""
        query = select(ForecastRecord.as_of).where(ForecastRecord.metric == metric)
        query = query.where(ForecastRecord.as_of <= not_after) if not_after is not None else query
        with self.read() as session:
            as_of = session.exec(query.order_by(col(ForecastRecord.as_of).desc()).limit(1)).first()
            if as_of is None:
                return []
            shards = select(ForecastRecord).where(ForecastRecord.metric == metric, ForecastRecord.as_of == as_of)
            return list(session.exec(shards.order_by(col(ForecastRecord.shard))))

    def find(self, prefix: str) -> Decision | Intent:
        """The decision or intent whose id begins so. NotFound: none does; InvalidInput: several do."""
        try:
            return self._by_prefix(Intent, prefix, "intent")
        except NotFound:
            return self._by_prefix(Decision, prefix, "decision or intent")

    def _by_prefix(self, table: type[_Record], prefix: str, noun: str) -> _Record:
        ids = col(table.id)  # type: ignore[attr-defined]
        with self.read() as session:
            found = session.exec(select(table).where(ids.startswith(prefix, autoescape=True)).limit(2)).all()
        if not found or not prefix:
            raise NotFound(f"no {noun} begins with {prefix!r}", where=self.name, fix="see `continuum journal list`")
        if len(found) > 1:
            raise InvalidInput(f"several begin with {prefix!r}", where=noun, fix="type more digits of the id")
        return found[0]

    def _insert(self, table: type[Row], rows: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
        """Insert rows; where `keys` meet a row that is there, replace it (with no keys: leave it)."""
        if not rows:
            return
        dialect = sqlite if self.is_sqlite else postgresql
        statement = dialect.insert(table.__table__)  # type: ignore[attr-defined]
        if keys:
            renewed = {name: statement.excluded[name] for name in rows[0] if name not in (*keys, "id")}
            statement = statement.on_conflict_do_update(index_elements=keys, set_=renewed)
        else:
            statement = statement.on_conflict_do_nothing()
        with self.write() as session:
            session.execute(statement, rows)
