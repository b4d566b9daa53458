"""Events that flows emit, `continuum.<subject>.<past participle>`, and what each carries. No Prefect in here."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Event(BaseModel):
    """Base of every payload; `name` is the event's name on the bus."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]


class ForecastBreached(Event):
    """At most one per forecast pass: the pools whose forecast crosses their present capacity."""

    name: ClassVar[str] = "continuum.forecast.breached"

    fleet: str = Field(description="name of the fleet's inventory block")
    as_of: datetime = Field(description="when the forecast was made")
    pools: list[str] = Field(min_length=1, description="`cluster/pool`, earliest crossing first")
    first_crossing: datetime = Field(description="when the first of them crosses")


EVENTS: tuple[type[Event], ...] = (ForecastBreached,)
