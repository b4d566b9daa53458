"""Forecasts as files beside the series, and where to find the newest."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pyarrow as pa

from blocks.errors import StoreUnavailable
from blocks.series import Forecast
from blocks.store.records import Store
from blocks.store.series import SeriesStore
from blocks.store.tables import ForecastRecord


def save_forecast(
    store: Store,
    made: Forecast,
    *,
    metric: str,
    shard: str,
    engine: str,
    flow_run_id: str,
    files: SeriesStore | None = None,
) -> ForecastRecord:
    """Write one shard of a forecast, whole or not at all, then record it; the same pass again replaces itself."""
    count, steps, levels = made.values.shape
    path = f"forecasts/metric={metric}/{made.as_of:%Y-%m-%d}/{made.as_of:%H%M%S}.{shard}.parquet"
    columns = {"unique_id": pa.array(made.unique_id, pa.string()), "method": pa.array(made.method, pa.string())}
    for name, values in (("quantiles", made.values), ("peaks", made.peaks)):
        flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1), pa.float32())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, steps * levels)
    table = pa.table(columns)
    (files or SeriesStore.open()).write_table(path, table)
    record = ForecastRecord(
        flow_run_id=flow_run_id, metric=metric, shard=shard, as_of=made.as_of, path=path, start_s=made.start_s,
        step_s=made.step_s, horizon=steps, levels=list(made.levels), engine=engine, series=count,
    )  # fmt: skip
    store.record_forecasts([record])
    return record


def load_forecast(
    store: Store, metric: str, *, not_after: datetime | None = None, files: SeriesStore | None = None
) -> Forecast | None:
    """The newest forecast of a metric, all its shards together; None where there is none.

    Raises
    ------
    StoreUnavailable: its file is gone or damaged, or shards of one pass disagree.
    """
    records = store.latest_forecasts(metric, not_after)
    if not records:
        return None
    first = records[0]
    shapes = {(record.start_s, record.step_s, record.horizon, json.dumps(record.levels)) for record in records}
    if len(shapes) != 1:
        where = f"forecast {first.as_of.isoformat()}"
        raise StoreUnavailable("the shards of one pass differ", where=where, fix="run demand-forecasting again")
    tables = [(files or SeriesStore.open()).read_table(record.path) for record in records]
    table = pa.concat_tables(tables).combine_chunks()
    shape = (table.num_rows, first.horizon, len(first.levels))
    values = table["quantiles"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(shape)
    if "peaks" in table.column_names:
        peaks = table["peaks"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(shape)
    else:  # a file of a release that kept none
        peaks = np.maximum.accumulate(values, axis=1)
    return Forecast(
        unique_id=tuple(table["unique_id"].to_pylist()),
        as_of=first.as_of,
        start_s=first.start_s,
        step_s=first.step_s,
        levels=tuple(first.levels),
        values=values,
        peaks=peaks,
        method=tuple(table["method"].to_pylist()),
    )
