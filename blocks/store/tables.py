"""Every table of the store. A change here needs an Alembic revision beside it (a test compares the two)."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import JSON, BigInteger, Index, Integer, MetaData, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from blocks.store.columns import UtcDateTime


def _new_id() -> str:
    """A random id of 32 hex digits; people type a unique prefix of it."""
    return uuid4().hex


def now() -> datetime:
    """The present, timezone-aware UTC: the default clock of the store."""
    return datetime.now(UTC)


class Mode(StrEnum):
    """How far a flow may go."""

    SHADOW = "shadow"
    PROPOSE = "propose"
    ACT = "act"


class Verdict(StrEnum):
    """What became of a decision."""

    RECORDED = "recorded"
    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ACTED = "acted"
    UNDONE = "undone"


class State(StrEnum):
    """Where an intent stands: planned -> started -> done | undone | failed (and done -> undone by a later undo)."""

    PLANNED = "planned"
    STARTED = "started"
    DONE = "done"
    UNDONE = "undone"
    FAILED = "failed"


UNFINISHED = (State.PLANNED, State.STARTED)


class Row(SQLModel):
    """Base of the tables: their own metadata, so that they never mix with another package's SQLModel tables."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                           "fk": "fk_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})  # fmt: skip


class Decision(Row, table=True):
    """One decision about one subject: what was chosen, why, and what it promised."""

    __tablename__ = "decision"
    __table_args__ = (
        Index(None, "flow_run_id", "ordinal"),
        Index(None, "subject", "created_at"),
        Index(None, "flow", "created_at"),
        Index("ix_decision_flow_as_of", "flow", "as_of"),
        Index(None, "state", "expires_at"),
    )

    id: str = Field(default_factory=_new_id, primary_key=True)
    flow_run_id: str
    flow: str
    subject: str
    action: str
    mode: str = Mode.SHADOW
    state: str = Verdict.RECORDED
    ordinal: int = 0
    as_of: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    content: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    reasons: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    promised: dict[str, float] = Field(default_factory=dict, sa_type=JSON)
    detail: str = ""
    fleet: str = ""  # name of its inventory block; "" of releases that did not keep it


class Pass(Row, table=True):
    """One run of a flow that came to its end, by this machine's clock; a resumed run counts from its resumption."""

    __tablename__ = "flow_pass"
    __table_args__ = (Index(None, "flow", "ended_at"),)

    flow_run_id: str = Field(primary_key=True)
    flow: str
    fleet: str
    mode: str
    began_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Outcome(Row, table=True):
    """What happened after a decision, beside what the plain baselines would have given. One row a decision."""

    __tablename__ = "outcome"

    decision_id: str = Field(primary_key=True, foreign_key="decision.id")
    measured_at: datetime = Field(sa_type=UtcDateTime)
    happened: dict[str, float] = Field(default_factory=dict, sa_type=JSON)
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict, sa_type=JSON)


class Scorecard(Row, table=True):
    """Scores of one method on one subject over one period; written again, the newer row replaces the older."""

    __tablename__ = "scorecard"
    __table_args__ = (UniqueConstraint("flow", "subject", "method", "period_start", "period_end"),)

    id: str = Field(default_factory=_new_id, primary_key=True)
    flow: str
    subject: str
    method: str
    period_start: datetime = Field(sa_type=UtcDateTime)
    period_end: datetime = Field(sa_type=UtcDateTime)
    scores: dict[str, float] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Section(Row, table=True):
    """One section of a report, as data; rendered elsewhere. Written again, the newer row replaces the older."""

    __tablename__ = "section"
    __table_args__ = (UniqueConstraint("flow_run_id", "subject", "ordinal"), Index(None, "flow", "created_at"))

    id: str = Field(default_factory=_new_id, primary_key=True)
    flow_run_id: str
    flow: str
    subject: str
    title: str
    ordinal: int = 0
    content: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class ForecastRecord(Row, table=True):
    """Where a forecast's file is and what it covers."""

    __tablename__ = "forecast"
    __table_args__ = (UniqueConstraint("metric", "as_of", "shard"),)

    id: str = Field(default_factory=_new_id, primary_key=True)
    flow_run_id: str
    metric: str
    shard: str = "0"
    as_of: datetime = Field(sa_type=UtcDateTime)
    path: str
    start_s: int = Field(sa_type=BigInteger)
    step_s: int
    horizon: int
    levels: list[float] = Field(sa_type=JSON)
    engine: str
    series: int
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Intent(Row, table=True):
    """One change to the world, written down before it is made."""

    __tablename__ = "intent"
    __table_args__ = (
        # The database itself holds "one started intent a subject": no check in Python can lose that race.
        Index("uq_intent_started_subject", "subject", unique=True,
              sqlite_where=text("state = 'started'"), postgresql_where=text("state = 'started'")),
        Index(None, "state", "lease_until"),
        Index(None, "subject", "finished_step"),
        Index(None, "created_at"),
    )  # fmt: skip

    id: str = Field(default_factory=_new_id, primary_key=True)
    key: str = Field(unique=True)
    decision_id: str | None = Field(default=None, index=True)
    undoes: str | None = Field(default=None, index=True, foreign_key="intent.id")
    subject: str
    kind: str
    do: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    undo: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    planned_against: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    operation: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    state: str = State.PLANNED
    detail: str = ""
    owner: str
    lease_until: datetime = Field(sa_type=UtcDateTime)
    version: int = 1
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    finished_step: int | None = Field(default=None, sa_type=BigInteger)


class IntentStep(Row, table=True):
    """One line of an intent's history."""

    __tablename__ = "intent_step"

    # SQLite numbers rows by itself only where the key is its plain INTEGER.
    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger().with_variant(Integer, "sqlite"))
    intent_id: str = Field(index=True, foreign_key="intent.id")
    at: datetime = Field(sa_type=UtcDateTime)
    owner: str
    event: str
    detail: str = ""
    operation: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class Lease(Row, table=True):
    """A named right held by one owner until a time; `token` grows with every new holder (fencing)."""

    __tablename__ = "lease"

    name: str = Field(primary_key=True)
    owner: str
    token: int = 1
    ttl_s: float
    until: datetime = Field(sa_type=UtcDateTime)


class Reservation(Row, table=True):
    """Capacity that one flow has promised itself, so that no other flow takes it."""

    __tablename__ = "reservation"
    __table_args__ = (Index(None, "scope", "unit"),)

    id: str = Field(default_factory=_new_id, primary_key=True)
    scope: str
    unit: str
    amount: float
    flow: str
    owner: str
    until: datetime = Field(sa_type=UtcDateTime)


class Hold(Row, table=True):
    """What an actuator holds up for us in a pool that somebody else sizes, and until when: taken back after that.

    `value` is what we set and `base` what was there before us, both in the actuator's own terms (`kind` is that of its
    intents). `until` is the fleet's own time, `renewed_at` the clock's: the two differ where the fleet is simulated.
    """

    __tablename__ = "hold"

    subject: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    fleet: str = Field(primary_key=True)
    value: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    base: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    until: datetime = Field(sa_type=UtcDateTime)
    renewed_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Disruption(Row, table=True):
    """Nodes taken out of service, counted against the fleet-wide budget."""

    __tablename__ = "disruption"

    id: str = Field(default_factory=_new_id, primary_key=True)
    scope: str
    nodes: int
    owner: str
    intent_id: str | None = Field(default=None, index=True, foreign_key="intent.id")
    until: datetime = Field(sa_type=UtcDateTime)


class Freeze(Row, table=True):
    """No acting inside `scope` (`*`, a cluster, or cluster/pool) until a time, or until thawed."""

    __tablename__ = "freeze"

    scope: str = Field(primary_key=True)
    reason: str
    by: str
    at: datetime = Field(sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Approver(Row, table=True):
    """A person who may approve proposals, known by a token of which only the digest is kept."""

    __tablename__ = "approver"

    name: str = Field(primary_key=True)
    token_sha256: str = Field(unique=True)
    scopes: list[str] = Field(sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Approval(Row, table=True):
    """What a person answered to the proposal of one flow run; `verified` where a token said who it was."""

    __tablename__ = "approval"

    id: str = Field(default_factory=_new_id, primary_key=True)
    flow_run_id: str = Field(index=True)
    person: str
    verified: bool
    approve: bool
    leave_out: list[str] = Field(default_factory=list, sa_type=JSON)
    note: str = ""
    at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class ModelVersion(Row, table=True):
    """One published version of a model: `digest` is that of its manifest, which is kept signed among the blobs."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "version"),)

    digest: str = Field(primary_key=True)
    model: str
    version: str
    parent: str = ""
    size_bytes: int = Field(sa_type=BigInteger)
    metrics: dict[str, float] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Edge(Row, table=True):
    """An edge that may speak to the hub, known by a token of which only the digest is kept.

    `epoch` and `cursor` say up to which `seq` its outbox has arrived.
    """

    __tablename__ = "edge"

    name: str = Field(primary_key=True)
    tier: str
    region: str
    simulated: bool = False
    token_sha256: str = Field(unique=True)
    epoch: str = ""
    cursor: int = Field(default=0, sa_type=BigInteger)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    seen_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class EdgeModel(Row, table=True):
    """Which version of a model an edge is to run, which it says that it runs, and which it could not load."""

    __tablename__ = "edge_model"
    __table_args__ = (Index(None, "model", "wanted"),)

    edge: str = Field(primary_key=True, foreign_key="edge.name")
    model: str = Field(primary_key=True)
    wanted: str = ""
    running: str = ""
    failed: str = ""
    state: str = ""
    reported_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OutboxItem(Row, table=True):
    """One thing that an edge told, kept once however often it was sent."""

    __tablename__ = "outbox_item"
    __table_args__ = (Index(None, "kind", "received_at"),)

    edge: str = Field(primary_key=True)
    epoch: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str
    ts: str
    body: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    received_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class Rollout(Row, table=True):
    """A version on its way to the edges: running, done, rolling-back, rolled-back or superseded.

    `decisions` are those of the runs that carried it, oldest first.
    """

    __tablename__ = "rollout"
    __table_args__ = (Index(None, "model", "created_at"),)

    id: str = Field(default_factory=_new_id, primary_key=True)
    model: str
    digest: str
    state: str = "running"
    detail: str = ""
    decisions: list[str] = Field(default_factory=list, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)


class TrainingRound(Row, table=True):
    """A round of federated training: open -> closing -> closed.

    `content` is what was asked, `record` what came of it, `after` what stands since: digests of the model and of the
    server's memory, score and best score.
    """

    __tablename__ = "training_round"
    __table_args__ = (UniqueConstraint("model", "number"), Index(None, "state"))

    id: str = Field(default_factory=_new_id, primary_key=True)
    model: str
    number: int
    state: str = "open"
    base: str
    deadline: datetime = Field(sa_type=UtcDateTime)
    content: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    record: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    after: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RoundUpdate(Row, table=True):
    """What an edge sent for a round: `digest` names the file with its numbers, `refused` says why it does not count."""

    __tablename__ = "round_update"

    round_id: str = Field(primary_key=True, foreign_key="training_round.id")
    edge: str = Field(primary_key=True)
    digest: str
    refused: str = ""
    samples: int = Field(sa_type=BigInteger)
    size_bytes: int = Field(sa_type=BigInteger)
    metrics: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    received_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
