"""Why a decision is what it is: codes with numbers. The words are in `tasks/scaling/reason_words.py`."""

from __future__ import annotations

from enum import StrEnum


class ReasonCode(StrEnum):
    """What drove or stopped a change."""

    # what the need comes from
    REACTIVE_NEED = "reactive-need"
    FORECAST_PEAK = "forecast-peak"
    FORECAST_OUTRUN = "forecast-outrun"
    ABOVE_THRESHOLD = "above-threshold"
    PREDICTED_ABOVE_THRESHOLD = "predicted-above-threshold"
    BELOW_THRESHOLDS = "below-thresholds"
    WITHIN_THRESHOLDS = "within-thresholds"
    ON_TARGET = "on-target"
    REQUESTS = "requests"
    PENDING_PODS = "pending-pods"
    SCHEDULED = "scheduled"
    SPOT_INTERRUPTION = "spot-interruption"
    RESERVED = "reserved"
    # data that is not believed
    MISSING_DATA = "missing-data"
    STALE_DATA = "stale-data"
    ZERO_USAGE = "zero-usage"
    FORECAST_MISSING = "forecast-missing"
    FORECAST_STALE = "forecast-stale"
    FORECAST_INCOMPLETE = "forecast-incomplete"
    FORECAST_NEEDED = "forecast-needed"
    REQUESTS_UNKNOWN = "requests-unknown"
    # the pool's own bounds
    BELOW_MIN = "below-min"
    AT_MIN = "at-min"
    AT_MAX = "at-max"
    ABOVE_MAX = "above-max"
    # guards on a change
    BOOTING = "booting"
    NODES_NOT_READY = "nodes-not-ready"
    SCALE_OUT_ONLY = "scale-out-only"
    COOLDOWN = "cooldown"
    DOWN_STABILISATION = "down-stabilisation"
    STEP_LIMIT = "step-limit"
    MULTIPLE = "multiple"
    DISRUPTION_BUDGET = "disruption-budget"
    REQUESTS_FIT = "requests-fit"
    POD_DISRUPTION_BUDGET = "pod-disruption-budget"
    QUOTA = "quota"
    CHANGE_FREEZE = "change-freeze"
    # pools that are not touched at all
    FIXED = "fixed"
    FIXED_AT_CAPACITY = "fixed-at-capacity"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    FLEET_UNREACHABLE = "fleet-unreachable"
    HANDS_OFF = "hands-off"
    FOREIGN_OWNER = "foreign-owner"
    # a pool that has not earned to be acted upon
    GATE_UNSCORED = "gate-unscored"
    GATE_NOT_BETTER = "gate-not-better"
    # a stored decision that no longer fits the world
    EXPIRED = "expired"
    GONE = "gone"
    DESIRED_CHANGED = "desired-changed"
    BOUNDS_CHANGED = "bounds-changed"
    ACTUATOR_CHANGED = "actuator-changed"
    DEMAND_ROSE = "demand-rose"
