"""Train a model on edges whose rows stay there, round by round, each checked by the gate; publish what stands."""

from __future__ import annotations

from typing import Any, Literal, Self

from prefect import flow
from pydantic import Field, model_validator

from blocks.store.rounds import rounds
from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.federation.act import act_on
from tasks.federation.decide.cohort import Wish, can_be_asked, decide_training
from tasks.federation.observe import observe_devices
from tasks.federation.report import explain, explain_all, training_sections
from tasks.run import open_run


class FederatedRequest(ActingRequest):
    """What to train, on whom, and how far to trust them."""

    model: str = Field("digits", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="name of the model")
    data: str = Field("digits", description="held-back rows: digits, ai4i, cmapss, or a CSV or Parquet")
    label: str = Field("", description="a file's column to predict; else label, target, class or y")
    kind: Literal["softmax", "mlp"] = Field("softmax", description="mlp: one hidden layer of 64")
    rounds: int = Field(5, ge=1, le=1000, description="rounds of this run")
    fraction: float = Field(0.3, gt=0, le=1, description="of the edges heard of lately, asked in each round")
    assumed_hostile: float = Field(0.0, ge=0, lt=1, description="share of the edges that may be hostile")
    aggregator: Literal["auto", "mean", "multi-krum", "trimmed-mean", "median"] = Field(
        "auto", description="auto: mean of clipped updates; Multi-Krum where some may be hostile"
    )
    step: Literal["auto", "average", "momentum", "adam"] = Field(
        "auto", description="how the server takes a step; auto: momentum, under DP average"
    )
    data_weight: float = Field(0.0, ge=0, le=10, description="how far to ask devices with more rows before others")
    carbon_weight: float = Field(
        0.0, ge=0, le=10, description="how far to ask devices on cleaner power before others, by their region: a "
        "site of the fleet, or a grid zone such as DE",
    )  # fmt: skip
    dp_noise: float = Field(
        0.0, ge=0, le=100, description="noise multiplier of central DP-FedAvg, 0.3 at least; 0: no DP. Either way "
        "the hub sees each update: secure aggregation is off",
    )  # fmt: skip
    dp_clip: float = Field(1.0, gt=0, le=1e6, description="length that an update is cut to under DP")
    epsilon_budget: float | None = Field(
        None, gt=0, le=1e6, description="epsilon of all rounds of this model, in all runs; default: what its last run "
        "had, or 8",
    )  # fmt: skip
    epochs: int = Field(5, ge=1, le=1000, description="passes of an edge over its rows, a round")
    batch: int = Field(16, ge=1, le=10_000, description="rows a step")
    lr: float = Field(0.2, gt=0, le=10, description="step of the descent")
    deadline_s: float = Field(
        300.0, ge=1, le=86_400, description="seconds after which a round ends, whoever is missing"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of the selection, of the first model and of the held-back rows")
    publish: bool = Field(True, description="publish the model that stands at the end as a version")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if 0 < self.dp_noise < 0.3:
            raise ValueError("dp_noise: give 0.3 at least, or 0 for none")
        if self.dp_noise and (self.aggregator != "auto" or self.assumed_hostile):
            raise ValueError(
                "dp_noise: DP-FedAvg bounds updates but removes none; leave out aggregator, assumed_hostile"
            )
        if (self.dp_noise or self.assumed_hostile) and (self.data_weight or self.carbon_weight):
            raise ValueError(
                "data_weight, carbon_weight: DP and a hostile share count on a uniform choice; leave them 0"
            )
        return self

    def wish(self) -> Wish:
        """What `tasks.federation` calls it."""
        apart = {"fleet", "mode", "approval_timeout_s", "data", "label", "publish"}
        return Wish(**self.model_dump(exclude=apart))


@flow(name="federated-training", description=__doc__)
def federated_training(request: FederatedRequest = FederatedRequest()) -> dict[str, Any]:
    """Observe, decide, record, approve, train round by round, publish, report."""
    run = open_run("federated-training", request.fleet, request.mode)
    ttl_s, wish = float(request.approval_timeout_s), request.wish()

    view = observe_devices(run, request.model, request.data, request.label, request.kind, request.seed,
                           carbon=request.carbon_weight > 0)  # fmt: skip

    rows = decided_before(run)
    if not rows:
        entry = decide_training(view.devices, wish, view.ledger)
        rows = keep_decisions(run, [entry], as_of=view.as_of, ttl_s=ttl_s, changes={"train"})
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: {each.subject: "fewer edges can be asked than were decided on" for each in changes
                               if can_be_asked(view.devices, wish) < each.content["cohort"]},
    )  # fmt: skip

    results = act_on(run, approved, view, wish, publish=request.publish)

    told = training_sections([row.content for row in rows], rounds(run.store, request.model)[::-1])
    return publish_acts(run, told, rows, results, [], explain, view.trouble)


if __name__ == "__main__":
    federated_training()
