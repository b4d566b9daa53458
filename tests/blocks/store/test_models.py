"""Model files: what comes back is what was written, or a clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyarrow import fs as arrow_fs

from blocks.errors import InvalidInput, NotFound, StoreUnavailable
from blocks.store.models import KEPT_TRAININGS, ModelShelf, pack, unpack
from blocks.store.series import SeriesStore

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ARRAYS = {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "names": np.array(["a", "b"])}


@pytest.fixture(params=["folder", "object store"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> ModelShelf:
    if request.param == "folder":
        files = SeriesStore.open(str(tmp_path))
    else:
        handler = arrow_fs.PyFileSystem(arrow_fs.FSSpecHandler(pytest.importorskip("fsspec").filesystem("memory")))
        files = SeriesStore(handler, f"bucket{tmp_path}")
    return ModelShelf(files, "a fleet/1", 300, 24)


def manifest(*digests: str) -> dict[str, object]:
    return {"models": {f"engine {number}": {"digest": digest} for number, digest in enumerate(digests)}}


def test_a_model_comes_back_as_it_was_saved(shelf: ModelShelf) -> None:
    found = shelf.load(shelf.save(ARRAYS))
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_the_same_arrays_are_the_same_file(shelf: ModelShelf) -> None:
    digests = {shelf.save(ARRAYS), shelf.save(dict(reversed(ARRAYS.items())))}
    assert shelf.files.names(shelf.folder) == [f"{digest}.npz" for digest in digests]


def test_any_changed_byte_is_refused(shelf: ModelShelf) -> None:
    digest = shelf.save(ARRAYS)
    path = f"{shelf.folder}/{digest}.npz"
    content = shelf.files.read_bytes(path)
    for place in range(0, len(content), 97):
        shelf.files.write_bytes(path, content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(StoreUnavailable, match="damaged") as refusal:
            shelf.load(digest)
        assert not refusal.value.retryable


def test_a_model_that_is_gone_is_named(shelf: ModelShelf) -> None:
    with pytest.raises(NotFound, match=r"models/fleet=a%20fleet%2F1.*forecast-training"):
        shelf.load("0" * 64)


def test_a_file_with_python_objects_is_refused() -> None:
    import io

    target = io.BytesIO()
    np.savez(target, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(StoreUnavailable, match="damaged"):
        unpack(target.getvalue(), "somewhere")


def test_half_a_file_is_refused() -> None:
    content = pack(ARRAYS, {"as_of": 1})
    assert unpack(content, "somewhere")[1] == {"as_of": 1}
    for size in range(0, len(content), 50):
        with pytest.raises(StoreUnavailable):
            unpack(content[:size], "somewhere")


def test_the_newest_training_not_after_a_time_is_found(shelf: ModelShelf) -> None:
    assert shelf.newest() is None
    for hours in (0, 24):
        shelf.record(NOW + timedelta(hours=hours), manifest() | {"number": hours})
    assert [shelf.newest(when) and shelf.newest(when)["number"]  # type: ignore[index]
            for when in (None, NOW + timedelta(hours=1), NOW - timedelta(hours=1))] == [24, 0, None]  # fmt: skip


def test_a_damaged_manifest_is_refused(shelf: ModelShelf) -> None:
    shelf.record(NOW, manifest("0"))
    (name,) = shelf.files.names(shelf.folder)
    for content in (b"{", b"[]", b'{"models": {"linear": {}}}', b'{"models": 3}'):
        shelf.files.write_bytes(f"{shelf.folder}/{name}", content)
        with pytest.raises(StoreUnavailable, match="manifest"):
            shelf.newest()


def test_a_manifest_with_a_number_that_json_has_not_is_refused(shelf: ModelShelf) -> None:
    with pytest.raises(InvalidInput, match="cannot be stored"):
        shelf.record(NOW, manifest() | {"wql": float("nan")})
    assert shelf.newest() is None


def test_only_the_newest_trainings_and_their_models_stay(shelf: ModelShelf) -> None:
    shared = shelf.save({"shared": np.zeros(1)})
    digests = []
    for day in range(KEPT_TRAININGS + 2):
        digests.append(shelf.save({"day": np.array([day])}))
        shelf.record(NOW + timedelta(days=day), manifest(digests[-1], shared))
    assert sum(name.endswith(".json") for name in shelf.files.names(shelf.folder)) == KEPT_TRAININGS
    assert shelf.load(shared)["shared"].tolist() == [0]
    assert shelf.load(digests[2])["day"].tolist() == [2]
    with pytest.raises(NotFound):
        shelf.load(digests[1])


def test_another_horizon_keeps_its_own_models(shelf: ModelShelf) -> None:
    other = ModelShelf(shelf.files, shelf.fleet, 900, 96)
    digest = other.save(ARRAYS)
    other.record(NOW, manifest(digest))
    shelf.record(NOW, manifest())
    assert other.load(digest)
    assert other.newest() == manifest(digest)
