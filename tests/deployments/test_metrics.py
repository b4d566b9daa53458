"""Continuum's own metrics over HTTP, the alerts that stand on them, and traces as a collector gets them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from blocks.errors import NotConfigured
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Mode, Pass, Scorecard, Verdict, now
from deployments.deploy import deployments_folder
from deployments.metrics import metrics_server, running_metrics
from tests.blocks.conftest import Server, server
from tests.flows.conftest import prefect

__all__ = ["prefect", "server"]  # fixtures
RULES = Path(__file__).parents[2] / "deployments" / "prometheus_rules.yaml"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of the metrics of this test's store, for who shows `token`."""
    monkeypatch.setenv("CONTINUUM_METRICS_TOKEN", "token")
    with running_metrics(Store.open()) as url:
        yield url


def scraped(url: str) -> str:
    answer = requests.get(url, headers={"Authorization": "Bearer token"}, timeout=20)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


def samples(text: str) -> dict[tuple[str, ...], float]:
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(each.name.removeprefix("continuum_"), *(value for _, value in sorted(each.labels.items()))): each.value
            for each in found}  # fmt: skip


def test_passes_decisions_approvals_changes_and_health_are_told(url: str) -> None:
    store, at = Store.open(), now()
    store.record_pass(Pass(flow_run_id="r", flow="cluster-scaling", fleet="default", mode=Mode.ACT,
                           began_at=at - timedelta(seconds=7), ended_at=at))  # fmt: skip
    store.record_decisions([
        Decision(flow_run_id="r", flow="cluster-scaling", fleet="default", subject=name, action="up", mode=Mode.PROPOSE,
                 state=state, as_of=at, expires_at=at + timedelta(hours=1))
        for name, state in (("a", Verdict.PROPOSED), ("b", Verdict.PROPOSED), ("c", Verdict.EXPIRED))
    ])  # fmt: skip
    gone = Journal(store, "elsewhere:1:1:gone", clock=lambda: at - timedelta(hours=1))
    gone.start(gone.plan(None, "eu/web", "set-desired", do={}, undo={}, planned_against={}, key="k"))
    Journal(store).freeze("eu")
    store.save_scorecards([Scorecard(flow="fleet-monitoring", subject="default", method="health", period_start=at,
                                     period_end=at, scores={"overall": 0.75})])  # fmt: skip
    found = samples(scraped(url))
    assert found["pass_ended_timestamp_seconds", "default", "cluster-scaling"] == pytest.approx(
        at.timestamp(), abs=1e-3
    )
    assert found["pass_duration_seconds", "default", "cluster-scaling"] == pytest.approx(7)
    assert found["pass_interval_seconds", "cluster-scaling"] == 300
    assert ("pass_interval_seconds", "workload-migration") not in found  # its schedule is off at first
    assert found["decisions", "default", "cluster-scaling", "propose", "proposed"] == 2
    assert found["open_approvals", "default", "cluster-scaling"] == 1
    assert (found["open_changes", "started"], found["open_changes", "planned"]) == (1, 0)
    assert (found[("left_over_changes",)], found[("freezes",)]) == (1, 1)
    assert found["health_ratio", "default", "overall"] == 0.75
    assert found[("store_bytes",)] > 100_000


def test_only_who_shows_the_token_may_read_and_beyond_the_loopback_there_must_be_one(url: str) -> None:
    assert requests.get(url, timeout=20).status_code == 401
    assert requests.get(url, headers={"Authorization": "Bearer other"}, timeout=20).status_code == 401
    with pytest.raises(NotConfigured, match="CONTINUUM_METRICS_TOKEN"):
        metrics_server(Store.open(), host="0.0.0.0", token=None)


def test_a_store_that_does_not_answer_is_an_error_and_not_an_empty_page(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(os.environ["CONTINUUM_HOME"])
    for file in home.glob("store.db*"):
        file.write_bytes(b"not a database, but long enough to be one" * 100)
    answer = requests.get(url, headers={"Authorization": "Bearer token"}, timeout=20)
    assert answer.status_code == 503


RULES_TEST = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'continuum_store_bytes', values: '1x100'}}
      - {{series: 'continuum_pass_interval_seconds{{flow="f"}}', values: '300x100'}}
      - {{series: 'continuum_pass_ended_timestamp_seconds{{flow="f",fleet="default"}}', values: '0x100'}}
    alert_rule_test:
      - {{eval_time: 20m, alertname: ContinuumNoPass}}
      - eval_time: 21m
        alertname: ContinuumNoPass
        exp_alerts:
          - exp_labels: {{severity: critical, flow: f, fleet: default}}
            exp_annotations:
              summary: "f of fleet default: no pass has finished for three intervals"
              todo: Is a worker of the work pool running? `continuum status` and `continuum logs FLOW` tell more.
  - interval: 1m
    input_series: [{{series: 'continuum_store_bytes', values: '1x5'}}]
    alert_rule_test:
      - {{eval_time: 12m, alertname: ContinuumSilent}}
      - eval_time: 25m
        alertname: ContinuumSilent
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: Continuum's metrics are not there
              todo: Does `continuum metrics` run, and does its store answer (`continuum doctor`)?
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine (Debian: prometheus)")
def test_prometheus_own_tool_takes_the_metrics_and_the_dead_mans_switch_fires(url: str, tmp_path: Path) -> None:
    def promtool(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(["promtool", *words], input=said, capture_output=True, text=True, check=False, timeout=60)

    assert promtool("check", "rules", str(RULES)).returncode == 0
    checked = promtool("check", "metrics", said=scraped(url))
    assert checked.stderr == "", checked
    (tmp_path / "test.yaml").write_text(RULES_TEST.format(rules=RULES))
    tested = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert tested.returncode == 0, tested


TRACED = """
import flows  # a collector is named: spans are sent from here on
from prefect import flow
from blocks.store import Journal, Store
from blocks.store.tables import Mode
from tasks.acting.carry_out import carry_out
from tasks.acting import Planned, Seen, SubjectActuator
from tasks.run import Run

class Lamp(SubjectActuator):
    kind, where, on = "switch-lamp", "a lamp", False
    def look(self): return Seen({"on": self.on})
    def put(self, journal, intent, seen, value): self.on = value["on"]
    def missing(self, intent, *, patience_s): return ""
    def said(self, intent): return "it shines"

@flow(name="lamps")
def lamps():
    store = Store.open()
    run = Run("r", "lamps", "default", None, store, Journal(store), Mode.ACT)
    carry_out(run, Lamp(), Planned({"value": {"on": True}}, {"value": {"on": False}}), subject="eu/lamp", key="k")

lamps()
"""


@pytest.mark.server
def test_a_pass_and_its_acts_arrive_at_a_collector_as_one_trace(prefect: None, server: Server) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from prefect.settings import PREFECT_API_URL

    env = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "true", "PREFECT_LOGGING_TO_API_ENABLED": "0",
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", TRACED], env=env, cwd=deployments_folder(), check=True, timeout=120)
    spans, services = {}, set()
    for asked in server.asked:
        assert asked.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(asked.body).resource_spans:
            services |= {each.value.string_value for each in resource.resource.attributes if each.key == "service.name"}
            spans |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert services == {"continuum"}
    act = spans.pop("act switch-lamp")
    told = {each.key: each.value.string_value for each in act.attributes}
    assert (told["continuum.subject"], told["continuum.state"]) == ("eu/lamp", "done")
    (run,) = spans.values()
    assert (act.trace_id, act.parent_span_id) == (run.trace_id, run.span_id)
