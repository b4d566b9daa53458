"""A catalogue joined to a log: numbers of the log's objects stay, others follow; kin by tag and by folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blocks.errors import InvalidInput
from tasks.caching.catalogue import read_catalogue, read_prices
from tasks.caching.logs import AccessLog, read_log


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    (tmp_path / "log.csv").write_text("ts,site,object,bytes\n0,a,/n/1,10\n90,a,/n/2,20\n")
    return read_log(tmp_path / "log.csv")


def written(folder: Path, text: str) -> Path:
    (folder / "catalogue.csv").write_text(text)
    return folder / "catalogue.csv"


def test_new_objects_follow_the_logs_own(log: AccessLog, tmp_path: Path) -> None:
    rows = ("/n/3,30,1970-01-01T00:01:00,news;sport", "/n/1,11,1970-01-01,news", "/f/4,40,1970-01-02,")
    text = "\n".join(["object,bytes,published,tags", *rows])
    joined, catalogue = read_catalogue(written(tmp_path, text), log)
    assert [joined.object_name(number) for number in range(4)] == ["/n/1", "/n/2", "/n/3", "/f/4"]
    assert joined.requests.size.tolist() == [10, 20, 30, 40]
    assert joined.requests.object.tolist() == log.requests.object.tolist()
    assert np.array_equal(catalogue.published_s, [0.0, np.nan, 60.0, 86_400.0], equal_nan=True)
    kin = [set(catalogue.tag[catalogue.object == number].tolist()) for number in range(4)]
    assert [len(tags) for tags in kin] == [2, 0, 3, 1]  # news and /n; news, sport and /n; /f
    assert kin[0] < kin[2]
    assert not kin[3] & kin[2]
    assert catalogue.tags == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("object,bytes\n/a,1\n", "no column `published`"),
        ("object,bytes,published\n/a,1,soon\n", ":2: published is no time"),
        ("object,bytes,published\n/a,1,2026-01-01\n/a,1,2026-01-01\n", ":3: object is there twice"),
        ("object,bytes,published\n/a,0,2026-01-01\n", ":2: bytes is no size"),
        ("object,bytes,published\n,1,2026-01-01\n", ":2: object is empty"),
        ("object,bytes,published,fresh\n/a,1,2026-01-01,\n/b,1,2026-01-01,soon\n", ":3: `soon` is no span of time"),
    ],
)
def test_a_bad_catalogue_is_one_line(log: AccessLog, tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_catalogue(written(tmp_path, text), log)
    assert told in str(refusal.value)


def test_copies_stay_fresh_as_long_as_the_catalogue_says(log: AccessLog, tmp_path: Path) -> None:
    text = "object,bytes,published,fresh\n/n/2,20,1970-01-01,90min\n/n/3,30,1970-01-01,\n"
    _, catalogue = read_catalogue(written(tmp_path, text), log)
    assert catalogue.fresh_s is not None
    assert catalogue.fresh_s.tolist() == [np.inf, 5400.0, np.inf]


def test_the_longest_prefix_is_the_price(log: AccessLog, tmp_path: Path) -> None:
    text = "prefix,usd_per_gb,usd_per_request\n/n/2,100,0.5\n,1,\n"
    assert read_prices(written(tmp_path, text), log).tolist() == [10 / 1e9, 20 * 100 / 1e9 + 0.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prefix\n/n\n", "no column `usd_per_gb`"),
        ("prefix,usd_per_gb\n/n,free\n", ":2: usd_per_gb is `free`"),
        ("prefix,usd_per_gb\n/n,-1\n", ":2: usd_per_gb is `-1`"),
        ("prefix,usd_per_gb\n/n/2,1\n", "`/n/1` has no price"),
    ],
)
def test_bad_prices_are_one_line(log: AccessLog, tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_prices(written(tmp_path, text), log)
    assert told in str(refusal.value)
