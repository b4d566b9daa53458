"""Windows by each site's own clock, carbon of its own grid; what is not known of a grid keeps nobody waiting."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from blocks.errors import ContinuumError, InvalidInput, NotConfigured
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.local.files import FLEET_FILE
from tasks.caching.observe import openings_of, window_of
from tasks.caching.sites import Sites, sites_of

AS_OF = datetime.fromisoformat("2026-03-07T00:30:00+00:00")  # 01:30 in Berlin, 18:30 in Dallas, 09:30 in Osaka
NIGHT = "01:00-05:00"


@pytest.fixture
def fleet() -> Fleet:
    return load_fleet(FLEET_FILE)


def sites(tmp_path: Path, *lines: str) -> Sites:
    (tmp_path / "sites.csv").write_text("\n".join(["site,time_zone,grid_zone", *lines]))
    return sites_of([line.split(",")[0] for line in lines], 1000, "5%", tmp_path / "sites.csv")[0]


def test_each_site_has_its_own_night(fleet: Fleet, tmp_path: Path) -> None:
    known = sites(tmp_path, "x,Europe/Berlin,", "dallas,,", "y,Asia/Tokyo,")
    told, trouble = openings_of(fleet, known, window_of(NIGHT), low_carbon=False, as_of=AS_OF)
    assert [each.wait_h for each in told] == [0, 7, 16]
    assert [each.code for each in told] == ["", "outside-window", "outside-window"]
    assert trouble == []


def test_the_cleanest_hour_of_the_day_is_that_of_the_sites_grid(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONTINUUM_DATA", raising=False)
    known = sites(
        tmp_path, "cal,America/Los_Angeles,US-CAL-CISO", "dark,America/Los_Angeles,", "lost,Asia/Tokyo,NOWHERE"
    )
    told, trouble = openings_of(fleet, known, None, low_carbon=True, as_of=AS_OF)
    noon = (
        AS_OF.hour + told[0].wait_h - 8
    ) % 24  # by the clocks of California: the sun is up when its grid is cleanest
    assert told[0].wait_h == 0 or 8 <= noon <= 17
    assert [each.wait_h for each in told[1:]] == [0, 0]
    assert any("NOWHERE" in line and "any hour" in line for line in trouble)
    assert any("no grid zone is known of 1 sites" in line for line in trouble)


def test_a_window_needs_a_time_zone(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="site nowhere: nobody says in which time zone"):
        openings_of(fleet, sites(tmp_path, "nowhere,,"), window_of(NIGHT), low_carbon=False, as_of=AS_OF)


@pytest.mark.parametrize("text", ["night", "1-5", "01:00", "25:00-03:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no window"):
        window_of(text)


def test_an_unknown_time_zone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ContinuumError) as refusal:
        sites(tmp_path, "a,Mars/Olympus,")
    assert "sites.csv:2: time_zone is `Mars/Olympus`" in str(refusal.value)


def test_without_a_wish_nobody_waits(fleet: Fleet, tmp_path: Path) -> None:
    told, _ = openings_of(fleet, sites(tmp_path, "nowhere,,"), None, low_carbon=False, as_of=AS_OF)
    assert np.array([each.wait_h for each in told]).sum() == 0


def test_a_region_is_that_of_the_file_else_of_the_fleet_and_no_site_bears_its_name(tmp_path: Path) -> None:
    file = tmp_path / "sites.csv"
    file.write_text("site,region\na,west\nb,\n")
    fleets = {"a": "east", "b": "north", "c": "south"}
    assert sites_of(["a", "b", "c"], 1000, "5%", file, fleets)[0].region == ["west", "north", "south"]
    assert sites_of(["c", "d"], 1000, "5%", None, fleets)[0].region == ["south", ""]
    with pytest.raises(InvalidInput, match="`west` is a site and a region"):
        sites_of(["a", "west"], 1000, "5%", file)
