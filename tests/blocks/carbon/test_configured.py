"""Providers that an inventory names: our zones by their names, long spans in several answers, missing keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from blocks.carbon.configured import Provider, providers_of
from blocks.errors import NotConfigured, NotFound
from blocks.fleet import CarbonAccess

START = datetime(2026, 3, 1, tzinfo=UTC)
START_S = int(START.timestamp())
DAY_S = 86_400


def hours(asked) -> dict:
    """Electricity Maps' answer to a range: the hour of the month, estimated from the second day on."""
    first, end = (datetime.fromisoformat(asked.query[name]) for name in ("start", "end"))
    count = int((end - first) / timedelta(hours=1))
    rows = [{"datetime": (first + timedelta(hours=each)).isoformat(), "isEstimated": first > START,
             "carbonIntensity": (first - START) / timedelta(hours=1) + each} for each in range(count)]  # fmt: skip
    return {"zone": asked.query["zone"], "data": rows}


def test_a_month_is_asked_for_in_parts_and_called_by_the_weakest(server) -> None:
    server.handler = lambda asked: server.as_json(hours(asked))
    access = CarbonAccess(kind="electricity-maps", url=server.url, token=SecretStr("k"), zones={"DE": "DE-LU"})
    told = Provider(access).series("DE", START_S, START_S + 31 * DAY_S)
    assert told.g_per_kwh.tolist() == list(range(31 * 24))
    assert (told.zone, told.method, told.start_s) == ("DE", "estimated", START_S)
    assert [each.query["zone"] for each in server.asked] == ["DE-LU"] * 4


def test_a_zone_that_it_does_not_know_is_not_asked_for(server) -> None:
    provider = Provider(CarbonAccess(kind="uk", url=server.url))
    assert (provider.knows("GB"), provider.knows("DE")) == (True, False)
    with pytest.raises(NotFound, match="does not know zone DE"):
        provider.series("DE", START_S, START_S + 3600)
    sdk = Provider(CarbonAccess(kind="carbon-aware-sdk", url=server.url))
    with pytest.raises(NotFound):
        sdk.series("DE", START_S, START_S + 3600)
    entsoe = Provider(CarbonAccess(kind="entsoe", url=server.url, token=SecretStr("k")))
    assert not entsoe.tells_forecasts
    with pytest.raises(NotFound, match="has no forecast of zone DE"):
        entsoe.forecast("DE")
    assert server.asked == []


def test_average_and_marginal_are_never_in_one_list() -> None:
    url = "http://127.0.0.1:9"
    marginal = CarbonAccess(kind="carbon-aware-sdk", url=url, signal="marginal")
    found = [CarbonAccess(kind="uk"), marginal, CarbonAccess(kind="carbon-aware-sdk", url=url)]
    assert [each.kind for each in providers_of(found, "average")] == ["uk", "carbon-aware-sdk"]
    assert [each.signal for each in providers_of(found, "marginal")] == ["marginal"]


@pytest.mark.parametrize(("access", "words"), [
    (CarbonAccess(kind="electricity-maps"), "no key"), (CarbonAccess(kind="carbon-aware-sdk"), "needs a URL"),
    (CarbonAccess(kind="watttime", username="me"), "its own names of zones"), (CarbonAccess(kind="eia"), "no key"),
])  # fmt: skip
def test_what_is_missing_is_told(access: CarbonAccess, words: str) -> None:
    with pytest.raises(NotConfigured, match=words):
        Provider(access)
