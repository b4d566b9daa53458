"""Stored models: made of arrays again, and which engine serves which kind of demand with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from blocks.errors import ContinuumError, StoreUnavailable
from blocks.store.models import Arrays, ModelShelf
from blocks.store.series import SeriesStore
from tasks.forecasting.decide import Model, ahead, almanac, combination, features, linear, trees
from tasks.forecasting.decide.engines import LINEAR, SEASONAL_NAIVE, TREES
from tasks.forecasting.decide.linear import LinearModel
from tasks.forecasting.decide.plans import LEVELS, Plan
from tasks.forecasting.decide.trees import TreesModel
from tasks.forecasting.kinds import KINDS

AUTO = "auto"
MODELS: dict[str, type[Any]] = {LINEAR: LinearModel, TREES: TreesModel}
MEANING = (ahead, almanac, features, linear, trees, combination)  # the code that gives a stored model its meaning
FALLBACKS = (TREES, LINEAR, SEASONAL_NAIVE)  # what cannot be loaded is replaced by the next one

Value = TypeVar("Value")


def to_arrays(value: Any) -> Arrays:
    """Every field of a dataclass (and of the dataclasses in it, as `FIELD.NAME`) as a plain array.

    >>> sorted(to_arrays(Plan(300, 24, "2 hours")))
    ['horizon', 'step_s', 'suffix', 'words']
    """
    found: Arrays = {}
    for part in fields(value):
        held = getattr(value, part.name)
        inner = to_arrays(held) if is_dataclass(held) else None
        found |= {part.name: np.asarray(held)} if inner is None else {f"{part.name}.{n}": a for n, a in inner.items()}
    return found


def from_arrays(kind: type[Value], arrays: Mapping[str, NDArray[Any]]) -> Value:
    """The dataclass again.

    Raises
    ------
    StoreUnavailable: the arrays are not those of its fields.

    >>> from_arrays(Plan, to_arrays(Plan(300, 24, "2 hours")))
    Plan(step_s=300, horizon=24, words='2 hours', suffix='')
    """
    wanted = {part.name: get_type_hints(kind)[part.name] for part in fields(kind)}  # type: ignore[arg-type]
    held = {name.split(".")[0] for name in arrays}
    if held != set(wanted):
        raise StoreUnavailable(f"its arrays are {sorted(held)}, not {sorted(wanted)}", where=f"stored {kind.__name__}",
                               fix="run forecast-training again", retryable=False)  # fmt: skip
    return kind(**{name: _value(hint, name, arrays) for name, hint in wanted.items()})


def _value(hint: Any, name: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if is_dataclass(hint):
        inner = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
        return from_arrays(hint, inner)  # type: ignore[arg-type]
    array = arrays[name]
    if get_origin(hint) is tuple:
        return tuple(get_args(hint)[0](item) for item in array.tolist())
    return array if array.ndim else array.item()


@cache
def code_version() -> str:
    """The release, and a digest of the code that a stored model means something to: another code refuses it."""
    parts = (Path(module.__file__ or "").read_bytes() for module in MEANING)
    return f"{metadata.version('continuum-fleet')}+{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"


def load_model(shelf: ModelShelf, engine: str, digest: str) -> Model:
    """A model that a training stored.

    Raises
    ------
    NotFound: its file is gone. StoreUnavailable: it is damaged, or is no model of that engine, step or horizon.
    """
    model: Model = from_arrays(MODELS[engine], shelf.load(digest))
    if (model.step_s, model.horizon, tuple(model.levels)) != (shelf.step_s, shelf.horizon, LEVELS):
        raise StoreUnavailable(f"it is for {model.horizon} steps of {model.step_s} s", where=f"model {digest[:12]}",
                               fix="run forecast-training again", retryable=False)  # fmt: skip
    return model


@dataclass(frozen=True)
class Serving:
    """Which engine serves which kind of demand in one pass.

    Attributes
    ----------
    plan: step and horizon. engine_of: the engine of each kind of demand. digests: the stored model of each global
    engine; one that is not there is fitted in the pass. notes: one line for whatever is not as it should be.
    trained_at: time of the training, ISO; empty without one.
    """

    plan: Plan
    engine_of: dict[str, str]
    digests: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trained_at: str = ""


def shelf_of(files: SeriesStore, fleet_name: str, plan: Plan) -> ModelShelf:
    """Where the models of a fleet (the name of its inventory block) for a plan are."""
    return ModelShelf(files, fleet_name, plan.step_s, plan.horizon)


def serving(shelf: ModelShelf, plan: Plan, engine: str, as_of: datetime) -> Serving:
    """Choose for each kind of demand: as asked, or (`auto`) as the newest training's scores say.

    Rules: a stored model that cannot be loaded is replaced by the next of trees, linear, seasonal naive. Without a
    training, or after a release that reads models otherwise, `auto` is linear, fitted in the pass.
    """
    try:
        manifest = shelf.newest(as_of)
    except ContinuumError as error:
        return Serving(plan, dict.fromkeys(KINDS, SEASONAL_NAIVE if engine == AUTO else engine),
                       notes=(f"{error} (until then seasonal naive serves)",))  # fmt: skip
    notes: list[str] = []
    if manifest and manifest.get("code") != code_version():
        notes.append(f"the models of {manifest.get('trained_at')} are of another release: "
                     "a model is fitted in each pass until forecast-training has run")  # fmt: skip
        manifest = None
    if not manifest:
        return Serving(plan, dict.fromkeys(KINDS, LINEAR if engine == AUTO else engine), notes=tuple(notes))
    chosen = manifest["choice"] if engine == AUTO else {}
    wanted = {kind: chosen.get(kind, SEASONAL_NAIVE if engine == AUTO else engine) for kind in KINDS}
    usable = _usable(shelf, manifest, set(wanted.values()), notes)
    served = {kind: _replaced(name, usable, manifest["models"]) for kind, name in wanted.items()}
    digests = {name: usable[name] for name in set(served.values()) & usable.keys()}
    return Serving(plan, served, digests, tuple(notes), str(manifest["trained_at"]))


def is_trained(files: SeriesStore, fleet_name: str, plan: Plan) -> bool:
    """Whether there is a training whose models this release can read."""
    try:
        manifest = shelf_of(files, fleet_name, plan).newest()
    except ContinuumError:
        return False
    return manifest is not None and manifest.get("code") == code_version()


def _usable(shelf: ModelShelf, manifest: Mapping[str, Any], wanted: set[str], notes: list[str]) -> dict[str, str]:
    """Digests of the models that load, of those wanted and of what would replace them."""
    usable: dict[str, str] = {}
    first = min((FALLBACKS.index(name) for name in wanted & set(FALLBACKS)), default=len(FALLBACKS))
    for name in FALLBACKS[first:]:
        if name in manifest["models"]:
            digest = str(manifest["models"][name]["digest"])
            try:
                load_model(shelf, name, digest)
                usable[name] = digest
            except ContinuumError as error:
                notes.append(f"{error} (until then the next engine serves)")
    return usable


def _replaced(engine: str, usable: Mapping[str, str], stored: Mapping[str, Any]) -> str:
    """The engine itself (one that was not trained is fitted in the pass), or the first fallback that can serve."""
    if engine not in FALLBACKS or engine not in stored:
        return engine
    chain = FALLBACKS[FALLBACKS.index(engine) :]
    return next(name for name in chain if name in usable or name == SEASONAL_NAIVE)
