"""One shard of a forecast pass: read, calibrate when it is its turn, forecast, check, look for anomalies, keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, NotFound
from blocks.events import Anomaly
from blocks.series import Forecast, Series, utc
from blocks.store import Store
from blocks.store.forecasts import save_forecast
from blocks.store.models import pack, unpack
from blocks.store.series import SeriesStore
from tasks.forecasting.decide import GLOBAL_ENGINES, Calibration, Model, calibrate, forecast
from tasks.forecasting.decide.anomalies import CAUSES, detect
from tasks.forecasting.decide.forecast_checks import ForecastReason, check_forecast
from tasks.forecasting.decide.plans import LEVELS, coarser
from tasks.forecasting.kinds import kind_of
from tasks.forecasting.models import Serving, from_arrays, load_model, shelf_of, to_arrays
from tasks.forecasting.observe import STEP_S, read_pool_demand

SHARD_POOLS = 1000  # of two series each: seconds of work for one task run
SERVED_DAYS = 10  # a prediction reads 7 days, the detector of anomalies 9.4
CALIBRATED_DAYS = 14  # its past origins lie 6.5 days back, each with 7 days before it
JUDGED_STEPS = 12  # newest steps looked at for anomalies: an hour, for samples that came late and passes that failed
TOLD = 200  # anomalies, and doubtful forecasts, that one shard tells of


@dataclass(frozen=True)
class Pass:
    """What the shards of one pass share.

    Attributes
    ----------
    name: under which the store keeps the forecast. fleet_name: of the inventory block, whose models serve.
    metrics_of: the fleet's own name, under which its series are kept. history_days: what a model is fitted on where
    none is stored. calibration_s: age at which a calibration is renewed, seconds of the fleet's time.
    """

    name: str
    fleet_name: str
    metrics_of: str
    as_of: datetime
    serving: Serving
    history_days: int
    calibration_s: int
    flow_run_id: str


@dataclass(frozen=True)
class Shard:
    """One of `count` shards, and its pools, `cluster/pool`."""

    number: int
    count: int
    pools: tuple[str, ...]


@dataclass(frozen=True)
class Doubt:
    """A forecast that nothing in its series' history supports."""

    series: str
    reasons: tuple[ForecastReason, ...]


@dataclass(frozen=True)
class ShardMade:
    """What one shard made: series by the engine that served them, calibrations renewed, anomalies, doubts."""

    number: int
    series: int
    methods: dict[str, int]
    renewed: int = 0
    anomalies: tuple[Anomaly, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    doubtful: int = 0


def shards_of(pools: Sequence[str]) -> list[Shard]:
    """Shards of at most SHARD_POOLS neighbouring pools each, one at least.

    Series files keep series in the order of their names, so that a shard reads few of their parts.

    >>> [len(shard.pools) for shard in shards_of([f"c/{i}" for i in range(2400)])]
    [800, 800, 800]
    """
    count = max(1, -(-len(pools) // SHARD_POOLS))
    parts = np.array_split(np.array(sorted(pools), dtype=object), count)
    return [Shard(number, count, tuple(part)) for number, part in enumerate(parts)]


@task(name="forecast shard", cache_policy=NO_CACHE, persist_result=False)
def forecast_shard(work: Pass, shard: Shard) -> ShardMade:
    """Forecast the series of one shard, and keep the result in the store.

    Raises
    ------
    ContinuumError: a file cannot be read or written.
    """
    files, plan = SeriesStore.open(), work.serving.plan
    models = _models(files, work)
    stored = {engine: _stored_calibration(files, work, shard, engine) for engine in models}
    days = work.history_days if None in models.values() else CALIBRATED_DAYS if None in stored.values() else SERVED_DAYS
    fine = read_pool_demand(files, work.metrics_of, shard.pools, work.as_of, days)
    history = coarser(fine, plan.step_s)
    parts, renewed = [], 0
    for engine in sorted(set(work.serving.engine_of.values())):
        mine = _of_engine(history, work.serving, engine)
        model, calibration = models.get(engine), stored.get(engine)
        if model is not None and calibration is None:
            calibration = calibrate(mine, model, work.as_of, groups=[kind_of(name) for name in mine.unique_id])
            _keep_calibration(files, work, shard, engine, calibration)
            renewed += 1
        parts.append(forecast(mine, plan.horizon, LEVELS, work.as_of, engine=engine, model=model,
                              calibration=calibration))  # fmt: skip
    made = _together(history.unique_id, parts)
    engines = "+".join(sorted(set(work.serving.engine_of.values())))
    save_forecast(Store.open(), made, metric=work.name, shard=f"{shard.number:04d}", engine=engines,
                  flow_run_id=work.flow_run_id, files=files)  # fmt: skip
    doubts = [Doubt(name, reasons) for name, reasons
              in zip(made.unique_id, check_forecast(made, history), strict=True) if reasons]  # fmt: skip
    anomalies = anomalies_in(fine) if plan.step_s == STEP_S else ()
    return ShardMade(shard.number, len(made.unique_id), dict(Counter(made.method)), renewed, anomalies,
                     tuple(doubts[:TOLD]), len(doubts))  # fmt: skip


def anomalies_in(history: Series) -> tuple[Anomaly, ...]:
    """Alerts among the newest steps, newest first, at most TOLD of them."""
    judged = min(JUDGED_STEPS, history.values.shape[1])
    found, times = detect(history, judged), history.times()[-judged:]
    rows, columns = np.nonzero(found.alerts)
    told = [
        Anomaly(series=history.unique_id[row], at=utc(float(times[column])),
                value=float(history.values[row, column - judged]),
                expected=float(found.expected[row, column]) if np.isfinite(found.expected[row, column]) else None,
                cause=CAUSES[found.cause[row, column]])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]  # fmt: skip
    return tuple(sorted(told, key=lambda anomaly: (-anomaly.at.timestamp(), anomaly.series))[:TOLD])


def _models(files: SeriesStore, work: Pass) -> dict[str, Model | None]:
    """The stored model of each global engine that serves; None where it is to be fitted in the pass."""
    shelf = shelf_of(files, work.fleet_name, work.serving.plan)
    return {
        engine: load_model(shelf, engine, digest) if (digest := work.serving.digests.get(engine)) else None
        for engine in set(work.serving.engine_of.values()) & set(GLOBAL_ENGINES)
    }


def _of_engine(history: Series, serving: Serving, engine: str) -> Series:
    """The series of the kinds of demand that an engine serves."""
    rows = [row for row, name in enumerate(history.unique_id) if serving.engine_of[kind_of(name)] == engine]
    if len(rows) == len(history.unique_id):
        return history
    return replace(history, unique_id=tuple(history.unique_id[row] for row in rows), values=history.values[rows])


def _together(names: Sequence[str], parts: Sequence[Forecast]) -> Forecast:
    """Forecasts of some series each, in the order of the names."""
    if len(parts) == 1:
        return parts[0]
    place = {name: row for row, name in enumerate(name for part in parts for name in part.unique_id)}
    order = [place[name] for name in names]
    values, peaks = (np.concatenate([getattr(part, what) for part in parts])[order] for what in ("values", "peaks"))
    method = [name for part in parts for name in part.method]
    return replace(parts[0], unique_id=tuple(names), values=values, peaks=peaks,
                   method=tuple(method[row] for row in order))  # fmt: skip


def _calibration_path(work: Pass, shard: Shard, engine: str) -> str:
    return f"forecasts/metric={work.name}/calibrations/{engine}.{shard.number:04d}-of-{shard.count:04d}.npz"


def _keep_calibration(files: SeriesStore, work: Pass, shard: Shard, engine: str, calibration: Calibration) -> None:
    about = {"as_of_s": int(work.as_of.timestamp()), "model": work.serving.digests[engine]}
    files.write_bytes(_calibration_path(work, shard, engine), pack(to_arrays(calibration), about))


def _stored_calibration(files: SeriesStore, work: Pass, shard: Shard, engine: str) -> Calibration | None:
    """The stored calibration of a stored model; None where it is to be made: there is none, or its time is over."""
    path = _calibration_path(work, shard, engine)
    with suppress(NotFound, ContinuumError):  # it is made anew from the same history
        arrays, about = unpack(files.read_bytes(path), path)
        if about.get("model") == work.serving.digests.get(engine) and not _is_due(work, shard, about["as_of_s"]):
            return from_arrays(Calibration, arrays)
    return None


def _is_due(work: Pass, shard: Shard, made_s: int) -> bool:
    """Whether the shard's moment of renewal, one in each span of `calibration_s`, lies between then and now.

    Each shard has a moment of its own, so that a large fleet renews some in every pass and never all in one.
    """
    now_s, phase_s = int(work.as_of.timestamp()), work.calibration_s * shard.number // shard.count
    return made_s > now_s or (now_s + phase_s) // work.calibration_s != (made_s + phase_s) // work.calibration_s
