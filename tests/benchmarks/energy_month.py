"""A month of made-up samples of many machines, as a Parquet file: what the energy report's speed is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

START_S, STEP_S = 1_772_323_200, 300  # 2026-03-01
KINDS = (("m6i.2xlarge", "DE"), ("n2-standard-8", "FR"), ("Standard_D8s_v5", "NL"), ("c5.2xlarge", "IE"))


def write_month(path: Path, machines: int, *, days: int = 30, pools: int = 50, seed: int = 1) -> int:
    """Write the samples machine by machine (one row group each, as exporters do); returns the number of rows."""
    rng = np.random.default_rng(seed)
    times = START_S + STEP_S * np.arange(days * 86_400 // STEP_S)
    day = 0.35 + 0.25 * np.sin(times / 86_400 * 2 * np.pi)
    words = ("cluster", "pool", "node", "instance_type", "zone")
    schema = pa.schema([("ts", pa.int64()), ("cpu_ratio", pa.float32()), *((name, pa.string()) for name in words)])
    with pa_parquet.ParquetWriter(path, schema) as writer:
        for number in range(machines):
            pool = number % pools
            kind, zone = KINDS[pool % len(KINDS)]
            used = np.clip(day + rng.normal(0, 0.1, len(times)), 0, 1).astype(np.float32)
            text = (f"cluster-{pool // 5}", f"pool-{pool}", f"node-{number}", kind, zone)
            columns = [pa.array(times), pa.array(used), *(pa.repeat(each, len(times)) for each in text)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return machines * len(times)
