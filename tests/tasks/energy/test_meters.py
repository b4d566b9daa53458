"""Measured power before the model: BMCs over real sockets, the series files, and what a report says of each pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from blocks.carbon import CarbonSeries
from blocks.credentials import MASK, join_secrets, split_secrets
from blocks.fleet import BmcAccess, Fleet
from blocks.fleet_file import load_fleet
from blocks.series import Series
from blocks.store.series import SeriesStore
from deployments.local.files import FLEET_FILE
from tasks.energy.decide.samples import HOUR_S
from tasks.energy.meters import read_bmcs
from tasks.energy.observe import STEP_S, observe_use
from tasks.energy.offline import report_of
from tasks.energy.report import document, energy_sections
from tasks.energy.report_files import rows_frame
from tests.blocks.conftest import Asked, Server, as_json, server

__all__ = ["server"]

BEGIN = 1_772_323_200  # 2026-03-01T00:00Z
POOL = "edge-munich/edge"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Fleet:
    """One BMC for each of two machines of a pool; the second may be silenced."""
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    bmcs = [BmcAccess(url=f"{server.url}/{each}", username="u", password=SecretStr("p"), node_pool=POOL)
            for each in ("a", "b")]  # fmt: skip
    return load_fleet(FLEET_FILE).model_copy(update={"bmcs": bmcs})


def answering(server: Server, control: dict, silent: str = "") -> None:
    def answer(asked: Asked):  # type: ignore[no-untyped-def]
        _, name, *rest = asked.path.split("/")
        if name == silent:
            return as_json({"error": "no"}, 401)
        return as_json({
            "Chassis": {"Members": [{"@odata.id": "/redfish/v1/Chassis/1"}]},
            "1": {"Power": {"@odata.id": "/redfish/v1/Chassis/1/Power"}}, "Power": {"PowerControl": [control]},
        }[rest[-1]])  # fmt: skip

    server.handler = answer


def test_an_average_holds_for_its_time_and_a_moment_for_its_step(server: Server, fleet: Fleet) -> None:
    answering(server, {"PowerMetrics": {"AverageConsumedWatts": 100, "IntervalInMin": 15}})
    found, trouble = read_bmcs(fleet, BEGIN + HOUR_S + 10, STEP_S)
    assert found is not None
    assert (trouble, found.unique_id, found.end_s) == ([], (POOL,), BEGIN + HOUR_S + STEP_S)
    assert np.array_equal(found.values, [[200, 200, 200, np.nan]], equal_nan=True)
    answering(server, {"PowerConsumedWatts": 90})
    found, _ = read_bmcs(fleet, BEGIN + HOUR_S + 10, STEP_S)
    assert found is not None
    assert (found.start_s, found.values.tolist()) == (BEGIN + HOUR_S, [[180.0]])


def test_a_pool_of_which_one_bmc_is_silent_is_not_measured(server: Server, fleet: Fleet) -> None:
    answering(server, {"PowerConsumedWatts": 90}, silent="b")
    found, (line,) = read_bmcs(fleet, BEGIN, STEP_S)
    assert found is None
    assert "/b of edge-munich/edge" in line
    assert "the pool's power is modelled" in line


def keep(fleet: Fleet, kind: str, value: float, steps: slice = slice(None), name: str = POOL) -> None:
    values = np.full((1, 12), np.nan, np.float32)
    values[0, steps] = value
    SeriesStore.open().append(f"energy {kind} of {fleet.name}", Series((name,), BEGIN, STEP_S, values))


def grid(zone: str, begin_s: int, end_s: int) -> CarbonSeries:
    return CarbonSeries(zone, begin_s, HOUR_S, np.full((end_s - begin_s) // HOUR_S, 100.0), "average", "actual", "test")


def test_a_report_takes_the_bmc_before_other_meters_before_the_model_and_says_so(fleet: Fleet) -> None:
    keep(fleet, "nodes_ready", 2)
    keep(fleet, "cpu_cores", 4)
    keep(fleet, "bmc_watts", 300, slice(0, 6))
    keep(fleet, "watts", 200, slice(3, 9))
    keep(fleet, "sensor_watts", 100, slice(0, 12))
    report = report_of("r", observe_use(fleet, BEGIN, BEGIN + HOUR_S).samples, BEGIN, BEGIN + HOUR_S, grid)
    pue = next(pool.pue for pool in report.accounts.pools if pool.cluster == "edge-munich")
    assert document(report)["totals"]["energy_kwh"] == pytest.approx(
        (300 * 6 + 200 * 3 + 100 * 3) / 12 / 1000 * pue, abs=2e-6
    )
    meters = "BMC (Redfish), query metrics.watts, query metrics.sensor_watts"
    frame = rows_frame(report)
    assert set(zip(frame["method"], frame["power_source"], strict=True)) == {("measured", meters)}
    assert f"Measured: {POOL} by {meters}." in energy_sections(report)[0]["paragraphs"]


def test_more_machines_than_bmcs_are_not_taken_for_measured(fleet: Fleet) -> None:
    keep(fleet, "nodes_ready", 3)
    keep(fleet, "cpu_cores", 4)
    keep(fleet, "bmc_watts", 300)
    seen = observe_use(fleet, BEGIN, BEGIN + HOUR_S)
    assert seen.samples.metered_w is None
    assert any("more machines than `bmcs` names" in line for line in seen.trouble)


def test_what_the_flow_kept_of_network_and_storage_is_a_row_each(fleet: Fleet) -> None:
    keep(fleet, "nodes_ready", 2)
    keep(fleet, "cpu_cores", 4)
    keep(fleet, "network_bytes_per_second", 1e9, slice(0, 6), "edge-munich/shop")  # half of the hour was sampled
    keep(fleet, "hdd_bytes", 4e12, name="edge-munich/shop")
    seen = observe_use(fleet, BEGIN, BEGIN + 2 * HOUR_S)
    assert seen.usage is not None
    assert seen.usage.kind == ("network_gb", "hdd_tb")
    assert np.allclose(seen.usage.amount, [[3600, np.nan], [4, np.nan]], equal_nan=True)
    report = report_of("r", seen.samples, BEGIN, BEGIN + 2 * HOUR_S, grid, usage=seen.usage)
    pue = next(pool.pue for pool in report.accounts.pools if pool.cluster == "edge-munich")
    kinds = document(report)["by_kind"]
    assert kinds["(network)"]["energy_kwh"] == pytest.approx(3.6 * pue)
    assert kinds["(storage hdd)"]["energy_kwh"] == pytest.approx(0.0026 * pue)
    assert any("not known of 2 hours" in line for line in report.trouble)


def test_the_passwords_of_bmcs_are_masked_and_come_back(fleet: Fleet) -> None:
    data, secrets = split_secrets(fleet)
    assert [each["password"] for each in data["bmcs"]] == [MASK, MASK]
    back = Fleet.model_validate(join_secrets(data, secrets))
    assert [each.password.get_secret_value() for each in back.bmcs if each.password] == ["p", "p"]


def test_a_bmc_of_no_pool_is_refused_by_name(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="there is no node pool edge-munich/none"):
        Fleet.model_validate(fleet.model_dump() | {"bmcs": [{"url": "https://b", "node_pool": "edge-munich/none"}]})
