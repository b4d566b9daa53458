"""A cloud's own figures beside ours: whole months alone, the making of machines on both sides."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from blocks.carbon import CarbonSeries
from blocks.emissions import CloudEmissions
from tasks.energy.offline import EnergyReport, reconcile, report_of
from tasks.energy.report import document, energy_sections
from tasks.energy.samples_file import read_samples

FEB, MARCH, APRIL = (int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) for month in (2, 3, 4))


@pytest.fixture
def report(tmp_path: Path) -> EnergyReport:
    lines = [f"2026-03-{day:02d}T{hour:02d}:00Z,{cluster},web,n1,m6i.large,DE,0.5"
             for day in range(1, 32) for hour in range(24) for cluster in ("a", "b")]  # fmt: skip
    (tmp_path / "s.csv").write_text("ts,cluster,pool,node,instance_type,zone,cpu_ratio\n" + "\n".join(lines))
    samples = read_samples(tmp_path / "s.csv", zone="", pue=1.2).samples

    def intensity(zone: str, begin_s: int, end_s: int) -> CarbonSeries:
        return CarbonSeries(zone, begin_s, 3600, np.full((end_s - begin_s) // 3600, 400.0), "average", "actual", "told")

    return report_of("s", samples, MARCH, APRIL, intensity)


def told(begin_s: int, end_s: int, location_g: float, region: str = "eu") -> CloudEmissions:
    return CloudEmissions("aws", region, begin_s, end_s, location_g, 1.0, "v3", "export.csv")


def test_clusters_of_a_region_are_added_up_and_compared_with_their_making(report: EnergyReport) -> None:
    totals = document(report)["totals"]
    ours = totals["location_g"] + totals["embodied_g"]
    provided = [told(MARCH, APRIL, ours / 2), told(FEB, MARCH, 9.0), told(MARCH, APRIL, 5.0, "us")]
    reconcile(report, provided, {"a": ("aws", "eu"), "b": ("aws", "eu"), "c": ("aws", "us")})
    eu, us = document(report)["reconciliation"]
    assert eu["ours_location_g"] == pytest.approx(ours)
    assert (eu["difference_ratio"], eu["covered_ratio"]) == (pytest.approx(1.0), 1.0)
    assert (eu["ours_market_g"], us["ours_location_g"], us["difference_ratio"]) == (None, None, None)
    section = energy_sections(report)[-1]
    assert section["title"] == "Reconciliation with the clouds' own figures"
    assert section["table"]["rows"][0][7] == "+100%"


def test_months_that_reach_out_of_the_period_are_told_and_not_compared(report: EnergyReport) -> None:
    reconcile(report, [told(FEB, MARCH, 9.0)], {"a": ("aws", "eu")})
    assert report.reconciled == []
    assert report.trouble[-1] == "export.csv: no month of it lies wholly in the period"
    assert all("Reconciliation" not in each["title"] for each in energy_sections(report))
