"""Scaling decided: pure functions over arrays of pools, no clock, no I/O."""

from tasks.reasons import Reason
from tasks.scaling.decide.actuators import STEERING, Actuators, Choice, PoolFacts, Why, choose
from tasks.scaling.decide.decisions import CHANGES, Action, Promised, ScalingDecisions
from tasks.scaling.decide.gate import GATES, Totals, gate
from tasks.scaling.decide.inputs import RESOURCES, Observed, Pools
from tasks.scaling.decide.policies import POLICIES, Policy, Rule, Thresholds
from tasks.scaling.decide.reasons import ReasonCode
from tasks.scaling.decide.scaling import decide_scaling
from tasks.scaling.decide.validate import revalidate

__all__ = [
    "CHANGES",
    "GATES",
    "POLICIES",
    "RESOURCES",
    "STEERING",
    "Action",
    "Actuators",
    "Choice",
    "Observed",
    "Policy",
    "PoolFacts",
    "Pools",
    "Promised",
    "Reason",
    "ReasonCode",
    "Rule",
    "ScalingDecisions",
    "Thresholds",
    "Totals",
    "Why",
    "choose",
    "decide_scaling",
    "gate",
    "revalidate",
]
