"""Providers, against answers in the form that they document, on a local server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from blocks.carbon.providers import CarbonAwareSdk, ElectricityMaps, UkCarbonIntensity, WattTime
from blocks.carbon.series import best_series
from blocks.errors import ContinuumError, InvalidInput, NotFound, Refused, Throttled, Unauthorized, Unreachable

START = int(datetime(2022, 3, 27, tzinfo=UTC).timestamp())


def uk(*rows):
    return {"data": [{"from": f"2022-03-27T{at}Z", "to": "", "intensity": {"actual": actual, "forecast": told,
                                                                          "index": "low"}}
                     for at, actual, told in rows]}  # fmt: skip


def em(*rows):
    return [{"zone": "DE", "carbonIntensity": value, "datetime": f"2022-03-27T{at}:00.000Z", "isEstimated": estimated}
            for at, value, estimated in rows]  # fmt: skip


def test_the_uk_service_says_actual_or_estimated(server) -> None:
    server.answers(server.as_json(uk(("00:00", 100, 90), ("00:30", 110, 95))))
    series = UkCarbonIntensity(server.url).series("GB", START, START + 3600)
    assert (series.start_s, series.step_s, series.g_per_kwh.tolist()) == (START, 1800, [100, 110])
    assert series.method == "actual"
    assert server.asked[0].path == "/intensity/2022-03-27T00:00Z/2022-03-27T01:00Z"
    server.answers(server.as_json(uk(("00:00", 100, 90), ("00:30", None, 95))))
    later = UkCarbonIntensity(server.url).series("GB", START, START + 3600)
    assert (later.g_per_kwh.tolist(), later.method) == ([100, 95], "estimated")


def test_the_uk_forecast_is_called_one_and_another_zone_refused(server) -> None:
    server.answers(server.as_json(uk(("00:00", None, 90), ("00:30", None, 95))))
    series = UkCarbonIntensity(server.url).forecast("GB")
    assert (series.method, series.g_per_kwh.tolist()) == ("forecast", [90, 95])
    assert server.asked[0].path.endswith("/fw48h")
    with pytest.raises(NotFound, match="no zone 'DE'"):
        UkCarbonIntensity(server.url).forecast("DE")


def test_electricity_maps_is_asked_with_its_own_header(server) -> None:
    server.answers(server.as_json({"zone": "DE", "data": em(("01:00", 210, True), ("00:00", 200, False))}))
    series = ElectricityMaps(SecretStr("key"), server.url).series("DE", START, START + 7200)
    assert (series.g_per_kwh.tolist(), series.method, series.signal) == ([200, 210], "estimated", "average")
    assert server.asked[0].headers["auth-token"] == "key"
    assert (server.asked[0].path, server.asked[0].query["zone"]) == ("/v3/carbon-intensity/past-range", "DE")


def test_a_forecast_keeps_its_issue_time(server) -> None:
    rows = [{"carbonIntensity": 326, "datetime": "2022-03-27T17:00:00.000Z"}]
    server.answers(server.as_json({"zone": "DE", "forecast": rows, "updatedAt": "2022-03-27T16:25:24.685Z"}))
    series = ElectricityMaps(SecretStr("key"), server.url).forecast("DE")
    assert series.issued_at == datetime(2022, 3, 27, 16, 25, 24, 685000, UTC)


def test_watttime_logs_in_is_marginal_and_in_grams(server) -> None:
    meta = {"signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300,
            "generated_at": "2022-03-27T00:00:00+00:00"}  # fmt: skip
    data = [{"point_time": f"2022-03-27T00:0{at}:00+00:00", "value": 1000} for at in (0, 5)]
    server.answers(server.as_json({"token": "t0"}), server.as_json({"data": data, "meta": meta}))
    source = WattTime("me", SecretStr("pw"), server.url)
    series = source.forecast("CAISO_NORTH")
    assert series.g_per_kwh.tolist() == pytest.approx([453.59237] * 2)
    assert (series.signal, series.step_s, series.issued_at) == ("marginal", 300, datetime(2022, 3, 27, tzinfo=UTC))
    assert [asked.path for asked in server.asked] == ["/login", "/v3/forecast"]
    assert server.asked[0].headers["authorization"].startswith("Basic ")
    assert server.asked[1].headers["authorization"] == "Bearer t0"
    with pytest.raises(Refused, match="marginal intensity was given where average"):
        best_series([source], "CAISO_NORTH", START, START + 300)


def test_watttime_in_other_units_is_refused(server) -> None:
    meta = {"signal_type": "co2_moer", "units": "percentile", "data_point_period_seconds": 300}
    server.answers(server.as_json({"token": "t0"}), server.as_json({"data": [], "meta": meta}))
    with pytest.raises(Refused, match="answered co2_moer in percentile"):
        WattTime("me", SecretStr("pw"), server.url).forecast("CAISO_NORTH")


def test_a_carbon_aware_sdk_gives_what_its_user_says_it_reads(server) -> None:
    data = [{"location": "westus", "timestamp": f"2022-03-27T00:0{at}:00+00:00", "duration": 5, "value": 300 + at}
            for at in (0, 5)]  # fmt: skip
    server.answers(server.as_json([{"generatedAt": "2022-03-27T00:03:30+00:00", "forecastData": data}]))
    series = CarbonAwareSdk(server.url, "marginal").forecast("westus")
    assert (series.g_per_kwh.tolist(), series.step_s, series.signal) == ([300, 305], 300, "marginal")
    server.answers(server.as_json([]))
    with pytest.raises(NotFound, match="no values"):
        CarbonAwareSdk(server.url, "average").forecast("westus")


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (404, NotFound), (429, Throttled)])
def test_what_a_provider_refuses_is_told_without_the_key(server, status: int, kind: type[ContinuumError]) -> None:
    server.answers(server.as_json({"error": "no"}, status, **{"Retry-After": "0"}))
    with pytest.raises(kind) as refusal:
        ElectricityMaps(SecretStr("hunter2"), server.url).forecast("DE")
    assert "hunter2" not in str(refusal.value)


def test_a_key_follows_no_redirect(server) -> None:
    server.answers((302, {"Location": f"{server.url}/elsewhere"}, b""))
    with pytest.raises(Unreachable):
        ElectricityMaps(SecretStr("key"), server.url).forecast("DE")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("00:00", 200, False), ("02:00", 200, False)], InvalidInput),
        ([("00:00", -1, False)], InvalidInput),
        ([("00:00", None, False)], InvalidInput),
        ([], NotFound),
    ],
)
def test_gaps_and_values_that_are_negative_or_missing_are_refused(server, rows, kind: type[ContinuumError]) -> None:
    server.answers(server.as_json({"zone": "DE", "data": em(*rows)}))
    with pytest.raises(kind):
        ElectricityMaps(SecretStr("key"), server.url).series("DE", START, START + 3 * 3600)


def test_another_services_answer_is_named_as_such(server) -> None:
    server.answers(server.as_json({"hello": "world"}))
    with pytest.raises(Unreachable, match="an answer that is not UK Carbon Intensity's"):
        UkCarbonIntensity(server.url).series("GB", START, START + 3600)
