"""Edge caches filled by the flow: nothing in shadow, a real nginx in act, refused sites named, killed runs ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from blocks.errors import NotConfigured
from blocks.fleet import Fleet
from blocks.store import Journal, Store
from blocks.store.tables import Mode, Verdict
from flows.cache_prepopulation import CacheRequest, cache_prepopulation
from tasks.caching.warm import claim
from tests.tasks.caching.cache_servers import Nginx, Origin, found

pytestmark = [pytest.mark.server, pytest.mark.skipif(found() is None, reason="no nginx on this machine")]


SITES = ("a0", "a1", "a2", "a3", "a4", "b")


@pytest.fixture(autouse=True)
def _a_busy_machine_is_no_slow_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.caching.origin.LEAST_SLOWER_S", 60.0)


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin(size=100)
    yield made
    made.close()


@pytest.fixture
def request_of(tmp_path: Path, origin: Origin) -> Iterator[CacheRequest]:
    """Sites a0 to a4 ask now and then for what all like; each object of b is asked for three times, and never again."""
    rng, like = np.random.default_rng(5), np.arange(1, 601) ** -0.8
    rows = [(at, f"a{site}", f"/a/{rng.choice(600, p=like / like.sum())}")
            for site in range(5) for at in range(site, 1_700_000, 1500)]  # fmt: skip
    rows += [(at, "b", f"/b/{at // 600}") for at in range(0, 1_700_000, 200)]
    (tmp_path / "log.csv").write_text(
        "ts,site,object,bytes\n" + "".join(f"{at},{site},{item},100\n" for at, site, item in sorted(rows))
    )
    nginx = Nginx(tmp_path / "nginx", origin)
    (tmp_path / "caches.csv").write_text("site,kind,url\n" + "".join(f"{name},nginx,{nginx.url}\n" for name in SITES))
    yield CacheRequest(log=str(tmp_path / "log.csv"), caches=str(tmp_path / "caches.csv"), budget="3kB",
                       origin_requests_per_s=1000)  # fmt: skip
    nginx.stop()


def regions_in(folder: Path) -> str:
    """A file of sites: those of a share the cache of region west."""
    (folder / "sites.csv").write_text("site,region\n" + "".join(f"a{number},west\n" for number in range(5)))
    return str(folder / "sites.csv")


def test_without_a_log_there_is_nothing_to_plan(fleet: Fleet) -> None:
    with pytest.raises(NotConfigured, match="no access log is named"):
        cache_prepopulation()


def test_shadow_plans_and_act_fills_only_where_plans_win(
    fleet: Fleet, origin: Origin, request_of: CacheRequest
) -> None:
    folder = Path(request_of.log).parent
    sites = regions_in(folder)
    with (folder / "caches.csv").open("a") as file:
        file.write((folder / "caches.csv").read_text().splitlines()[1].replace("a0,", "west,") + "\n")
    request_of = request_of.model_copy(update={"sites": sites, "regional_budget": "6kB"})
    told = cache_prepopulation(request_of)
    assert told["decisions"][0]["site"] == "west"
    assert {each["site"]: each["action"] for each in told["decisions"]} == dict.fromkeys(("west", *SITES), "warm") | {
        "b": "refuse"
    }
    assert origin.requests.total() == 0

    told = cache_prepopulation(request_of.model_copy(update={"mode": Mode.ACT}))
    filled = [each for each in told["decisions"] if each["action"] == "warm"]
    assert {each["result"]["state"] for each in filled} == {"done"}, [each["result"]["detail"] for each in filled]
    asked = {path for path in origin.requests if not path.startswith("/.continuum")}
    assert {path[:3] for path in asked} == {"/a/"}
    assert 0 < len(asked) <= sum(each["objects"] for each in filled)
    assert {Store.open().decision(each["id"]).state for each in filled} == {Verdict.ACTED}

    again = cache_prepopulation(request_of.model_copy(update={"mode": Mode.ACT}))
    assert all(
        f" 0 objects fetched and verified, {each['objects']} were there" in f" {each['result']['detail']}"
        for each in again["decisions"]
        if each["result"]
    )


def test_the_next_days_log_scores_what_was_promised_once_and_the_report_tells(
    fleet: Fleet, request_of: CacheRequest, tmp_path: Path
) -> None:
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    past = [line for line in lines if float(line.split(",")[0]) < 1_600_000]
    (tmp_path / "past.csv").write_text("\n".join([header, *past]))
    request = request_of.model_copy(update={"log": str(tmp_path / "past.csv"), "origin_usd_per_gb": 0.09,
                                            "horizon": "12h", "sites": regions_in(tmp_path),
                                            "regional_budget": "6kB"})  # fmt: skip
    first = cache_prepopulation(request)["decisions"]
    assert Store.open().outcomes([each["id"] for each in first]) == {}

    cache_prepopulation(request.model_copy(update={"log": request_of.log}))
    outcomes = Store.open().outcomes([each["id"] for each in first])
    promised = {each["id"]: each["promised"]["hits"] for each in first if each["action"] == "warm"}
    assert set(outcomes) == set(promised)
    end_s, asked = first[0]["log_end_s"], [line.split(",") for line in lines]
    in_horizon = {site: sum(row[1] == site and 0 < float(row[0]) - end_s < 43_200 for row in asked) for site in SITES}
    assert ("west", "regional") in {(each["site"], each["tier"]) for each in first if each["id"] in outcomes}
    passed_on = next(outcomes[each["id"]].happened for each in first if each["site"] == "west")
    assert 0 < passed_on["hits"] <= passed_on["requests"] < sum(in_horizon[f"a{number}"] for number in range(5))
    for each in first:
        if each["action"] == "warm" and each["tier"] == "site":
            happened = outcomes[each["id"]].happened
            assert happened["requests"] in (in_horizon[each["site"]], in_horizon[each["site"]] + 1)
            assert 0 <= happened["hits"] <= happened["requests"]
    total = sum(row.happened["hits"] for row in outcomes.values())
    assert total == pytest.approx(sum(promised.values()), rel=0.4)
    cards = Store.open().scorecards(flow="cache-prepopulation")
    assert {card.method for card in cards} == {"planned", "own policy"}

    sections = Store.open().sections(flow="cache-prepopulation")
    told = {each.title: each.content for each in sections}
    assert len(told["Edge caches: what earlier plans came to"]["table"]["rows"]) == len(promised)
    assert [len(plot["lines"]) for plot in told["Edge caches over the day"]["plots"]] == [2, 2]
    assert any("(0.09 USD a GB)" in line for line in told["Edge caches over the day"]["paragraphs"])

    cache_prepopulation(request.model_copy(update={"log": request_of.log}))
    titles = {each.title for each in Store.open().sections(flow="cache-prepopulation")}
    assert "Edge caches: what earlier plans came to" not in titles


def test_sites_outside_their_window_are_held_and_say_so(
    fleet: Fleet, request_of: CacheRequest, origin: Origin, tmp_path: Path
) -> None:
    hour = datetime.now(UTC).hour
    zone = {True: f"Etc/GMT+{hour}", False: f"Etc/GMT-{24 - hour}"}[hour <= 12]  # where it is past midnight now
    other = "Etc/GMT-6" if hour <= 12 else "Etc/GMT+6"
    (tmp_path / "sites.csv").write_text("site,time_zone\n" + "\n".join(
        f"{name},{zone if name == 'a0' else other}" for name in SITES))  # fmt: skip
    update = {"mode": Mode.ACT, "sites": str(tmp_path / "sites.csv"), "window": "00:00-02:00"}
    told = cache_prepopulation(request_of.model_copy(update=update))
    actions = {each["site"]: each["action"] for each in told["decisions"]}
    assert actions == dict.fromkeys(SITES, "hold") | {"a0": "warm", "b": "refuse"}
    assert "its window begins in about" in next(each["words"] for each in told["decisions"] if each["site"] == "a1")
    assert {path[:3] for path in origin.requests if not path.startswith("/.continuum")} == {"/a/"}


def test_what_a_killed_run_was_warming_is_ended_first(fleet: Fleet, request_of: CacheRequest) -> None:
    dead = Journal(Store.open(), "elsewhere:1:1:dead", lease_s=-1)
    claim(dead, "p0", "a0", 5, fleet="default")
    told = cache_prepopulation(request_of.model_copy(update={"mode": Mode.ACT}))
    (left,) = told["left_over"]
    assert (left["subject"], left["state"]) == ("cache/a0", "failed")
    assert [each["result"]["state"] for each in told["decisions"] if each["result"]] == ["done"] * 5


def test_a_site_without_a_cache_is_refused_by_name(fleet: Fleet, request_of: CacheRequest, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("site,kind,url\nz,nginx,http://127.0.0.1:1\n")
    told = cache_prepopulation(request_of.model_copy(update={"mode": Mode.ACT, "caches": str(tmp_path / "none.csv")}))
    refused = [each["result"] for each in told["decisions"] if each["action"] == "warm"]
    assert {each["state"] for each in refused} == {"refused"}
    assert "has no line for this site" in refused[0]["detail"]
