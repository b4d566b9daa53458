"""Continuum itself as Prometheus metrics: read from the store when they are asked for, served over HTTP.

`deployments/prometheus_rules.yaml` has the alerts that stand on them, the dead man's switch among these.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from blocks import settings
from blocks.errors import ContinuumError, NotConfigured
from blocks.http import LOOPBACK
from blocks.store import Journal, Store
from blocks.store.tables import UNFINISHED, State, now
from deployments.deploy import intervals_s
from deployments.http_service import configured, on_a_thread

MOST_CONNECTIONS = 16


class StoreMetrics(Collector):
    """What the store tells of our passes, decisions, approvals and changes."""

    def __init__(self, store: Store) -> None:
        self._store, self._journal = store, Journal(store)

    def collect(self) -> Iterator[Metric]:
        """Every family, read anew.

        Raises
        ------
        StoreUnavailable: the store does not answer.
        """
        passes = self._store.last_passes()
        ended = _gauge("pass_ended_timestamp_seconds", "when the newest pass of a flow ended", "flow", "fleet")
        took = _gauge("pass_duration_seconds", "how long it took", "flow", "fleet")
        for each in passes:
            ended.add_metric((each.flow, each.fleet), each.ended_at.timestamp())
            took.add_metric((each.flow, each.fleet), (each.ended_at - each.began_at).total_seconds())
        due = _gauge("pass_interval_seconds", "longest time between two passes by the schedule of prefect.yaml", "flow")
        for flow, seconds in intervals_s().items():
            due.add_metric((flow,), seconds)
        yield from (ended, took, due)

        made = _gauge("decisions", "decisions of the newest pass of a flow", "flow", "fleet", "mode", "state")
        for *labels, count in self._store.counts([each.flow_run_id for each in passes]):
            made.add_metric([str(each) for each in labels], count)
        waits = _gauge("open_approvals", "runs whose proposals wait for a person", "flow", "fleet")
        open_now: dict[tuple[str, str], int] = {}
        for flow, fleet, _ in self._store.open_proposals(now()):
            open_now[flow, fleet] = open_now.get((flow, fleet), 0) + 1
        for key, count in open_now.items():
            waits.add_metric(key, count)
        yield from (made, waits)

        changes = _gauge("open_changes", "changes that are not finished", "state")
        for state in UNFINISHED:
            changes.add_metric((state,), len(self._journal.intents(state=State(state))))
        left = _gauge("left_over_changes", "changes that runs which ended have left; the next run finishes them")
        left.add_metric((), len(self._journal.expired()))
        frozen = _gauge("freezes", "scopes in which acting is frozen")
        frozen.add_metric((), len(self._journal.freezes()))
        size = _gauge("store_bytes", "size of the store on its disk")
        size.add_metric((), self._store.size_bytes())
        yield from (changes, left, frozen, size)

        health = _gauge("health_ratio", "health by the newest pass of fleet-monitoring, 0-1", "fleet", "part")
        for fleet in sorted({each.fleet for each in passes}):
            for card in self._store.scorecards(flow="fleet-monitoring", subject=fleet, method="health", limit=1):
                for part, value in card.scores.items():
                    health.add_metric((fleet, part), value)
        yield health


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"continuum_{name}", words, labels=labels)


def _metrics_app(store: Store, token: str | None) -> Starlette:
    """`GET /metrics`, to whoever shows the token; to everybody where there is none."""
    registry = CollectorRegistry()
    registry.register(StoreMetrics(store))

    async def metrics(request: Request) -> Response:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token is not None and not hmac.compare_digest(shown.encode(), token.encode()):
            return PlainTextResponse("show the token of CONTINUUM_METRICS_TOKEN as a bearer token\n", 401)
        request.state.is_known = token is not None
        try:
            text = await run_in_threadpool(generate_latest, registry)
        except ContinuumError as error:
            return PlainTextResponse(f"{error}\n", 503)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", metrics)])


def metrics_server(store: Store, *, host: str, token: str | None) -> uvicorn.Config:
    """Settings of a server of the metrics.

    Raises
    ------
    NotConfigured: beyond the loopback without a token.
    """
    if host not in LOOPBACK and token is None:
        raise NotConfigured("everybody could read them", where=f"--host {host}",
                            fix="export CONTINUUM_METRICS_TOKEN=..., and give it to Prometheus")  # fmt: skip
    return configured(_metrics_app(store, token), most_connections=MOST_CONNECTIONS)


@contextmanager
def running_metrics(store: Store) -> Iterator[str]:
    """URL of the metrics on the loopback while the block runs, on a thread of this process; a port of its own."""
    with on_a_thread(metrics_server(store, host="127.0.0.1", token=settings.metrics_token())) as url:
        yield f"{url}/metrics"
