"""The part of a flow's form that all acting flows have."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from blocks.store.tables import Mode


class ActingRequest(BaseModel):
    """Which fleet, and how far to go."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    mode: Mode = Field(
        Mode.SHADOW,
        description="shadow: record what it would do. propose: wait for approval. act: do it inside the guard rails",
    )
    approval_timeout_s: int = Field(
        900,
        ge=60,
        le=86_400,
        description="propose: seconds until a proposal lapses, and until an approved one is too old to act on",
    )
