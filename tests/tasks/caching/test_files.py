"""Plans and caches from files, and mistakes by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks.caches.cloudfront import CloudFront
from blocks.caches.models import ModelCache
from blocks.caches.over_http import HttpCache
from blocks.caches.stores import StoreSite
from blocks.errors import ContinuumError, InvalidInput
from tasks.caching.files import open_caches, read_plan
from tasks.caching.warm import Wanted

PLAN = "site,object,bytes,tier,ttl_s,why\na,/x,10,site,60,?\na,/y,20,site,60,?\nb,/x,10,site,60,?\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "file.csv"
    path.write_text(text)
    return path


def test_a_plan_keeps_its_order_and_its_id_is_its_content(tmp_path: Path) -> None:
    name, plans = read_plan(written(tmp_path, PLAN))
    assert plans == {"a": [Wanted("/x", 10, 60), Wanted("/y", 20, 60)], "b": [Wanted("/x", 10, 60)]}
    assert read_plan(written(tmp_path, PLAN.replace("?", "!")))[0] == name
    assert read_plan(written(tmp_path, PLAN.replace("20", "21")))[0] != name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("site,object\na,/x\n", "no column `bytes`"), ("site,object,bytes,ttl_s\n", "plans nothing"),
        ("site,object,bytes,ttl_s\na,/x,many,1\n", ":2: bytes is `many`"),
        ("site,object,bytes,ttl_s\na,/x,1,0\n", ":2: ttl_s is `0`"),
    ],
)  # fmt: skip
def test_a_plan_that_is_none_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_plan(written(tmp_path, text))


def test_caches_are_opened_by_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "pw")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    rows = (
        "site,kind,url,host,origin\na,nginx,http://127.0.0.1:1,www.example,\nb,redis,redis://:${SECRET}@h:1,,http://o\n"
    )
    rows += "c,s3,s3://bucket/edge,,http://o\nd,cloudfront,http://fra,d1.cloudfront.net,\ne,models,http://m,,\n"
    caches = open_caches(written(tmp_path, rows))
    assert [type(caches[name]) for name in "abcde"] == [HttpCache, StoreSite, StoreSite, CloudFront, ModelCache]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,disk,http://h,", ":2: no kind of cache is called `disk`"), ("a,nginx,h,", "the URL is malformed"),
        ("a,redis,http://h,http://o", ":2: the URL does not begin with redis://"),
        ("a,redis,redis://h,", ":2: it has no origin"), (",nginx,http://h,", ":2: site `` is empty"),
        ("a,redis,redis://${NOWHERE}@h,http://o", "environment variable NOWHERE is not set"),
    ],
)  # fmt: skip
def test_a_cache_that_cannot_be_is_refused(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(ContinuumError) as refusal:
        open_caches(written(tmp_path, f"site,kind,url,origin\n{row}\n"))
    assert told in str(refusal.value)
