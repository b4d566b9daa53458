"""Brings each model to the version that the hub wants: fetch, verify, load, try, flip; else the old one stays."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from blocks.errors import ContinuumError, InvalidInput, NotFound, Refused
from blocks.manifest import Manifest
from deployments.edge.config import ModelSettings
from deployments.edge.hub import Hub
from deployments.edge.library import Library
from deployments.edge.meters import Meters
from deployments.edge.serving import Models, Served, open_model

log = logging.getLogger("continuum.edge")

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Wanted(NamedTuple):
    """One model as the hub wants it."""

    name: str
    version: str
    digest: str


class Failed(NamedTuple):
    """A version that is not in service: why, and when to try again (on the keeper's clock).

    state: `failed`, or `fetching` where the hub or the way to it is to blame.
    """

    digest: str
    state: str
    reason: str
    tries: int
    again_at_s: float


class Keeper:
    """The versions of one agent. `converge` belongs to one thread; nothing waits for what it fetches."""

    def __init__(
        self, library: Library, models: Models, settings: ModelSettings, meters: Meters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._library, self._models, self._settings, self._meters = library, models, settings, meters
        self._clock, self._lock = clock, threading.RLock()
        self._failed: dict[str, Failed] = {}
        self._unloaded: set[str] = set()
        self.restored = False

    def restore(self) -> None:
        """Serve again what was in service, or the version before it where a byte of it has rotted."""
        with self._lock:
            for name, pointer in self._library.pointers().items():
                for digest in filter(None, pointer):
                    try:
                        self._serve(name, digest)
                        break
                    except ContinuumError as error:
                        self._fail(name, digest, error, first_wait_s=0.0)  # it is to be fetched anew at once
            self.restored = True

    def converge(self, hub: Hub, wanted: Collection[Wanted]) -> None:
        """One pass over what the hub wants; what fails is told by `states` and tried again later, the others go on.

        A model that is no longer wanted is served no longer. A list without any model changes nothing: it is more
        likely a mistake than a wish.
        """
        for each in wanted:
            try:
                self._bring(hub, each)
            except ContinuumError as error:
                self._fail(each.name, each.digest, error)
                if error.retryable:
                    raise  # the hub does not answer: nor will it for the next one
            except OSError as error:
                self._fail(each.name, each.digest, Refused(f"disk: {error.strerror}", where=f"model {each.name}"))
        names = {each.name for each in wanted}
        with self._lock:
            self._library.clean({each.digest for each in wanted})
            for name in self._library.pointers().keys() - names if names else ():
                log.info("model %s is no longer wanted", name)
                self._models.drop(name)
                self._library.forget(name)
                self._failed.pop(name, None)

    def load(self, name: str) -> None:
        """Serve a model of the library again.

        Raises
        ------
        NotFound: the library has no such model. Refused: its bytes are not as signed.
        """
        with self._lock:
            pointer = self._library.pointers().get(name)
            if pointer is None:
                raise NotFound("not here", where=f"model {name:.128}", fix="read the repository index")
            self._unloaded.discard(name)
            if name not in self._models:
                self._serve(name, pointer.current)

    def unload(self, name: str) -> None:
        """Serve a model no longer, until it is loaded again or the hub wants another version.

        Raises
        ------
        NotFound: it is not in service.
        """
        with self._lock:
            self._models.get(name)
            self._unloaded.add(name)
            self._models.drop(name)

    def index(self) -> list[dict[str, str]]:
        """As the protocol has it: of each model its version, state and reason."""
        rows = []
        for name, pointer in self._library.pointers().items():
            served = self._models.get(name) if name in self._models else None
            failed = self._failed.get(name)
            rows.append({
                "name": name, "version": served.version if served else "",
                "state": "READY" if served else "UNAVAILABLE",
                "reason": failed.reason if failed else "" if served else f"unloaded; version {pointer.current[:12]}",
            })  # fmt: skip
        return rows

    def states(self, words: Callable[[str, str], str] = lambda *_: "") -> list[dict[str, str]]:
        """For the hub: what is in service, with `words` of its name and digest, and what is not and why."""
        rows = [{"name": each.name, "digest": f"sha256:{each.digest}",
                 "state": f"serving{words(each.name, each.digest)}"} for each in self._models]  # fmt: skip
        rows += [{"name": name, "digest": f"sha256:{pointer.current}", "state": "unloaded"}
                 for name, pointer in self._library.pointers().items() if name not in self._models]  # fmt: skip
        return rows + [{"name": name, "digest": f"sha256:{each.digest}", "state": f"{each.state}: {each.reason}"[:200]}
                       for name, each in self._failed.items()]  # fmt: skip

    def _bring(self, hub: Hub, wanted: Wanted) -> None:
        served = self._models.get(wanted.name) if wanted.name in self._models else None
        pointer = self._library.pointers().get(wanted.name)
        failed = self._failed.get(wanted.name)
        if served is not None and served.digest == wanted.digest:
            self._failed.pop(wanted.name, None)
            return
        if pointer is not None and pointer.current == wanted.digest and wanted.name in self._unloaded:
            return
        if failed is not None and failed.digest == wanted.digest and self._clock() < failed.again_at_s:
            return
        try:
            manifest = self._library.verified(wanted.digest)
        except ContinuumError:
            manifest = self._pull(hub, wanted)
        if (manifest.model, manifest.version) != (wanted.name, wanted.version):
            told = f"its manifest is that of {manifest.model} {manifest.version}"
            raise InvalidInput(told, where=f"model {wanted.name} {wanted.version}", fix="publish it again")
        served = self._opened(manifest, wanted.digest)
        with self._lock:
            self._library.point(served.name, served.digest)  # first on the disk: a restart must not go back
            self._models.flip(served)
            self._unloaded.discard(wanted.name)
        self._failed.pop(wanted.name, None)
        log.info("model %s: version %s (%s) is in service", wanted.name, wanted.version, wanted.digest[:12])

    def _pull(self, hub: Hub, wanted: Wanted) -> Manifest:
        document = hub.manifest(wanted.digest)
        manifest = self._library.read_manifest(document, wanted.digest)
        size = len(document) + sum(file.size_bytes for file in manifest.files)
        self._library.make_room(size, self._library.in_use() | {each.digest for each in self._models})
        staged = self._library.stage(wanted.digest, document)
        for file in manifest.files:
            hub.fetch(file.sha256, file.size_bytes, staged / file.path)
        self._library.admit(wanted.digest, manifest)
        self._meters.count("continuum_edge_pulls_total")
        return manifest

    def _serve(self, name: str, digest: str) -> None:
        manifest = self._library.verified(digest)
        if manifest.model != name:
            raise Refused(f"its version is of {manifest.model}", where=f"model {name}", fix="wait for the next pull")
        self._models.flip(self._opened(manifest, digest))

    def _opened(self, manifest: Manifest, digest: str) -> Served:
        folder = self._library.folder(digest)
        served = open_model(manifest, digest, folder, self._settings.providers, self._settings.threads)
        self._library.touch(digest)
        return served

    def _fail(self, name: str, digest: str, error: ContinuumError, first_wait_s: float = FIRST_WAIT_S) -> None:
        last = self._failed.get(name)
        tries = last.tries + 1 if last is not None and last.digest == digest else 1
        wait = 0.0 if error.retryable else min(LONGEST_WAIT_S, first_wait_s * 2.0 ** min(tries - 1, 12))
        self._failed[name] = Failed(
            digest, "fetching" if error.retryable else "failed", str(error), tries, self._clock() + wait
        )
        self._meters.count("continuum_edge_refusals_total", f'model="{name}"')
        log.warning("model %s: %s", name, error)


def read_wanted(document: Mapping[str, Any]) -> tuple[list[Wanted], list[str]]:
    """The models in a desired state, and a line for each entry that is none; those are left out alone.

    Raises
    ------
    InvalidInput: there is no list of models.
    """
    entries = document.get("models")
    if not isinstance(entries, list):
        raise InvalidInput("no list of models", where="desired state", fix="check the hub")
    found: dict[str, Wanted] = {}
    wrong = []
    for at, entry in enumerate(entries):
        given = entry if isinstance(entry, dict) else {}
        name, version, manifest = (str(given.get(key, "")) for key in ("name", "version", "manifest"))
        digest = _DIGEST.fullmatch(manifest)
        if not _NAME.fullmatch(name) or not version or not digest or name in found:
            wrong.append(f"desired state models[{at}]: no name, version and digest of its own; left out")
        else:
            found[name] = Wanted(name, version, digest[1])
    return list(found.values()), wrong
