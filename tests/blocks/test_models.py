"""The registry: content under its digest, versions signed and known only when whole, damage refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blocks.errors import Conflict, InvalidInput, NotConfigured, NotFound, Refused
from blocks.models import Registry, signing_key
from blocks.settings import home
from blocks.store import Store


@pytest.fixture
def registry() -> Registry:
    return Registry.open(Store.open())


def test_a_version_is_read_as_it_was_published(registry: Registry) -> None:
    made = registry.publish("digits", "1", {"model.onnx": b"onnx"}, metrics={"accuracy": 0.9}, escalation_threshold=0.7)
    found = registry.manifest(made.digest)
    assert found == made
    assert registry.get(found.files[0].sha256) == b"onnx"
    assert registry.version("digits").digest == registry.version("digits", "1").digest == made.digest
    assert registry.version("digits", made.digest[:9]).digest == made.digest


def test_the_same_version_again_changes_nothing_and_another_content_is_refused(registry: Registry) -> None:
    first = registry.publish("digits", "1", {"model.onnx": b"onnx"})
    assert registry.publish("digits", "1", {"model.onnx": b"onnx"}) == first
    with pytest.raises(Conflict, match="is there with another content"):
        registry.publish("digits", "1", {"model.onnx": b"other"})
    assert len(registry.versions()) == 1


def test_a_version_whose_publishing_was_cut_off_is_not_known(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocks.models.sign", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        registry.publish("digits", "1", {"model.onnx": b"onnx"})
    with pytest.raises(NotFound, match="nothing is published"):
        registry.version("digits")
    monkeypatch.undo()
    assert registry.publish("digits", "1", {"model.onnx": b"onnx"})


def test_a_flipped_byte_is_refused(registry: Registry) -> None:
    digest = registry.put(b"numbers")
    (home() / "models" / "blobs" / digest).write_bytes(b"numberz")
    with pytest.raises(Refused, match="not those that were written"):
        registry.get(digest)


def test_a_manifest_that_another_key_signed_is_refused(registry: Registry) -> None:
    made = registry.publish("digits", "1", {"model.onnx": b"onnx"})
    stranger = Registry(registry.store, registry.files, Ed25519PrivateKey.generate(), registry.root)
    with pytest.raises(Refused, match="not by the trusted key"):
        stranger.manifest(made.digest)


def test_a_manifest_under_another_digest_is_refused(registry: Registry) -> None:
    one, two = (registry.publish("digits", version, {"model.onnx": b"onnx"}) for version in "12")
    folder = home() / "models" / "manifests"
    (folder / f"{one.digest}.json").write_bytes((folder / f"{two.digest}.json").read_bytes())
    with pytest.raises(Refused, match="another version"):
        registry.manifest(one.digest)


def test_a_file_that_would_climb_out_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="no plain name"):
        registry.publish("digits", "1", {"../model.onnx": b"onnx"})


def test_parts_of_a_blob_are_read_alone(registry: Registry) -> None:
    digest = registry.put(bytes(range(100)))
    assert registry.size(digest) == 100
    assert b"".join(registry.pieces(digest, 10, 19)) == bytes(range(10, 20))


def test_numbers_are_mapped_from_the_disk(registry: Registry) -> None:
    numbers = np.arange(5, dtype="<f4")
    digest = registry.put(numbers.tobytes(), "updates")
    found = registry.numbers(digest)
    assert isinstance(found, np.memmap)
    assert found.tolist() == numbers.tolist()
    assert Registry(registry.store, registry.files, registry.key).numbers(digest).tolist() == numbers.tolist()


def test_the_key_is_made_once_and_kept_from_others() -> None:
    first = signing_key().private_bytes_raw()
    assert signing_key().private_bytes_raw() == first
    assert (home() / "model-signing.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_no_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pem").write_text("no key")
    monkeypatch.setenv("CONTINUUM_MODEL_KEY", str(tmp_path / "key.pem"))
    with pytest.raises(NotConfigured, match="no private key can be read there"):
        signing_key()
