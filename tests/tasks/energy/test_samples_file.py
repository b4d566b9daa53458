"""Samples from files: what cannot be read is named, the rest counts, and a gap is not a machine that was away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blocks.errors import InvalidInput, NotFound
from tasks.energy.factors import read_factors
from tasks.energy.samples_file import SamplesFile, read_samples, read_shares

HEAD = "ts,cluster,pool,node,instance_type,zone,cpu_ratio\n"


def rows(*lines: str) -> str:
    return HEAD + "".join(f"{line}\n" for line in lines)


def of(minute: int, node: str = "n1", ratio: object = 0.5, *, pool: str = "web", kind: str = "m6i.large") -> str:
    return f"2026-03-01T00:{minute:02d}:00Z,eu,{pool},{node},{kind},DE,{ratio}"


@pytest.fixture
def read(tmp_path: Path):
    def reading(text: str, **more: object) -> SamplesFile:
        path = tmp_path / "samples.csv"
        path.write_text(text, encoding="utf-8")
        return read_samples(path, **more)  # type: ignore[arg-type]

    return reading


def test_a_gap_between_rows_is_a_use_that_is_not_known(read) -> None:
    found = read(rows(*(of(minute) for minute in (0, 5, 10, 20, 25)))).samples
    assert found.step_s == 300
    assert found.machines[0].tolist() == [1.0] * 6
    assert np.isnan(found.cpu_ratio[0]).tolist() == [False, False, False, True, False, False]


def test_a_machine_is_not_there_before_its_first_row_and_after_its_last(read) -> None:
    found = read(rows(*(of(minute) for minute in (0, 5, 10, 15)), of(5, "n2"), of(10, "n2"))).samples
    assert found.machines[1].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_garbage_is_named_and_the_rest_is_used(read) -> None:
    text = rows(of(0), of(5, ratio="much"), of(10, ratio=1.4), of(15, ratio=-0.1), of(20), "torn,line", of(25))
    found = read(text)
    assert found.samples.machines[0].sum() == 6
    assert len(found.refused) == 4
    assert any("line 3" in line and "much" in line for line in found.refused)
    assert any("line 4" in line and "1.4" in line for line in found.refused)


def test_an_unknown_instance_type_leaves_its_pool_out_by_name(read) -> None:
    found = read(rows(of(0), of(5), of(0, "x", pool="odd", kind="banana.large")))
    assert [pool.name for pool in found.samples.pools] == ["web"]
    assert any("eu/odd" in line and "banana" in line for line in found.refused)


def test_nothing_that_can_be_used_is_an_error_that_says_why(read) -> None:
    with pytest.raises(InvalidInput, match="banana"):
        read(rows(of(0, kind="banana.large")))


def test_a_file_without_a_zone_needs_one(read) -> None:
    text = "ts,cluster,pool,instance_type,cpu_ratio\n2026-03-01T00:00Z,eu,web,m6i.large,0.5\n"
    with pytest.raises(InvalidInput, match="no grid zone"):
        read(text)
    assert read(text, zone="DE").samples.pools[0].zone == "DE"


def test_rows_may_come_in_any_order_and_as_parquet(read, tmp_path: Path) -> None:
    lines = [of(minute, node, 0.1 * minute / 5) for minute in (0, 5, 10, 15) for node in ("n1", "n2")]
    sorted_one = read(rows(*lines)).samples
    shuffled = read(rows(*lines[::-1])).samples
    frame = pd.read_csv(tmp_path / "samples.csv")
    frame.to_parquet(tmp_path / "samples.parquet", index=False)
    parquet = read_samples(tmp_path / "samples.parquet").samples
    for other in (shuffled, parquet):
        order = np.argsort(other.cpu_ratio[:, 1], kind="stable")
        np.testing.assert_allclose(other.cpu_ratio[order], sorted_one.cpu_ratio, rtol=1e-6)


def test_shares_are_hourly_means_of_the_pools_that_are_there(read, tmp_path: Path) -> None:
    samples = read(rows(of(0), of(5))).samples
    path = tmp_path / "shares.csv"
    path.write_text("ts,cluster,pool,namespace,cpu_used,cpu_requested\n"
                    "2026-03-01T00:00Z,eu,web,shop,1,2\n2026-03-01T00:30Z,eu,web,shop,3,2\n"
                    "2026-03-01T00:00Z,eu,gone,shop,1,1\n")  # fmt: skip
    shares, refused = read_shares(path, samples)
    assert (shares.namespace, shares.used.tolist(), shares.requested.tolist()) == (("shop",), [[2.0]], [[2.0]])
    assert refused == ["1 rows are of pools or hours that the samples do not have"]


@pytest.mark.parametrize(("line", "words"), [
    ("pue,eu,2026,0.9,me", "pue of eu is 0.9"),
    ("market_g_per_kwh,DE,2026,-4,me", "is -4"),
    ("wue,eu,2026,1,me", "'wue' is no factor"),
    ("pue,eu,soon,1.2,me", "'soon' is no number"),
])  # fmt: skip
def test_a_bad_factor_is_refused_by_name(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "factors.csv"
    path.write_text(f"factor,key,year,value,source\n{line}\n")
    with pytest.raises(InvalidInput, match=words):
        read_factors(path)


def test_a_year_without_its_factor_is_refused_and_the_years_are_named(tmp_path: Path) -> None:
    path = tmp_path / "factors.csv"
    path.write_text("factor,key,year,value,source\npue,eu,2023,1.3,operator\npue,eu,2024,1.2,operator\n")
    factors = read_factors(path)
    assert factors.of("pue", "eu", 2024) == (1.2, "operator")
    assert factors.of("pue", "us", 2026) is None
    with pytest.raises(NotFound, match=r"no pue of eu for 2026.*2023, 2024"):
        factors.of("pue", "eu", 2026)
