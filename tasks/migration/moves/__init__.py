"""Moving a running workload to another cluster: reserve, start, prove, shift, drain, remove; and back from anywhere.

No Prefect in here: a process that carries out moves is forked and killed by the hundred in the fault campaign.
"""

from __future__ import annotations

from tasks.migration.moves.closure import Closure, closure_of
from tasks.migration.moves.mover import KIND, Mover, settle_left_over
from tasks.migration.moves.plan import SILENT, MovePlan, Route, look_at, plan_from_afar, plan_move
from tasks.migration.moves.stages import STAGES
from tasks.migration.moves.step import Pace, World

__all__ = [
    "KIND", "SILENT", "STAGES", "Closure", "MovePlan", "Mover", "Pace", "Route", "World", "closure_of", "look_at",
    "plan_from_afar", "plan_move", "settle_left_over",
]  # fmt: skip
