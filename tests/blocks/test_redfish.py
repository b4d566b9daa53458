"""A BMC over a real socket, answering as DMTF's schemas have it: each machine counted once, silence told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from blocks.errors import ContinuumError, NotFound, Refused, Unauthorized
from blocks.fleet import BmcAccess
from blocks.redfish import PowerReading, Redfish
from tests.blocks.conftest import Asked, Server, as_json

ONE = "/redfish/v1/Chassis/1"
POWER = {"PowerControl": [
    {"MemberId": "0", "PowerConsumedWatts": 231, "PowerMetrics": {"AverageConsumedWatts": 220, "IntervalInMin": 20}},
    {"MemberId": "1", "PhysicalContext": "CPU", "PowerConsumedWatts": 120},
]}  # fmt: skip


def link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def bmc(server: Server, resources: dict[str, Any]) -> Redfish:
    members = sorted(path for path in resources if path.count("/") == 4)
    resources = {"/redfish/v1/Chassis": {"Members": [link(path) for path in members]}, **resources}

    def answer(asked: Asked) -> Any:
        found = resources.get(asked.path)
        return as_json({"error": {"message": "no such resource"}}, 404) if found is None else as_json(found)

    server.handler = answer
    access = BmcAccess(url=server.url, username="reader", password=SecretStr("p"), node_pool="eu/web")
    return Redfish(access)


def test_an_average_comes_before_the_moment_and_parts_are_not_added(server: Server) -> None:
    found = bmc(server, {ONE: {"Power": link(f"{ONE}/Power")}, f"{ONE}/Power": POWER}).power()
    assert found == PowerReading(220, 1200)
    assert {each.headers["authorization"][:6] for each in server.asked} == {"Basic "}


def test_newer_firmware_tells_environment_metrics(server: Server) -> None:
    metrics = {"PowerWatts": {"Reading": 310.5, "ReadingUnits": "W"}}
    chassis = {"EnvironmentMetrics": link(f"{ONE}/EnvironmentMetrics"), "Power": link(f"{ONE}/Power")}
    resources = {ONE: chassis, f"{ONE}/EnvironmentMetrics": metrics, f"{ONE}/Power": POWER}
    assert bmc(server, resources).power() == PowerReading(310.5, 0)
    resources[f"{ONE}/EnvironmentMetrics"] = {"PowerWatts": {"Reading": None}}
    assert bmc(server, resources).power() == PowerReading(220, 1200)


def test_a_chassis_inside_another_is_a_part_of_it_and_one_beside_is_added(server: Server) -> None:
    two, three = "/redfish/v1/Chassis/2", "/redfish/v1/Chassis/3"
    resources = {
        ONE: {"Power": link(f"{ONE}/Power")}, f"{ONE}/Power": POWER,
        two: {"Power": link(f"{two}/Power"), "Links": {"ContainedBy": link(ONE)}}, f"{two}/Power": POWER,
        three: {"Power": link(f"{three}/Power")}, f"{three}/Power": {"PowerControl": [{"PowerConsumedWatts": 80}]},
    }  # fmt: skip
    assert bmc(server, resources).power() == PowerReading(300, 0)


@pytest.mark.parametrize("watts", [None, 0, -5, "231", True, 1e9])
def test_what_is_no_power_is_not_taken_for_one(server: Server, watts: object) -> None:
    resources = {
        ONE: {"Power": link(f"{ONE}/Power")},
        f"{ONE}/Power": {"PowerControl": [{"PowerConsumedWatts": watts}]},
    }
    with pytest.raises(NotFound, match="no chassis of it tells its power"):
        bmc(server, resources).power()


def test_a_link_that_leaves_the_bmc_and_a_refusal_are_told_without_the_password(server: Server) -> None:
    with pytest.raises(Refused, match="no Redfish resource"):
        bmc(server, {ONE: {"Power": link("https://elsewhere.example/Power")}}).power()
    reader = bmc(server, {})
    server.answers(as_json({"error": {"message": "no"}}, 401))
    with pytest.raises(Unauthorized) as said:
        reader.power()
    assert "eu/web" in str(said.value)
    server.answers(as_json([]))
    with pytest.raises(ContinuumError, match="no Redfish resource"):
        reader.power()
