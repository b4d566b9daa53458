"""Run a layout: start its parts in order, start anew what ends, restart servers one by one."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from blocks.errors import Unreachable
from blocks.http import retry_policy, session
from deployments.children import Child
from deployments.own_home import locked_home
from deployments.prefect_server import free_port, refuse_used
from deployments.server.layout import Layout
from deployments.server.parts import Part, migration, parts, rest

READY_S = 180.0
MIGRATION_S = 1800.0
LOOK_S = 0.5
STEADY_S = 60.0  # a part that has run so long has not failed to start
LONGEST_PAUSE_S = 60.0
DRAIN_S = 5.0  # for what has just begun at a server that is to be restarted

Progress = Callable[[str], None]


def pause_s(failures: int) -> float:
    """Seconds before a part that ended is started again, after so many quick ends in a row.

    >>> [pause_s(failures) for failures in (0, 1, 2, 5, 99)]
    [0.0, 1.0, 2.0, 16.0, 60.0]
    """
    return min(2.0 ** (failures - 1), LONGEST_PAUSE_S) if failures else 0.0


@dataclass
class Kept:
    """A part that is kept running. `failures`: quick ends in a row; `due`: when it is started again, monotonic."""

    part: Part
    log: Path
    child: Child
    since: float
    failures: int = 0
    due: float | None = None


@dataclass
class Serving:
    """A running layout."""

    layout: Layout
    home: Path
    progress: Progress
    kept: list[Kept] = field(default_factory=list)
    roll: threading.Event = field(default_factory=threading.Event)

    def start(self, part: Part) -> None:
        """Start a part; it is kept running from now on."""
        log = self.home / f"{part.name}.log"
        self.kept.append(Kept(part, log, _child(part, log), time.monotonic()))

    def look(self, now_s: float) -> None:
        """Start anew what has ended, at once the first time, later where it ends again and again."""
        for each in self.kept:
            if each.child.running():
                continue
            if each.due is None:
                each.failures = each.failures + 1 if now_s - each.since < STEADY_S else 0
                each.due = now_s + pause_s(each.failures)
                last = each.child.last_words(1)
                each.child.stop()
                self.progress(f"{each.part.name} ended ({last}); it is started again")
            elif now_s >= each.due:
                each.child, each.since, each.due = _child(each.part, each.log), now_s, None

    def until_stopped(self) -> None:
        """Keep every part running; restart the servers one by one whenever `roll` is set."""
        while True:
            if self.roll.is_set():
                self.roll.clear()
                self.restart_servers()
            self.look(time.monotonic())
            time.sleep(LOOK_S)

    def restart_servers(self) -> None:
        """Restart servers and services one after the other, each only when the one before answers again.

        Where one does not come back the others go on as they are.
        """
        try:
            for each in self.kept:
                if each.part.rolls:
                    self._restart(each)
        except Unreachable as error:
            return self.progress(f"the restart ends here: {error}")
        return self.progress("every server has been restarted")

    def _restart(self, each: Kept) -> None:
        """Restart one part; a server gets no new requests before, and its share again after, whether it came back."""
        self.progress(f"restarting {each.part.name}")
        ports = [each.part.port for each in self.kept if each.part.port]
        drained = bool(each.part.port) and len(ports) > 1
        if drained:
            rest(self.layout, self.home, ports, each.part.port)
            time.sleep(DRAIN_S)
        each.child.stop()
        each.child, each.since, each.due = _child(each.part, each.log), time.monotonic(), None
        try:
            wait_until_ready(each.part, each.child)
        finally:
            if drained:
                rest(self.layout, self.home, ports, None)

    def stop(self) -> None:
        """Stop every part, the last one first: no worker takes up a run while its server stops."""
        for each in reversed(self.kept):
            each.child.stop()


@contextmanager
def serving(layout: Layout, *, progress: Progress) -> Iterator[Serving]:
    """Run the layout while the block runs; nothing of it is left afterwards. State is in `CONTINUUM_HOME/server`.

    Raises
    ------
    Refused: it runs already, or its port is in use. Unreachable: a part did not start, with its last words.
    """
    with locked_home("server") as home:
        refuse_used(layout.port, where="continuum serve", fix="stop what listens there, or give another port in `url`")
        progress("bringing Prefect's database to this release")
        _migrate(migration(layout, home), home / "migration.log")
        running = Serving(layout, home, progress)
        try:
            for part in parts(layout, home, [free_port() for _ in range(layout.servers)]):
                progress(f"starting {part.name}")
                running.start(part)
                # one by one: on a new database two servers would write the same rows at once, and one would end
                wait_until_ready(part, running.kept[-1].child)
            yield running
        finally:
            running.stop()


def wait_until_ready(part: Part, child: Child) -> None:
    """Return when a part answers; at once where it serves nothing.

    Raises
    ------
    Unreachable: it ended, or did not answer within READY_S.
    """
    deadline = time.monotonic() + READY_S
    with session(timeout_s=5.0, retry=retry_policy(0), ca_file=str(part.ca) if part.ca else None) as http:
        while part.ready:
            try:
                if http.get(part.ready).ok:
                    return
            except OSError:  # requests' errors are OSErrors: it does not listen yet
                pass
            fix = f"read {child.log}"
            if not child.running():
                raise Unreachable(f"ended at once: {child.last_words()}", where=part.name, fix=fix)
            if time.monotonic() > deadline:
                raise Unreachable(f"no answer within {READY_S:.0f} s", where=part.name, fix=fix)
            time.sleep(0.2)


def _migrate(part: Part, log: Path) -> None:
    with log.open("wb") as file:
        try:
            ended = subprocess.run(part.command, env=part.env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                   timeout=MIGRATION_S, check=False).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            ended = -1
    if ended:
        last = " ".join(log.read_text(errors="replace").split())[-300:]
        raise Unreachable(f"did not end well: {last}", where="Prefect's database",
                          fix=f"is PostgreSQL there, and `database` right? {log} tells all")  # fmt: skip


def _child(part: Part, log: Path) -> Child:
    return Child(part.name, part.command, env=part.env, log=log, append=True)
