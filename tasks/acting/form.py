"""Asking a person: a run in `propose` mode waits, holding no worker, for a typed form in the Prefect UI."""

from __future__ import annotations

from prefect import runtime, suspend_flow_run
from prefect.input import RunInput
from pydantic import Field


class Approval(RunInput):
    """The form a person fills to let a stored proposal go ahead."""

    approve: bool = Field(False, description="act on the plan above; it is checked against the fleet once more first")
    name: str = Field(
        min_length=1, max_length=100,
        description="your name. Prefect knows no users, so it is kept as unverified; `continuum approve` verifies it",
    )  # fmt: skip
    leave_out: str = Field("", description="what is to stay as it is: clusters, or subjects of the plan, with commas")
    note: str = Field("", description="kept beside the decision", max_length=500)


def ask_for_approval(plan: str, *, timeout_s: int, key: str | None = None) -> Approval | None:
    """Suspend this run until a person answers, and return the answer.

    Parameters
    ----------
    plan: Markdown shown above the form.
    key: of the question, where a run asks more than one; a run that comes by again gets the same answer.
    timeout_s: seconds after which the proposal lapses (the suspended run then ends as failed, nothing done).

    Returns
    -------
    The form; None in a run without a deployment, which cannot be suspended: its proposal is recorded and the run ends.
    """
    if not runtime.deployment.id:
        return None
    # no initial data: a field that has some loses its description
    return suspend_flow_run(wait_for_input=Approval.with_initial_data(description=plan), timeout=timeout_s,
                            key=key)  # fmt: skip
