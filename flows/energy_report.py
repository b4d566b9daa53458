"""Account the fleet's energy and carbon: by cluster, pool, namespace and hour, each row saying how it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.carbon.intensity import intensity_of
from tasks.carbon.watch import watch_forecasts
from tasks.energy.factors import Factors, read_factors
from tasks.energy.observe import collect_use, observe_use
from tasks.energy.offline import report_of
from tasks.energy.record import due, keep, put_beside, tell_over_budget
from tasks.forecasting.observe import source_time_s
from tasks.run import open_run


class EnergyRequest(BaseModel):
    """Which period to account, and what it may come to."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    period: Literal["hour", "day", "month"] = Field("hour", description="the newest one that is over, UTC")
    budget_kwh: float | None = Field(None, ge=0, description="kWh; a period above it is announced. None: no budget")
    factors: str = Field(
        "", max_length=1000, description="file of factors by year: PUE, WUE, contracts, network, storage"
    )
    provider_data: list[str] = Field([], description="carbon exports of clouds as CSV (AWS, GCP), to be put beside")
    aws_emissions: bool = Field(False, description="ask AWS' sustainability API too, with the credentials at hand")
    budget_kg: float | None = Field(None, ge=0, description="kg CO2e by location; the same")


@flow(name="energy-report", description=__doc__)
def energy_report(request: EnergyRequest = EnergyRequest()) -> dict[str, Any]:
    """Collect, account, record; nothing outside the store and its files is written."""
    run = open_run(f"energy-report-{request.period}", request.fleet)
    period = due(request.period, source_time_s(run.fleet))

    trouble = collect_use(run.fleet, period.collect_s, period.end_s)
    seen = observe_use(run.fleet, period.before_s, period.end_s, trouble)

    report = report_of(
        run.fleet.name, seen.samples, period.begin_s, period.end_s, intensity_of(run.fleet), shares=seen.shares,
        factors=read_factors(Path(request.factors)) if request.factors else Factors(), usage=seen.usage,
        simulated=run.fleet.simulated,
    )  # fmt: skip
    report.trouble.extend(seen.trouble)
    put_beside(run, report, request.provider_data, aws=request.aws_emissions)
    tell_over_budget(run, report, request.budget_kwh, request.budget_kg)
    moved = watch_forecasts(run)

    return keep(run, report) | {"carbon_moved": moved}


if __name__ == "__main__":
    energy_report()
