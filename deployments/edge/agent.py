"""The agent: a server, and three threads that speak to the hub, each on a connection of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import random
import signal
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.errors import Conflict, ContinuumError, NotFound, Refused
from deployments.edge.config import Config, ServeSettings, read_secret
from deployments.edge.http import HttpServer, Limits
from deployments.edge.hub import Hub, object_of, seconds_until
from deployments.edge.keeper import Keeper, read_wanted
from deployments.edge.library import Library
from deployments.edge.meters import Meters, resident_bytes
from deployments.edge.oip import Service, failure
from deployments.edge.outbox import Outbox
from deployments.edge.own_rows import OwnRows
from deployments.edge.rounds import MOST_BASE_BYTES, Round, read_round, read_rows, take_part
from deployments.edge.sampling import Sampled
from deployments.edge.serving import Models

log = logging.getLogger("continuum.edge")

LONGEST_WAIT_S = 60.0
TELL_S = 60.0  # between two lines of totals, and of states that have not changed


class Agent:
    """One edge. clock: seconds that never go back. now_s: seconds since 1970, as this machine has it."""

    def __init__(
        self, config: Config, clock: Callable[[], float] = time.monotonic, now_s: Callable[[], float] = time.time
    ) -> None:
        self.config, self._clock, self._now_s = config, clock, now_s
        config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _only_one(config.state)
        self.meters, self.models, self.sampled = Meters(), Models(), Sampled(config.serve.sample_ratio)
        self.own_rows = OwnRows(config.training)
        self.outbox = Outbox(config.state / "outbox.sqlite")
        self.library = Library(config.state, config.trusted(), config.models.cache_bytes)
        self.keeper = Keeper(self.library, self.models, config.models, self.meters, clock)
        self.stop, self._asked = threading.Event(), threading.Condition()
        self._round: tuple[Round, float] | None = None
        self._etag, self._totals_s, self._states_s, self._known = "", float("-inf"), float("-inf"), ""
        self._wanted: list[Any] = []
        if self.outbox.spoilt:
            self.outbox.put("alert", {"what": self.outbox.spoilt})
        self.meters.watch("continuum_edge_resident_bytes", lambda: {"": resident_bytes()})
        self.meters.watch("continuum_edge_outbox_items", lambda: {"": float(self.outbox.waiting())})
        self.meters.watch("continuum_edge_model", self._in_service)

    def hub(self) -> Hub:
        """A connection for one thread."""
        return Hub(self.config.hub, self.config.edge)

    def converge(self, hub: Hub) -> None:
        """Ask the hub what to run, come nearer to it, and tell where we stand. Without an answer all stays as it is."""
        answer = hub.desired(self._etag)
        if answer.status == 200:
            document = object_of(answer.body, hub.where)
            wanted, wrong = read_wanted(document)
            for line in wrong:
                log.warning("%s", line)
            self._wanted = wanted
            self._ask(document.get("round"), answer)
            self._etag = answer.headers.get("etag", "")
        try:
            self.keeper.converge(hub, self._wanted)
        finally:
            self.own_rows.look(self.models)
            self._tell(hub)

    def tell_totals(self) -> None:
        """Keep a line of totals for the hub, once a minute."""
        if self._clock() - self._totals_s >= TELL_S:
            self._totals_s = self._clock()
            self.outbox.put("metrics", {"totals": self.meters.totals(), "resident_bytes": resident_bytes()})

    def tell_predictions(self) -> None:
        """Keep the sampled confidences for the hub, in one commit."""
        if taken := self.sampled.take():
            self.outbox.put("prediction", *taken)

    def send(self, hub: Hub) -> bool:
        """Send the oldest items of the outbox; returns whether more wait.

        Raises
        ------
        Conflict: another life of this edge holds its name at the hub; nothing is lost here.
        """
        items = self.outbox.batch()
        if not items:
            return False
        before = self.outbox.acked
        acked = hub.send_items(self.outbox.epoch, items)
        self.outbox.acknowledge(acked)
        if acked == before:  # less is a hub restored from a backup, which gets again what it lost
            raise Refused(f"the hub does not get beyond item {acked}", where=hub.where, fix="look at its log")
        return self.outbox.waiting() > 0

    def train(self, hub: Hub) -> None:
        """Take part in the round that is open, once, and send what waits to be sent."""
        with self._asked:
            asked = self._round
        if asked is not None and not self.outbox.took_part(asked[0].id) and self.config.training.rows:
            self._train_in(hub, *asked)
        for round_id, body in self.outbox.updates():
            current = asked is not None and asked[0].id == round_id
            if asked is not None and (not current or self._clock() > asked[1]):
                self.outbox.close_update(round_id, "too late")
                continue
            try:
                taken, why = hub.send_update(round_id, body)
            except (NotFound, Refused) as error:
                taken, why = False, str(error)
            self.outbox.close_update(round_id, "" if taken else why)
            self.meters.count("continuum_edge_updates_total", f'accepted="{str(taken).lower()}"')

    def _train_in(self, hub: Hub, asked: Round, until_s: float) -> None:
        if self._clock() > until_s:
            return
        blob = hub.document(asked.base, MOST_BASE_BYTES)
        begin = time.thread_time()
        try:
            body = take_part(self.config.edge, asked, blob, read_rows(Path(self.config.training.rows)))
        except ContinuumError as error:  # another try would end as this one did
            self.outbox.close_update(asked.id, str(error))
            log.warning("%s", error)
            return
        self.outbox.keep_update(asked.id, body)
        self.meters.count("continuum_edge_training_cpu_seconds_total", by=time.thread_time() - begin)

    def _ask(self, document: Any, answer: Any) -> None:
        asked = None
        if document is not None:
            try:
                asked = read_round(document)
                until_s = self._clock() + seconds_until(asked.deadline, answer, self._now_s())
            except ContinuumError as error:
                log.warning("%s", error)
                asked = None
        with self._asked:
            self._round = (asked, until_s) if asked is not None else None
            self._asked.notify_all()

    def _tell(self, hub: Hub) -> None:
        states = self.keeper.states(self.own_rows.words)
        text = json.dumps(states)
        if text != self._known or self._clock() - self._states_s >= TELL_S:
            hub.send_status({"models": states, "ts": datetime.fromtimestamp(self._now_s(), UTC).isoformat()})
            self._known, self._states_s = text, self._clock()

    def _in_service(self) -> dict[str, float]:
        return {f'model="{each.name}",version="{each.version}",digest="{each.digest}"': 1.0 for each in self.models}

    def close(self) -> None:
        """Let go of the files; another agent may then run on them."""
        self.outbox.close()
        self._lock.close()

    def loops(self) -> list[threading.Thread]:
        """The threads of a running agent, not yet started; `serve` starts and ends them."""
        if not self.config.hub.url:
            return [threading.Thread(target=self.keeper.restore, name="restore", daemon=True)]
        names = {"models": self._keep_models, "outbox": self._keep_sending, "rounds": self._keep_training}
        return [threading.Thread(target=loop, name=name, daemon=True) for name, loop in names.items()]

    def _keep_models(self) -> None:
        self.keeper.restore()

        def once(hub: Hub) -> None:
            self.tell_totals()
            self.tell_predictions()
            self.converge(hub)

        self._again_and_again(once, self.stop.wait)

    def _keep_sending(self) -> None:
        def once(hub: Hub) -> None:
            while self.send(hub) and not self.stop.is_set():
                pass

        self._again_and_again(once, self.stop.wait)

    def _keep_training(self) -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # requests come first

        def wait(seconds: float) -> None:
            with self._asked:
                self._asked.wait(seconds)

        self._again_and_again(self.train, wait)

    def _again_and_again(self, once: Callable[[Hub], None], wait: Callable[[float], Any]) -> None:
        """Until the agent stops; after failures the pauses double up to a minute, with jitter, so that edges
        do not ask in step. Nothing else ends a loop.
        """
        failures, hub = 0, self.hub()
        while not self.stop.is_set():
            try:
                once(hub)
                failures = 0
            except Conflict as error:
                failures = 10
                log.error("%s", error)
            except ContinuumError as error:
                failures += 1
                log.warning("%s", error)
            except Exception:
                failures += 1
                log.exception("thread %s", threading.current_thread().name)
            pause = min(LONGEST_WAIT_S, self.config.hub.poll_s * 2.0 ** min(failures, 10))
            wait(pause * random.uniform(0.75, 1.0))
        hub.close()


async def serve(agent: Agent, started: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; `started` gets the URL."""
    settings = agent.config.serve
    token = read_secret(settings.token_file) if settings.token_file else ""
    service = Service(agent.models, agent.keeper, agent.meters, token, lambda: agent.keeper.restored,
                      seen=agent.sampled)  # fmt: skip
    limits = Limits(
        body_bytes=settings.max_body_bytes, buffered_bytes=4 * settings.max_body_bytes, threads=settings.threads
    )
    server = HttpServer(service, failure, limits)
    host, port = await server.start(settings.host, settings.port, server_tls(settings))
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    threads = agent.loops()
    for thread in threads:
        thread.start()
    started(f"http{'s' if settings.certificate else ''}://{f'[{host}]' if ':' in host else host}:{port}")
    await ended.wait()
    agent.stop.set()
    with agent._asked:
        agent._asked.notify_all()
    await server.stop()
    for thread in threads:
        thread.join(2.0)


def server_tls(settings: ServeSettings) -> ssl.SSLContext | None:
    """How requests are taken by TLS, or nothing where no certificate is set."""
    if not settings.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key or None)
    return context


def _only_one(state: Path) -> Any:
    """A lock that the system gives back however the process ends."""
    file = (state / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Refused("another agent runs on it", where=f"state {state}", fix="give each agent a folder") from None
    return file
