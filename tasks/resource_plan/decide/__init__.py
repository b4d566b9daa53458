"""A day planned: pure functions over arrays of pools, no clock, no I/O."""

from tasks.resource_plan.decide.inputs import RESOURCES, PlanPolicy, PlanPools
from tasks.resource_plan.decide.notes import Code
from tasks.resource_plan.decide.outcome import Priority, ResourcePlan, Step
from tasks.resource_plan.decide.plan import decide_plan

__all__ = [
    "RESOURCES",
    "Code",
    "PlanPolicy",
    "PlanPools",
    "Priority",
    "ResourcePlan",
    "Step",
    "decide_plan",
]
