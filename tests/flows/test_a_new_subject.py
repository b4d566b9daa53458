"""The subject that CONTRIBUTING.md adds: its page is executed, so that it stays true."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

import deployments.command
import flows
import tasks
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets, save_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from deployments.command import journal

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", re.M | re.S)
PAGE = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()))
FLOW_LINES = 60


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's files, importable beside ours."""
    for name, text in PAGE.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "tasks" / "labels" / "__init__.py").touch()
    for package, folder in ((tasks, "tasks"), (flows, "flows"), (deployments.command, "deployments/command")):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / folder)])
    yield
    for name in [name for name in sys.modules if re.search(r"\.(node_)?labels(\.|$)", name)]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def site(fleet: Fleet) -> Fleet:
    """One edge site alone: no autoscaler brings or takes nodes there."""
    alone = fleet.model_copy(update={"clusters": [each for each in fleet.clusters if each.name == "edge-munich"]})
    save_fleet(alone, "default")
    return alone


def labels(site: Fleet) -> set[str]:
    nodes = KubernetesApi.connect(resolve_secrets(site.clusters[0])).nodes()
    return {node["metadata"]["labels"].get("continuum.io/site", "") for node in nodes}


def test_shadow_decides_and_writes_nothing(site: Fleet, subject: None) -> None:
    flow = importlib.import_module("flows.node_labels")
    told = flow.node_labels()
    assert {row["action"] for row in told["decisions"]} == {"label"}
    assert labels(site) == {""}
    assert Journal(Store.open()).intents() == []


def test_act_labels_once_and_undo_takes_it_back(site: Fleet, subject: None) -> None:
    flow = importlib.import_module("flows.node_labels")
    told = flow.node_labels(flow.ActingRequest(mode="act"))
    assert {row["result"]["state"] for row in told["decisions"]} == {"done"}
    assert labels(site) == {"edge-munich"}
    again = flow.node_labels(flow.ActingRequest(mode="act"))
    assert {row["action"] for row in again["decisions"]} == {"hold"}
    store = Store.open()
    for row in told["decisions"]:
        journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)
    assert labels(site) == {""}


def test_the_command_tells_what_the_flow_would_do(site: Fleet, subject: None) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    importlib.import_module("deployments.command.labels").register(app)
    answer = CliRunner().invoke(app, ["labels", "--json"])
    assert answer.exit_code == 0, answer.output
    assert {entry["action"] for entry in json.loads(answer.stdout)} == {"label"}


def test_its_decisions_are_explained_in_the_journal(site: Fleet, subject: None) -> None:
    told = importlib.import_module("flows.node_labels").node_labels()
    explain = journal.explainers()["node-labels"]
    assert [explain(row) for row in told["decisions"]] == [row["words"] for row in told["decisions"]]


def test_its_deployment_names_its_flow(subject: None) -> None:
    head, _, _ = (ROOT / "prefect.yaml").read_text().partition("deployments:\n")
    (entry,) = yaml.safe_load(f"{head}deployments:\n{PAGE['prefect.yaml']}")["deployments"]
    module, name = entry["entrypoint"].rsplit(".", 1)
    assert getattr(importlib.import_module(module), name).name == entry["name"]


def test_a_flow_is_a_page(subject: None) -> None:
    assert len(PAGE["flows/node_labels.py"].splitlines()) <= FLOW_LINES
