"""What every flow that changes the world shares: modes, stored decisions, approval, and changes through the journal.

A subject brings what it decides (`decide`), its actuators (`SubjectActuator`) and its words; the rest is in here.
`CONTRIBUTING.md` shows a whole subject.
"""

from __future__ import annotations

from tasks.acting.actuator import Planned, Seen, SubjectActuator, looks, told
from tasks.acting.approval import approve
from tasks.acting.carry_out import REFUSED, Result, carry_out, carry_out_all, settle_left_over, undo_with
from tasks.acting.decisions import decided_before, keep_decisions
from tasks.acting.report import publish_acts
from tasks.acting.request import ActingRequest

__all__ = [
    "REFUSED", "ActingRequest", "Planned", "Result", "Seen", "SubjectActuator", "approve", "carry_out", "carry_out_all",
    "decided_before", "keep_decisions", "looks", "publish_acts", "settle_left_over", "told", "undo_with",
]  # fmt: skip
