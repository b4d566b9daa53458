"""A configuration is read once, and what is unsafe or odd in it is named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks.errors import ContinuumError
from blocks.models import public_pem
from deployments.edge.config import read_config
from tests.deployments.edge.small_hub import KEY

GOOD = """
edge = "berlin-1"
state = "state"
[hub]
url = "https://hub.example"
token_file = "token"
[models]
trusted_keys = ["hub.pem"]
"""


def test_paths_are_relative_to_the_file(tmp_path: Path):
    (tmp_path / "hub.pem").write_text(public_pem(KEY))
    (tmp_path / "edge.toml").write_text(GOOD)
    config = read_config(tmp_path / "edge.toml")
    assert config.state == tmp_path / "state"
    assert config.hub.token_file == str(tmp_path / "token")
    assert [key.public_bytes_raw() for key in config.trusted()] == [KEY.public_key().public_bytes_raw()]
    assert config.serve.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('edge = "berlin-1"', "", "no 'edge'"),
        ('edge = "berlin-1"', 'edge = "../x"', "plain name"),
        ('edge = "berlin-1"', 'edge = "a"\nport = 3', "unknown key 'port'"),
        ("[hub]", "[hub]\npol_s = 3", "unknown key 'pol_s'"),
        ("[hub]", "[hub]\npoll_s = 0", "above 0"),
        ("[hub]", "[hub]\npoll_s = inf", "above 0"),
        ("[hub]", "[hub]\npoll_s = true", "above 0"),
        ("[models]", "[models]\ncache_bytes = 1.5", "above 0"),
        ("https://hub.example", "http://hub.example", "plain http"),
        ("https://hub.example", "ftp://hub.example", "malformed"),
        ('token_file = "token"', "", "no token"),
        ('"hub.pem"', '"token"', "no Ed25519 public key"),
        ('"hub.pem"', '"none.pem"', "no Ed25519 public key"),
        ('["hub.pem"]', "[]", "no trusted key"),
        ('["hub.pem"]', "3", "no list"),
        ("[models]", '[serve]\nhost = "0.0.0.0"\n[models]', "open to others"),
        ("[models]", "[serve\n[models]", "no TOML"),
        ("[hub]", "serve = 3\n[hub]", "no table"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, old, new, said):
    assert old in GOOD
    (tmp_path / "hub.pem").write_text(public_pem(KEY))
    (tmp_path / "token").write_text("secret")
    (tmp_path / "edge.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(ContinuumError, match=said) as caught:
        read_config(tmp_path / "edge.toml")
    assert str(tmp_path) in str(caught.value)
    assert "To mend it" in str(caught.value)
