"""`continuum replay cache` and `continuum cache plan`: their documents, and one line for bad input."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deployments.command import app


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(31)
    rows = 3000
    columns = zip(
        np.sort(rng.integers(0, 20 * 86_400, rows)), rng.integers(0, 4, rows), rng.zipf(1.3, rows) % 400, strict=True
    )
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_text(
        "ts,site,object,bytes\n" + "".join(f"{at},s{site},/o/{item},{1000 + item}\n" for at, site, item in columns)
    )
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def document(*words: object) -> Any:
    answer = run(*words, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_the_replay_has_the_issues_fields(log: Path) -> None:
    told = document("replay", "cache", log)
    assert {"lru", "s3fifo", "planned", "oracle"} <= set(told["policies"])
    for score in told["policies"].values():
        assert 0 <= score["hit_ratio"] <= 1
        assert score["fills_per_request"] >= 0
    assert isinstance(told["sites_refused"], list)
    assert told["plan_cpu_s"] > 0
    assert told["scored_requests"] == 2400
    hits = {name: score["hit_ratio"] for name, score in told["policies"].items()}
    assert hits["lru"] < hits["planned"] < hits["oracle"]


def test_only_the_named_policies_of_the_extra_are_played(log: Path) -> None:
    pytest.importorskip("libcachesim", reason="the `cache` extra is not installed")
    assert set(document("replay", "cache", log, "--policy", "arc")["policies"]) == {
        "lru",
        "s3fifo",
        "arc",
        "planned",
        "oracle",
    }
    assert "sieve" in document("replay", "cache", log)["policies"]


def test_people_get_a_table(log: Path) -> None:
    answer = run("replay", "cache", log)
    assert answer.exit_code == 0
    assert "planned" in answer.stdout


def test_a_plan_keeps_each_sites_bytes_and_says_why(log: Path, tmp_path: Path) -> None:
    sites = tmp_path / "sites.csv"
    sites.write_text("site,region,budget,pins,ttl\ns0,west,3kB,yes,\ns1,west,,yes,12h\nnew,,5kB,yes,\n")
    answer = run("cache", "plan", log, "--sites", sites, "--budget", "10kB", "--regional-budget", "4kB", "--no-gate")
    rows = list(csv.DictReader(answer.stdout.splitlines()))
    assert list(rows[0]) == ["site", "object", "bytes", "tier", "ttl_s", "expected_requests", "confidence", "why"]
    used = {
        name: sum(int(row["bytes"]) for row in rows if row["site"] == name) for name in {row["site"] for row in rows}
    }
    assert used["s0"] <= 3000 < used["s1"] <= 10_000
    assert {row["tier"] for row in rows if row["site"] == "west"} == {"regional"}
    assert max(int(row["ttl_s"]) for row in rows if row["site"] == "s1") <= 12 * 3600
    assert "says nothing of 2 sites of the log" in answer.stderr


def test_a_region_is_judged_by_what_its_sites_miss_and_prices_and_stale_copies_count(log: Path, tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text("site,region\ns0,west\ns1,west\ns2,east\n")
    (tmp_path / "prices.csv").write_text("prefix,usd_per_gb\n,1000\n/o/1,9000\n")
    rows = "".join(f"/o/{item},{1000 + item},1970-01-01,{'30min' if item % 2 else ''}\n" for item in range(400))
    (tmp_path / "catalogue.csv").write_text(f"object,bytes,published,fresh\n{rows}")
    words = (log, "--sites", tmp_path / "sites.csv", "--budget", "20kB", "--regional-budget", "40kB", "--catalogue",
             tmp_path / "catalogue.csv", "--origins", tmp_path / "prices.csv")  # fmt: skip
    told = document("replay", "cache", *words, "--policy", "arc")
    east, west = told["regions"]
    assert (east["region"], west["region"]) == ("east", "west")
    assert 0 < east["requests"] < west["requests"] < told["scored_requests"]
    cost = {name: each["origin_usd"] for name, each in told["policies"].items() if name != "oracle"}
    assert 0 < cost["planned"] < cost["lru"]

    plan = document("cache", "plan", *words, "--no-gate")
    assert 0 < plan["expected_usd"] <= plan["bound_usd"]
    assert all(int(row["object"][3:]) % 2 == 0 for row in plan["plan"]), "a stale copy saves less than its fetch costs"
    plan = document("cache", "plan", *words[:-2])
    odd = [row["ttl_s"] for row in plan["plan"] if int(row["object"][3:]) % 2]
    even = [row["ttl_s"] for row in plan["plan"] if not int(row["object"][3:]) % 2]
    assert set(odd) == {1800}
    assert len(even) > 2 * len(odd)
    regional = {row["site"] for row in plan["plan"] if row["tier"] == "regional"}
    assert regional == {"east", "west"} - set(plan["sites_refused"])


def test_a_site_whose_plan_does_not_win_is_named_and_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"  # each object of site b is asked for three times in a row, and never again
    rows = [(at, "a", at % 7) for at in range(0, 400_000, 200)] + [
        (at, "b", 100 + at // 600) for at in range(0, 400_000, 200)
    ]
    path.write_text("ts,site,object,bytes\n" + "".join(f"{at},{site},{item},10\n" for at, site, item in sorted(rows)))
    told = document("cache", "plan", path, "--budget", "100B")
    assert "b" in told["sites_refused"]
    assert {row["site"] for row in told["plan"]} <= {"a"}
    assert "b" in document("replay", "cache", path, "--budget", "100B")["sites_refused"]


def test_new_objects_of_a_catalogue_are_planned_as_their_kin_were_asked_for(log: Path, tmp_path: Path) -> None:
    rows = [line.split(",") for line in log.read_text().splitlines()[1:]]
    first = {name: int(at) for at, _, name, _ in reversed(rows)}
    end = int(rows[-1][0])
    lines = [f"{name},100,{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S},{'films' if at else ''}"
             for name, at in first.items()]  # fmt: skip
    lines.append(f"/new/film,100,{datetime.fromtimestamp(end - 60, UTC):%Y-%m-%dT%H:%M:%S},films")
    (tmp_path / "catalogue.csv").write_text("object,bytes,published,tags\n" + "\n".join(lines))
    words = ("cache", "plan", log, "--budget", "20kB", "--no-gate", "--catalogue", tmp_path / "catalogue.csv")
    found = [row for row in document(*words)["plan"] if row["object"] == "/new/film"]
    assert found
    assert {row["why"] for row in found} == {"new: as its kin were asked for at that age"}
    assert run(*words[:-1], log).exit_code == 1


def test_copies_that_are_kept_four_hours_hit_less(log: Path) -> None:
    kept, forgotten = (document("replay", "cache", log, "--horizon", "4h", "--budget", "20%", "--policy", "lru", *words)
                       for words in ([], ["--ttl", "4h"]))  # fmt: skip
    for name in ("lru", "s3fifo", "planned"):
        assert forgotten["policies"][name]["hit_ratio"] < kept["policies"][name]["hit_ratio"]
    plan = document("cache", "plan", log, "--no-gate", "--ttl", "5h")
    assert {row["ttl_s"] for row in plan["plan"]} == {5 * 3600}
    assert "it keeps objects 3600 s" in run("replay", "cache", log, "--ttl", "1h").stderr


def test_trees_foresee_where_they_are_asked_for(log: Path) -> None:
    words = ("cache", "plan", log, "--no-gate", "--horizon", "12h")
    plans = [document(*words, *more)["plan"] for more in ([], ["--predictor", "trees"])]
    assert [row["object"] for row in plans[0]] != [row["object"] for row in plans[1]]
    assert run("cache", "plan", log, "--predictor", "magic").exit_code == 2


def test_garbage_lines_are_counted_and_stdout_stays_json(log: Path, tmp_path: Path) -> None:
    dirty = tmp_path / "dirty.csv"
    dirty.write_text(log.read_text() + "garbage\n")
    answer = run("replay", "cache", dirty, "--json")
    assert json.loads(answer.stdout)["log"]["left_out"] == 1
    assert "1 lines left out: ts is no time" in answer.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--budget", "0%"], "--budget: `0%` is no budget"),
        (["--budget", "150%"], "is no budget"),
        (["--budget", "lots"], "--budget: `lots` is no budget"),
        (["--horizon", "soon"], "--horizon: `soon` is no span"),
        (["--horizon", "0h"], "--horizon: 0 s is too short"),
        (["--policy", "magic"], "--policy: no policy is called `magic`"),
        (["--sites", "nowhere.csv"], "nowhere.csv: cannot be read"),
    ],
)
def test_bad_words_are_one_line(log: Path, words: list[str], told: str) -> None:
    answer = run("replay", "cache", log, *words)
    assert answer.exit_code == 1
    assert told in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name\na\n", "no column `site`"),
        ("site\na\na\n", ":3: site is `a` a second time"),
        ("site,pins\na,perhaps\n", ":2: pins is `perhaps`"),
        ("site,policy\na,fifo\n", ":2: policy is `fifo`"),
        ("site,budget\na,-1\n", ":2: `-1` is no budget"),
        ("site,ttl\ns0,1h\n", "site s0: it keeps objects 3600 s, less than the horizon of 14400 s"),
    ],
)
def test_a_bad_file_of_sites_is_one_line(log: Path, tmp_path: Path, text: str, told: str) -> None:
    sites = tmp_path / "sites.csv"
    sites.write_text(text)
    answer = run("cache", "plan", log, "--sites", sites)
    assert (answer.exit_code, told in answer.stderr) == (1, True), answer.stderr


def test_caches_of_a_byte_end_no_process(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("ts,site,object,bytes\n1,a,x,1\n2,a,x,1\n9,a,y,5\n")
    assert document("replay", "cache", path, "--budget", "1B")["policies"]["lru"]["hit_ratio"] == pytest.approx(1 / 3)
