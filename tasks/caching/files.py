"""A written plan, and the caches that it is for; every mistake is one line that says where it is and how to mend it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from blocks.caches import CacheSite
from blocks.caches.cloudfront import CloudFront
from blocks.caches.models import ModelCache
from blocks.caches.over_http import KINDS, HttpCache
from blocks.caches.stores import Redis, S3Bucket, StoreSite
from blocks.carbon.hourly_files import read_csv
from blocks.errors import InvalidInput
from blocks.settings import expand
from tasks.caching.warm import Wanted

STORES = ("redis", "s3")
MORE = "[, host][, origin][, endpoint][, pop][, distribution]"
NEEDED = ("site", "object", "bytes", "ttl_s")


def read_plan(path: Path) -> tuple[str, dict[str, list[Wanted]]]:
    """The plan that `cache plan` wrote: its id, which is its content's, and each cache's objects in their order.

    Raises
    ------
    InvalidInput: it is no such file, a line does not fit, or it is empty.
    """
    frame = read_csv(path, text=True)
    for name in NEEDED:
        if name not in frame.columns:
            raise InvalidInput(f"it has no column `{name}`", where=str(path), fix="give what `cache plan --out` wrote")
    if not len(frame):
        raise InvalidInput("it plans nothing", where=str(path), fix="see which sites `cache plan` refused, and why")
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in ("bytes", "ttl_s")}
    for name, column in numbers.items():
        odd = frame.index[~((column >= 1) & (column < 1e15))]
        if len(odd):
            raise InvalidInput(f"{name} is `{frame[name][odd[0]]:.40}`", where=f"{path}:{odd[0] + 2}",
                               fix="give a number of 1 or more")  # fmt: skip
    plans: dict[str, list[Wanted]] = {}
    tier = frame.get("tier", pd.Series("site", index=frame.index))
    rows = zip(frame["site"], frame["object"], numbers["bytes"], numbers["ttl_s"], tier, strict=True)
    for site, item, size, ttl_s, where in rows:
        plans.setdefault(str(site), []).append(Wanted(str(item), int(size), int(ttl_s), str(where)))
    told = pd.util.hash_pandas_object(frame[list(NEEDED)], index=False).to_numpy().tobytes()
    return hashlib.sha256(told).hexdigest()[:16], plans


def open_caches(path: Path) -> dict[str, CacheSite]:
    """The caches of a CSV `site, kind, url` and `MORE`; passwords as `${NAME}` of the environment.

    Raises
    ------
    InvalidInput: a line does not fit. NotConfigured: a variable is unset.
    """
    frame = read_csv(path, text=True)
    for name in ("site", "kind", "url"):
        if name not in frame.columns:
            raise InvalidInput(f"it has no column `{name}`", where=str(path), fix=f"give site, kind, url{MORE}")
    found: dict[str, CacheSite] = {}
    for line, cells in zip(frame.index + 2, frame.to_dict("records"), strict=True):
        row, where = {str(name): str(cell).strip() for name, cell in cells.items()}, f"{path}:{line}"
        if not row["site"] or row["site"] in found:
            raise InvalidInput(f"site `{row['site']}` is empty or there twice", where=where, fix="name each site once")
        found[row["site"]] = _open(row, where)
    return found


def _open(row: dict[str, str], where: str) -> CacheSite:
    url = expand(row["url"], where=where)
    if row["kind"] == "models":
        return ModelCache(row["site"], url)
    if row["kind"] == "cloudfront":
        named = row.get("distribution", "")
        return CloudFront(row["site"], url, host=row.get("host", ""), pop=row.get("pop", ""), distribution=named,
                          client=_aws("cloudfront", row, where) if named else None)  # fmt: skip
    if row["kind"] in KINDS:
        return HttpCache(row["site"], row["kind"], url, host=row.get("host", ""))
    if row["kind"] not in STORES:
        raise InvalidInput(f"no kind of cache is called `{row['kind']:.40}`", where=where,
                           fix=f"use {', '.join((*KINDS, *STORES, 'models'))}")  # fmt: skip
    parts = urlsplit(url)
    if parts.scheme != row["kind"] or not parts.hostname:
        raise InvalidInput(f"the URL does not begin with {row['kind']}://", where=where,
                           fix="write redis://:${PASSWORD}@host:6379 or s3://bucket/prefix")  # fmt: skip
    if not row.get("origin"):
        raise InvalidInput("it has no origin, and this kind fetches nothing by itself", where=where,
                           fix="give the origin's URL in column `origin`")  # fmt: skip
    if row["kind"] == "redis":
        shelf = Redis(parts.hostname, parts.port or 6379, password=parts.password or "")
        return StoreSite(row["site"], shelf, row["origin"])
    bucket = S3Bucket(_aws("s3", row, where), parts.netloc, parts.path)
    return StoreSite(row["site"], bucket, row["origin"])


def _aws(service: str, row: dict[str, str], where: str) -> Any:
    """A client of AWS, or of the S3-compatible service at `endpoint`; credentials come from the environment."""
    from blocks.aws import aws_client
    from blocks.fleet import CloudAccess

    return aws_client(service, CloudAccess(endpoint_url=row.get("endpoint") or None), where)
