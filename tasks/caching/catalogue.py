"""What is known of objects beside the log: a catalogue of what is published, and what a fetch from its origin costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from blocks.carbon.hourly_files import read_csv
from blocks.errors import InvalidInput
from tasks.caching.decide.newborn import Catalogue
from tasks.caching.decide.trees import COUNTS
from tasks.caching.logs import AccessLog
from tasks.caching.offline import Known
from tasks.carbon.files import seconds_of

NEEDED = ("object", "bytes", "published")


def read_catalogue(path: Path, log: AccessLog) -> tuple[AccessLog, Catalogue]:
    """The log with the catalogue's other objects, which have no request, after its own; and when each was published.

    `published` is ISO 8601, UTC where it bears no offset; `tags` are separated by `;`. The folder of an object, its
    name up to the last slash, is a tag too. `fresh` is how long a copy may be used, `2h`; empty: for good.

    Raises
    ------
    InvalidInput: a column is absent, or a line does not fit.
    """
    frame = read_csv(path, text=True)
    absent = [column for column in NEEDED if column not in frame.columns]
    if absent:
        raise InvalidInput(
            f"it has no column `{absent[0]}`", where=str(path), fix="give object, bytes, published[, tags][, fresh]"
        )
    name, size = frame["object"].str.strip(), pd.to_numeric(frame["bytes"], errors="coerce")
    published = pd.to_datetime(frame["published"], utc=True, errors="coerce", format="ISO8601")
    wrong = {"object is empty": name == "", "object is there twice": name.duplicated(), "published is no time":
             published.isna(), "bytes is no size": ~((size >= 1) & (size < 1e15))}  # fmt: skip
    for words, rows in wrong.items():
        if rows.any():
            raise InvalidInput(
                words, where=f"{path}:{int(np.flatnonzero(rows)[0]) + 2}", fix="mend the line, or drop it"
            )
    found = pc.index_in(pa.array(name, pa.string()), log.objects).to_numpy(zero_copy_only=False)
    is_new, known = np.isnan(found.astype(float)), len(log.objects)
    number = np.where(is_new, known + np.cumsum(is_new) - 1, found).astype(np.int64)
    names = pa.concat_arrays([log.objects.cast(pa.string()), pa.array(name[is_new], pa.string())])
    requests = replace(log.requests, size=np.concatenate([log.requests.size, size[is_new].to_numpy(np.float64)]))
    at = np.full(len(names), np.nan)
    at[number] = (published - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return replace(log, requests=requests, objects=names), _tagged(frame, name, number, at, _fresh(path, frame))


def _fresh(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """(rows,) seconds, infinite where nothing is said."""
    told = frame["fresh"].str.strip() if "fresh" in frame.columns else pd.Series("", index=frame.index)
    known = {text: seconds_of(text, f"{path}:{row + 2}") if text else np.inf
             for text, row in zip(told.drop_duplicates(), told.drop_duplicates().index, strict=True)}  # fmt: skip
    return told.map(known).to_numpy(np.float64)


def _tagged(frame: pd.DataFrame, name: pd.Series, number: np.ndarray, at: np.ndarray,
            fresh: np.ndarray) -> Catalogue:  # fmt: skip
    """Each object's tags, its folder among them."""
    told = frame["tags"].fillna("") if "tags" in frame.columns else pd.Series("", index=frame.index)
    words = told.str.split(";").map(lambda each: [tag.strip() for tag in each if tag.strip()])
    folder = "in " + name.str.rpartition("/")[0]
    pairs = pd.Series([[*tags, where] for tags, where in zip(words, folder, strict=True)]).explode()
    codes, distinct = pd.factorize(pairs)
    fresh_s = np.full(len(at), np.inf)
    fresh_s[number] = fresh
    return Catalogue(at, number[pairs.index.to_numpy()], codes.astype(np.int64), len(distinct), fresh_s)


def read_prices(path: Path, log: AccessLog) -> np.ndarray:
    """(O,) USD of a fetch of each object, of a CSV `prefix, usd_per_gb[, usd_per_request]`: the longest prefix counts.

    Raises
    ------
    InvalidInput: a column is absent, a line does not fit, or an object has no price.
    """
    frame = read_csv(path, text=True)
    for name in ("prefix", "usd_per_gb"):
        if name not in frame.columns:
            raise InvalidInput(f"it has no column `{name}`", where=str(path),
                               fix="give prefix, usd_per_gb[, usd_per_request]")  # fmt: skip
    names, prices = pd.Series(log.objects.to_pylist()), np.full((2, len(log.objects)), np.nan)
    frame["usd_per_request"] = frame.get("usd_per_request", pd.Series("0", index=frame.index)).replace("", "0")
    told = [pd.to_numeric(frame[name], errors="coerce") for name in ("usd_per_gb", "usd_per_request")]
    for column in told:
        odd = frame.index[~((column >= 0) & (column < 1e6))]
        if len(odd):
            raise InvalidInput(f"{column.name} is `{frame[column.name][odd[0]]:.40}`", where=f"{path}:{odd[0] + 2}",
                               fix="give a price in USD, 0 or more")  # fmt: skip
    for row in frame["prefix"].str.len().sort_values(kind="stable").index:
        prices[:, names.str.startswith(frame["prefix"][row])] = [[column[row]] for column in told]
    if np.isnan(prices).any():
        raise InvalidInput(f"`{names[int(np.flatnonzero(np.isnan(prices[0]))[0])]:.60}` has no price", where=str(path),
                           fix="add a line with an empty prefix: the price of all others")  # fmt: skip
    return np.asarray(prices[0] * log.requests.size / 1e9 + prices[1])


def known_of(log: AccessLog, regional_bytes: int, catalogue: str, origins: str,
             predictor: str = COUNTS, regional_ttl_s: int = 0) -> tuple[AccessLog, Known]:  # fmt: skip
    """The log with a catalogue's objects, and what files say of them; "" for no file.

    Raises
    ------
    InvalidInput: a file does not fit.
    """
    log, published = read_catalogue(Path(catalogue), log) if catalogue else (log, None)
    prices = read_prices(Path(origins), log) if origins else None
    return log, Known(regional_bytes, published, prices, predictor, regional_ttl_s)
