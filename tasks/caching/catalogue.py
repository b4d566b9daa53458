"""The catalogue of what is published: a CSV `object, bytes, published[, tags]`, joined to a log's objects."""

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
from tasks.caching.logs import AccessLog

NEEDED = ("object", "bytes", "published")


def read_catalogue(path: Path, log: AccessLog) -> tuple[AccessLog, Catalogue]:
    """The log with the catalogue's other objects, which have no request, after its own; and when each was published.

    `published` is ISO 8601, UTC where it bears no offset; `tags` are separated by `;`. The folder of an object, its
    name up to the last slash, is a tag too.

    Raises
    ------
    InvalidInput: a column is absent, or a line does not fit.
    """
    frame = read_csv(path, text=True)
    absent = [column for column in NEEDED if column not in frame.columns]
    if absent:
        raise InvalidInput(
            f"it has no column `{absent[0]}`", where=str(path), fix="give object, bytes, published[, tags]"
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
    return replace(log, requests=requests, objects=names), _tagged(frame, name, number, at)


def _tagged(frame: pd.DataFrame, name: pd.Series, number: np.ndarray, at: np.ndarray) -> Catalogue:
    """Each object's tags, its folder among them."""
    told = frame["tags"].fillna("") if "tags" in frame.columns else pd.Series("", index=frame.index)
    words = told.str.split(";").map(lambda each: [tag.strip() for tag in each if tag.strip()])
    folder = "in " + name.str.rpartition("/")[0]
    pairs = pd.Series([[*tags, where] for tags, where in zip(words, folder, strict=True)]).explode()
    codes, distinct = pd.factorize(pairs)
    return Catalogue(at, number[pairs.index.to_numpy()], codes.astype(np.int64), len(distinct))
