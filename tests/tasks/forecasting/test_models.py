"""Stored models: the same numbers after a round trip, and a stated fallback for whatever cannot be loaded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blocks.errors import NotFound, StoreUnavailable
from blocks.series import Calendar, Series, utc
from blocks.store.models import ModelShelf
from blocks.store.series import SeriesStore
from tasks.forecasting.decide import Calibration, calibrate, fit, forecast
from tasks.forecasting.decide.plans import LEVELS, Plan
from tasks.forecasting.models import MODELS, code_version, from_arrays, load_model, serving, shelf_of, to_arrays

PLAN = Plan(900, 8, "2 hours in steps of 15 min")
NOW = utc(1_767_225_600)


@pytest.fixture
def shelf(tmp_path: Path) -> ModelShelf:
    return shelf_of(SeriesStore.open(str(tmp_path)), "a-fleet", PLAN)


@pytest.fixture(scope="module")
def history() -> Series:
    from tests.tasks.forecasting.conftest import fleet

    return fleet(series=3, days=10)


@pytest.fixture(scope="module")
def trained(history: Series) -> dict[str, Any]:
    as_of = utc(history.end_s - history.step_s)
    return {engine: fit(history, PLAN.horizon, LEVELS, as_of, engine=engine) for engine in MODELS}


def manifest(shelf: ModelShelf, trained: dict[str, Any], choice: str) -> dict[str, Any]:
    models = {engine: {"digest": shelf.save(to_arrays(model))} for engine, model in trained.items()}
    return {"trained_at": NOW.isoformat(), "code": code_version(), "models": models,
            "choice": {"cpu_cores": choice, "memory_bytes": choice}}  # fmt: skip


def test_a_loaded_model_still_knows_the_names_and_sizes_of_its_features(shelf, history) -> None:
    values = np.random.default_rng(1).random((2, *history.values.shape)).astype(np.float32)
    calendar = Calendar(history.unique_id, (), ("holiday", "planned_pods"), history.start_s, PLAN.step_s, values)
    model = fit(history, PLAN.horizon, LEVELS, utc(history.end_s - history.step_s), calendar=calendar)
    assert load_model(shelf, "linear", shelf.save(to_arrays(model))).known == model.known


@pytest.mark.parametrize("engine", MODELS)
def test_a_loaded_model_forecasts_the_very_same_numbers(engine, shelf, history, trained) -> None:
    model = trained[engine]
    loaded = load_model(shelf, engine, shelf.save(to_arrays(model)))
    as_of = utc(history.end_s - history.step_s)
    calibration = calibrate(history, model, as_of)
    again = from_arrays(Calibration, to_arrays(calibration))
    before, after = (
        forecast(history, PLAN.horizon, LEVELS, as_of, engine=engine, model=one, calibration=other)
        for one, other in ((model, calibration), (loaded, again))
    )
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.peaks, after.peaks)
    assert set(before.method) == {engine}


def test_a_model_of_another_engine_is_refused(shelf, trained) -> None:
    digest = shelf.save(to_arrays(trained["linear"]))
    with pytest.raises(StoreUnavailable, match="forecast-training"):
        load_model(shelf, "trees", digest)


def test_a_model_of_another_horizon_is_refused(shelf, trained) -> None:
    other = ModelShelf(shelf.files, shelf.fleet, shelf.step_s, 9)
    with pytest.raises(StoreUnavailable, match="8 steps"):
        load_model(other, "linear", other.save(to_arrays(trained["linear"])))


def test_without_a_training_a_pass_fits_the_linear_model(shelf) -> None:
    served = serving(shelf, PLAN, "auto", NOW)
    assert (set(served.engine_of.values()), served.digests, served.notes) == ({"linear"}, {}, ())


def test_the_choice_of_the_training_serves(shelf, trained) -> None:
    told = manifest(shelf, trained, "trees")
    shelf.record(NOW, told)
    served = serving(shelf, PLAN, "auto", NOW)
    assert set(served.engine_of.values()) == {"trees"}
    assert served.digests == {"trees": told["models"]["trees"]["digest"]}
    assert serving(shelf, PLAN, "last-value", NOW).engine_of["cpu_cores"] == "last-value"


def test_a_training_of_the_future_does_not_serve(shelf, trained) -> None:
    shelf.record(NOW, manifest(shelf, trained, "trees"))
    assert serving(shelf, PLAN, "auto", NOW - timedelta(hours=1)).digests == {}


@pytest.mark.parametrize(("broken", "expected"), [(["trees"], "linear"), (["trees", "linear"], "seasonal-naive")])
def test_what_cannot_be_loaded_is_replaced_in_order_and_told(shelf, trained, broken, expected) -> None:
    told = manifest(shelf, trained, "trees")
    shelf.record(NOW, told)
    for engine in broken:
        shelf.files.remove(f"{shelf.folder}/{told['models'][engine]['digest']}.npz")
    served = serving(shelf, PLAN, "auto", NOW)
    assert set(served.engine_of.values()) == {expected}
    assert len(served.notes) == len(broken)
    assert all("forecast-training" in note for note in served.notes)


def test_a_damaged_manifest_leaves_seasonal_naive_and_is_told(shelf) -> None:
    shelf.record(NOW, {"models": {}})
    (name,) = shelf.files.names(shelf.folder)
    shelf.files.write_bytes(f"{shelf.folder}/{name}", b"}")
    served = serving(shelf, PLAN, "auto", NOW)
    assert set(served.engine_of.values()) == {"seasonal-naive"}
    assert "manifest" in served.notes[0]


def test_models_of_another_release_are_not_used(shelf, trained) -> None:
    shelf.record(NOW, manifest(shelf, trained, "trees") | {"code": "0.0.1+0"})
    served = serving(shelf, PLAN, "auto", NOW)
    assert (set(served.engine_of.values()), served.digests) == ({"linear"}, {})
    assert "another release" in served.notes[0]


def test_a_missing_model_file_is_named(shelf) -> None:
    with pytest.raises(NotFound, match="models/fleet=a-fleet"):
        load_model(shelf, "linear", "0" * 64)
