"""What an agent is told at its start: one TOML file, read once, every mistake named."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from blocks.errors import InvalidInput, NotConfigured

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FILES = frozenset({"token_file", "ca", "certificate", "key", "rows"})
T = TypeVar("T")


@dataclass(frozen=True)
class HubSettings:
    """Where the hub is, and how the agent shows who it is: a token, a client certificate, or both.

    ca: PEM file of who signed the hub's certificate; the system's own list where it is empty.
    """

    url: str = ""
    token_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    poll_s: float = 5.0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class ServeSettings:
    """Where requests are taken. Other addresses than loopback need a token. port 0: any that is free.

    sample_ratio: of the answered rows, whose confidence the hub is told, so that drift is seen; 0: none.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token_file: str = ""
    certificate: str = ""
    key: str = ""
    max_body_bytes: int = 16 * 2**20
    threads: int = 2
    sample_ratio: float = 0.01


@dataclass(frozen=True)
class ModelSettings:
    """trusted_keys: PEM files of Ed25519 public keys; a manifest must be signed by one of them.

    cache_bytes: of all versions on the disk. providers: of onnxruntime, the first that is there comes first.
    """

    trusted_keys: tuple[str, ...] = ()
    cache_bytes: int = 2 * 2**30
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    threads: int = 1


@dataclass(frozen=True)
class TrainingSettings:
    """rows: the device's own rows, which never leave it: CSV with a column `label`, or .npz (rows, labels).

    model: whose answers are held against their labels as well; default: every model that they fit.
    """

    rows: str = ""
    model: str = ""


@dataclass(frozen=True)
class Config:
    """The whole file. edge: the agent's name at the hub. state: its folder, for it alone."""

    edge: str
    state: Path
    hub: HubSettings
    serve: ServeSettings
    models: ModelSettings
    training: TrainingSettings

    def trusted(self) -> list[Ed25519PublicKey]:
        """The trusted keys.

        Raises
        ------
        NotConfigured: a file holds none.
        """
        return [_key(path) for path in self.models.trusted_keys]


def read_config(path: Path) -> Config:
    """The settings in a file; paths in it are relative to its folder.

    Raises
    ------
    InvalidInput: no TOML, an unknown or missing key, a value that does not fit.
    NotConfigured: something that its safety needs is absent (keys, a token, HTTPS).
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"cannot be read ({error.strerror})", where=str(path), fix="name the file by --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"no TOML: {error}", where=str(path), fix="see deployments/edge/README.md") from None
    unknown = document.keys() - {"edge", "state", "hub", "serve", "models", "training"}
    if unknown:
        raise InvalidInput(f"unknown key {sorted(unknown)[0]!r}", where=str(path), fix="see deployments/edge/README.md")
    hub = _section(HubSettings, document, "hub", path)
    serve = _section(ServeSettings, document, "serve", path)
    models = _section(ModelSettings, document, "models", path)
    training = _section(TrainingSettings, document, "training", path)
    for name in ("edge", "state"):
        if not isinstance(document.get(name), str) or not document[name]:
            raise InvalidInput(f"no {name!r}", where=str(path), fix=f'write {name} = "..."')
    if not _NAME.fullmatch(document["edge"]):
        raise InvalidInput("`edge` is no plain name", where=str(path), fix="letters, digits, . _ - only")
    config = Config(document["edge"], path.parent / document["state"], hub, serve, models, training)
    _check_safety(config, str(path))
    return config


def read_secret(path: str) -> str:
    """The token in a file, without white space around it.

    Raises
    ------
    NotConfigured: not there, empty, or no plain text.
    """
    try:
        token = Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token or not token.isprintable():
        raise NotConfigured("holds no token", where=path, fix="write the token into it, mode 0600")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine alone.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "edge.example")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _check_safety(config: Config, where: str) -> None:
    parts = urlsplit(config.hub.url)
    if config.hub.url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise InvalidInput("the URL is malformed", where=f"{where} [hub] url", fix="write it as https://host[:port]")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise NotConfigured("plain http would show the token", where=f"{where} [hub] url", fix="use https://")
    if config.hub.url and not (config.hub.token_file or config.hub.certificate):
        raise NotConfigured("no token and no certificate", where=f"{where} [hub]", fix="set token_file")
    if config.hub.url and not config.models.trusted_keys:
        raise NotConfigured("no trusted key", where=f"{where} [models]", fix="set trusted_keys")
    config.trusted()
    if not is_loopback(config.serve.host) and not config.serve.token_file:
        raise NotConfigured(f"{config.serve.host} is open to others", where=f"{where} [serve]", fix="set token_file")


def _key(path: str) -> Ed25519PublicKey:
    try:
        found = load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        fix = "write what `continuum hub public-key` prints into it"
        raise NotConfigured("holds no Ed25519 public key", where=f"[models] trusted_keys {path}", fix=fix)
    return found


def _section(kind: type[T], document: dict[str, Any], name: str, path: Path) -> T:
    """A dataclass from a table; the type of each default is the type that is taken. Files are relative to `path`."""
    where, values = f"{path} [{name}]", document.get(name, {})
    if not isinstance(values, dict):
        raise InvalidInput("is no table", where=where, fix="see deployments/edge/README.md")
    defaults: dict[str, Any] = {each.name: each.default for each in fields(kind)}  # type: ignore[arg-type]
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if key not in defaults:
            raise InvalidInput(f"unknown key {key!r}", where=where, fix=f"known are {', '.join(defaults)}")
        taken[key] = _value(value, defaults[key], f"{where} {key}")
        if key in _FILES and taken[key]:
            taken[key] = str(path.parent / taken[key])
        elif key == "trusted_keys":
            taken[key] = tuple(str(path.parent / each) for each in taken[key])
    return kind(**taken)


def _value(value: Any, default: Any, where: str) -> Any:
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise InvalidInput("is no list of texts", where=where, fix='write ["..."]')
    if isinstance(default, str):
        if isinstance(value, str):
            return value
        raise InvalidInput("is no text", where=where, fix='write "..."')
    if isinstance(default, float) and default < 1:  # a share
        if not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= 1:
            return float(value)
        raise InvalidInput(f"{value!r:.40} is no share", where=where, fix="write 0 to 1")
    number = not isinstance(value, bool) and isinstance(value, int | (float if isinstance(default, float) else int))
    if not number or not (value > 0 or (value == 0 and default == 0)) or value == float("inf"):
        raise InvalidInput(f"{value!r:.40} is no number above 0", where=where, fix=f"write e.g. {default}")
    return value
