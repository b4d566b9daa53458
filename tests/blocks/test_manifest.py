from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blocks.errors import InvalidInput, Refused
from blocks.manifest import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, Manifest, ModelFile, check_file, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HUGE = sign(Manifest("m", "1", (ModelFile("f", "0" * 64, 1),)), KEY).replace(b'"size_bytes": 1', b'"size_bytes": 1e999')
BODY = b"weights" * 100
FILE = ModelFile("model.onnx", hashlib.sha256(BODY).hexdigest(), len(BODY))


def manifest(*files: ModelFile) -> Manifest:
    return Manifest("digits", "7", files or (FILE,), features=(("x", "FP32"),), metrics={"accuracy": 0.9})


def test_a_signed_manifest_comes_back_as_it_was():
    assert verify(sign(manifest(), KEY), KEY.public_key()) == manifest()


def test_another_key_is_refused():
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(Refused, match="signature"):
        verify(sign(manifest(), KEY), other)


def test_a_changed_manifest_is_refused():
    body = json.loads(sign(manifest(), KEY))
    body["manifest"]["escalation_threshold"] = 0.1
    with pytest.raises(Refused, match="signature"):
        verify(json.dumps(body).encode(), KEY.public_key())


@pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "a/b", "..", ".hidden", "", "a\\b", "a\n"])
def test_a_path_that_could_climb_out_is_refused(path: str):
    with pytest.raises(InvalidInput, match="no plain name"):
        manifest(ModelFile(path, FILE.sha256, 1))


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"signature": "", "manifest": 3}', HUGE]
)
def test_what_is_no_manifest_is_refused(document: bytes):
    with pytest.raises(InvalidInput, match="not a signed manifest"):
        verify(document, KEY.public_key())


def test_an_oversized_manifest_is_refused_unread():
    with pytest.raises(InvalidInput, match="over"):
        verify(b" " * (MAX_MANIFEST_BYTES + 1), KEY.public_key())


def test_a_model_past_the_size_limit_is_refused():
    with pytest.raises(InvalidInput, match="over"):
        manifest(ModelFile("model.onnx", FILE.sha256, MAX_MODEL_BYTES + 1))


def test_the_right_file_passes(tmp_path: Path):
    (tmp_path / "f").write_bytes(BODY)
    check_file(tmp_path / "f", FILE)


@pytest.mark.parametrize(
    ("body", "word"), [(BODY[:-1], "bytes where"), (BODY + b"x", "bytes where"), (b"W" + BODY[1:], "sha256")]
)
def test_a_truncated_longer_or_flipped_file_is_refused_by_name(tmp_path: Path, body: bytes, word: str):
    (tmp_path / "f").write_bytes(body)
    with pytest.raises(Refused, match=f"model.onnx: .*{word}"):
        check_file(tmp_path / "f", FILE)
