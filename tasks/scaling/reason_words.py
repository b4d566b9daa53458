"""The words for every reason of a scaling decision, and how numbers are said with their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tasks.scaling.decide import ReasonCode

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """How one reason is said.

    Attributes
    ----------
    kind: `need` (where the need comes from), `doubt` (data not believed) or `guard` (what stopped or limited it).
    text: names in braces are the reason's numbers, with units; `{resource}` is what it is about, `{owner}` the pool's.
    mend: what a person can do; "" where there is nothing to mend.
    """

    kind: Literal["need", "doubt", "guard"]
    text: str
    mend: str = ""


WAIT = "wait, the next pass looks at it again"
_METRICS = "look at the metric source of this cluster"
_FORECAST = "run the demand-forecasting flow, or look at why it fails"
_DOCTOR = "run `continuum doctor`, check network and credentials"
_AGAIN = "start the flow again"

# one entry for every ReasonCode
WORDS: dict[ReasonCode, Words] = {
    ReasonCode.REACTIVE_NEED: Words("need", "{resource} in use, {used}, needs {need_nodes} at {target_ratio}"),
    ReasonCode.FORECAST_PEAK: Words(
        "need",
        "{resource} peak {peak} expected at {peak_at_s} ({quantile_ratio}) needs {need_nodes} at {target_ratio}",
    ),
    ReasonCode.FORECAST_OUTRUN: Words(
        "need", "{resource} is {outrun} above its forecast already, so the peak is raised"
    ),
    ReasonCode.ABOVE_THRESHOLD: Words("need", "{resource} is used to {utilisation_ratio}, above {limit_ratio}"),
    ReasonCode.PREDICTED_ABOVE_THRESHOLD: Words(
        "need", "{resource} is going to be used to {utilisation_ratio}, above {limit_ratio}"
    ),
    ReasonCode.BELOW_THRESHOLDS: Words(
        "need", "every resource is below its limit, the most used one at {highest_utilisation_ratio}"
    ),
    ReasonCode.WITHIN_THRESHOLDS: Words(
        "need", "no limit asks for a change, the most used resource is at {highest_utilisation_ratio}"
    ),
    ReasonCode.ON_TARGET: Words(
        "need", "the most used resource is at {highest_utilisation_ratio}, near enough to {target_ratio}"
    ),
    ReasonCode.REQUESTS: Words("need", "the {resource} that pods request, {requested}, need {need_nodes}"),
    ReasonCode.PENDING_PODS: Words(
        "need", "{pending_pods} wait for a node although all that is requested seems to fit"
    ),
    ReasonCode.SCHEDULED: Words("need", "the pool's schedule asks for {scheduled_nodes}"),
    ReasonCode.SPOT_INTERRUPTION: Words("need", "the cloud takes back {interrupted_nodes}"),
    ReasonCode.RESERVED: Words("guard", "{reserved_nodes} are reserved by other flows", WAIT),
    ReasonCode.REQUESTS_UNKNOWN: Words(
        "doubt", "what the pods request is not known, so capacity is not lowered", _DOCTOR
    ),
    ReasonCode.REQUESTS_FIT: Words(
        "guard", "what the pods request needs {requested_nodes}", "lower the requests of pods that do not use them"
    ),
    ReasonCode.POD_DISRUPTION_BUDGET: Words(
        "guard",
        "PodDisruptionBudgets let {removable_nodes} go",
        "look at the budgets of the pods: one that allows no disruption holds its node for ever",
    ),
    ReasonCode.QUOTA: Words(
        "guard", "the cloud's quota allows {quota_nodes} more, {unmet_nodes} unmet", "raise the cloud's quota"
    ),
    ReasonCode.CHANGE_FREEZE: Words("guard", "a change freeze is in force", "wait for its end, or `continuum thaw`"),
    ReasonCode.MISSING_DATA: Words("doubt", "{resource} usage is missing, so capacity is not lowered", _METRICS),
    ReasonCode.STALE_DATA: Words(
        "doubt", "the newest usage sample is {age_s} old (limit {limit_s}), so capacity is not lowered", _METRICS
    ),
    ReasonCode.ZERO_USAGE: Words(
        "doubt", "{resource} usage reads zero with {ready_nodes} Ready, so it is taken for a lost metric", _METRICS
    ),
    ReasonCode.FORECAST_MISSING: Words("doubt", "no forecast of {resource}, present usage alone decides", _FORECAST),
    ReasonCode.FORECAST_STALE: Words(
        "doubt", "the forecast is {age_s} old (limit {limit_s}), present usage alone decides", _FORECAST
    ),
    ReasonCode.FORECAST_INCOMPLETE: Words(
        "doubt",
        "the forecast of {resource} has gaps within the next {horizon_s}",
        f"{_FORECAST}; it must reach {{horizon_s}} ahead",
    ),
    ReasonCode.FORECAST_NEEDED: Words("guard", "capacity is not lowered without a whole, fresh forecast", _FORECAST),
    ReasonCode.BELOW_MIN: Words("guard", "{current_nodes} is below the minimum of {min_nodes}"),
    ReasonCode.AT_MIN: Words("guard", "the minimum of {min_nodes} holds it up"),
    ReasonCode.AT_MAX: Words(
        "guard",
        "the maximum of {max_nodes} leaves {unmet_nodes} unmet",
        "raise max_nodes of the pool, and the cloud's quota with it",
    ),
    ReasonCode.ABOVE_MAX: Words(
        "guard",
        "the pool is {over_nodes} above its maximum of {max_nodes} and is not cut for that alone",
        "raise max_nodes, or shrink the pool by hand",
    ),
    ReasonCode.FIXED: Words("guard", "the number of nodes is fixed"),
    ReasonCode.FIXED_AT_CAPACITY: Words(
        "guard",
        "the number of nodes is fixed, {unmet_nodes} unmet",
        "add hardware, or move workloads to another site",
    ),
    ReasonCode.UNREACHABLE: Words("guard", "the cluster or its node-pool API does not answer", _DOCTOR),
    ReasonCode.FLEET_UNREACHABLE: Words(
        "guard",
        "{unreachable_ratio} of the pools are unreachable (limit {limit_ratio}), so the whole fleet holds still",
        _DOCTOR,
    ),
    ReasonCode.BUSY: Words("guard", "an operation on the pool is running", WAIT),
    ReasonCode.BOOTING: Words("guard", "{missing_nodes} still booting (about {boot_s} each)"),
    ReasonCode.NODES_NOT_READY: Words(
        "guard",
        "{missing_nodes} not Ready {limit_s} after the last change",
        "look at the events of these nodes, and at the cloud's quota and capacity",
    ),
    ReasonCode.SCALE_OUT_ONLY: Words(
        "guard", "the policy only grows pools", "unset scale_out_only to let pools shrink"
    ),
    ReasonCode.COOLDOWN: Words(
        "guard", "the last scale-up was {since_up_s} ago, no scale-down within {limit_s} of one", WAIT
    ),
    ReasonCode.DOWN_STABILISATION: Words("guard", "{recent_want_nodes} wanted within the last {window_s}"),
    ReasonCode.STEP_LIMIT: Words("guard", "a change of {wanted_change_nodes} is cut to {limit_nodes} a pass", WAIT),
    ReasonCode.MULTIPLE: Words(
        "guard",
        "{wished_nodes} is no multiple of the {multiple_nodes} that come and go together",
        "choose min_nodes and max_nodes as multiples of {multiple_nodes}",
    ),
    ReasonCode.HANDS_OFF: Words(
        "guard",
        "the pool is marked hands-off",
        "apply the patch to {patch_nodes}, or remove the mark continuum.io/hands-off",
    ),
    ReasonCode.FOREIGN_OWNER: Words(
        "guard",
        "{owner} sizes this pool",
        "apply the patch to {patch_nodes} there, or take the pool away from {owner}",
    ),
    ReasonCode.DISRUPTION_BUDGET: Words(
        "guard",
        "{granted_nodes} of {wanted_change_nodes} may go now: one pass removes {budget_nodes} of {fleet_nodes}",
        WAIT,
    ),
    ReasonCode.GATE_UNSCORED: Words(
        "guard",
        "it stays in shadow: only {scored_s} of the {needed_s} that the gate asks for are scored",
        "let cluster-scaling and scaling-scorecard run on, or set gate_days to 0",
    ),
    ReasonCode.GATE_NOT_BETTER: Words(
        "guard",
        "it stays in shadow: over {window_s} ours had {our_violation_minutes} in violation and {our_node_hours}, the "
        "live rule {live_violation_minutes} and {live_node_hours}",
        "look at its scorecard, or set gate_days to 0",
    ),
    ReasonCode.EXPIRED: Words(
        "guard",
        "the decision is {age_s} old and expired after {limit_s}",
        f"{_AGAIN}, and approve within that time",
    ),
    ReasonCode.GONE: Words("guard", "the pool is no longer in the inventory", _AGAIN),
    ReasonCode.DESIRED_CHANGED: Words(
        "guard", "it was decided on {decided_on_nodes}, somebody has set {found_nodes} since", _AGAIN
    ),
    ReasonCode.BOUNDS_CHANGED: Words(
        "guard", "its bounds are now {min_nodes} to {max_nodes}, not those it was decided within", _AGAIN
    ),
    ReasonCode.ACTUATOR_CHANGED: Words("guard", "it is changed by another actuator now", _AGAIN),
    ReasonCode.DEMAND_ROSE: Words(
        "guard", "usage now needs {needed_nodes}, more than the {decided_nodes} decided on", _AGAIN
    ),
}

_RESOURCES = {"": "demand", "cpu_cores": "CPU", "memory_bytes": "memory", "gpus": "GPUs", "pods": "pods"}


def filled(text: str, reason: Mapping[str, Any], record: Record) -> str:
    """A template of `WORDS` with the reason's numbers, each with its unit."""
    resource = reason["resource"]
    numbers = {
        name.removesuffix(f"_{resource}") if resource else name: said(name, value)
        for name, value in reason["numbers"].items()
    }
    owner = record["owner"] or "somebody else"
    return text.format_map({"resource": _RESOURCES[resource], "owner": owner, **numbers})


def said(name: str, value: float | None) -> str:
    """A number with its unit, which its name tells.

    >>> said("peak_cpu_cores", 31.24), said("age_s", 900.0), said("quantile_ratio", 0.9), said("need_nodes", 1)
    ('31.2 cores', '15 min', 'p90', '1 node')
    """
    if value is None:
        return "unknown"
    return next(say(value) for suffix, say in _UNITS.items() if name.endswith(suffix))


def nodes(value: float) -> str:
    """Nodes, to a tenth.

    >>> nodes(1), nodes(8.68)
    ('1 node', '8.7 nodes')
    """
    number = f"{value:.1f}".removesuffix(".0")
    return f"{number} node" if number == "1" else f"{number} nodes"


def duration(value_s: float) -> str:
    """Seconds in the unit that a person would use.

    >>> duration(45), duration(900), duration(10800)
    ('45 s', '15 min', '3.0 h')
    """
    if abs(value_s) < 120:
        return f"{value_s:.0f} s"
    return f"{value_s / 60:.0f} min" if abs(value_s) < 7200 else f"{value_s / 3600:.1f} h"


def count(number: int, thing: str) -> str:
    """A count and its noun.

    >>> count(1, "pool"), count(2, "pool")
    ('1 pool', '2 pools')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _bytes(value: float) -> str:
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 / 10 else f"{value / 2**20:.1f} MiB"


def _clock(value_s: float) -> str:
    return f"{datetime.fromtimestamp(value_s, UTC):%H:%M} UTC"


# by the end of the number's name, the more particular first
_UNITS = {
    "_at_s": _clock,
    "_minutes": lambda value: f"{value:.1f} min",
    "_node_hours": lambda value: f"{value:.1f} node-hours",
    "quantile_ratio": lambda value: f"p{100 * value:g}",
    "_ratio": lambda value: f"{100 * value:.0f} %",
    "_cpu_cores": lambda value: f"{value:.1f} cores",
    "_memory_bytes": _bytes,
    "_nodes": nodes,
    "_gpus": lambda value: f"{value:g}",
    "_pods": lambda value: count(int(value), "pod"),
    "_s": duration,
}
