"""What a layout may say, what its settings mean to Prefect, and that Kubernetes runs with the same ones."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings.models.root import Settings

from blocks.errors import InvalidInput, NotConfigured
from deployments.server.layout import EXAMPLE, Layout, read_layout
from deployments.server.parts import client_env, parts, server_env

SECRETS = {
    "CONTINUUM_PREFECT_DATABASE": "postgresql://prefect:pa%40ss@db.internal/prefect",
    "CONTINUUM_REDIS": "redis://:other@redis.internal:6379/0",
    "PREFECT_API_AUTH_STRING": "continuum:0123456789abcdef",
}
VALUES = Path(EXAMPLE).parents[1] / "kubernetes" / "values-server.yaml"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Layout:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return read_layout(EXAMPLE)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    file = tmp_path / "server.toml"
    text = EXAMPLE.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def test_prefect_understands_what_is_to_be_forgotten_when(example: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in example.retention_settings().items():
        monkeypatch.setenv(name, value)
    server = Settings().server
    assert server.services.db_vacuum.retention_period == timedelta(days=30)
    assert server.events.retention_period == timedelta(days=7)
    assert server.services.db_vacuum.event_retention_overrides["prefect.task-run.Completed"] == timedelta(days=1)
    assert {"events", "flow_runs"} <= set(server.services.db_vacuum.enabled or ())


def test_kubernetes_runs_with_the_same_settings(example: Layout, tmp_path: Path) -> None:
    values: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    told = {each["name"]: each.get("value") for each in values["server"]["env"]}
    ours = server_env(example, tmp_path)
    chart_sets = {"PREFECT_HOME", "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_AUTH_STRING",
                  "PREFECT_SERVER_UI_API_URL", "PREFECT_API_AUTH_STRING"}  # fmt: skip
    of_clients = {"PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS", "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY"}
    wanted = {name for name in ours if name.startswith("PREFECT_")} - chart_sets - of_clients
    assert wanted <= set(told)
    assert {name: ours[name] for name in wanted if told[name] and "{" not in told[name]} == {
        name: told[name] for name in wanted if told[name] and "{" not in told[name]
    }
    assert values["backgroundServices"]["env"] == values["server"]["env"]
    assert values["server"]["basicAuth"]["enabled"]
    assert values["server"]["replicaCount"] == 2


def test_runs_do_not_get_the_databases_password(example: Layout, tmp_path: Path) -> None:
    told = client_env(example, tmp_path)
    assert not {SECRETS["CONTINUUM_PREFECT_DATABASE"], SECRETS["CONTINUUM_REDIS"]} & set(told.values())
    assert told["PREFECT_API_AUTH_STRING"] == SECRETS["PREFECT_API_AUTH_STRING"]
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in told


def test_no_secret_is_in_what_is_shown(example: Layout, tmp_path: Path) -> None:
    shown = repr(example) + repr(parts(example, tmp_path, [1, 2])) + (tmp_path / "nginx.conf").read_text()
    assert not any(secret in shown for secret in SECRETS.values())


@pytest.mark.parametrize(("old", "new", "said"), [
    ("http://127.0.0.1:4200", "http://0.0.0.0:4200", "certificate: beyond the loopback"),
    ("http://127.0.0.1:4200", "https://127.0.0.1:4200", "url: give http://"),
    ('"${PREFECT_API_AUTH_STRING}"', '"me:short"', "auth: give USER:PASSWORD"),
    ('"${CONTINUUM_PREFECT_DATABASE}"', '"sqlite:///prefect.db"', "database: give postgresql"),
    ("servers = 2", "server = 2", "server: Extra inputs"),
    ("events_days = 7", "events_days = 0", "retention.events_days: Input should be greater"),
    ("workers = 2", "workers = ", "no TOML"),
])  # fmt: skip
def test_what_is_not_right_or_not_safe_is_refused(
    old: str, new: str, said: str, example: Layout, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=said.replace("(", r"\(")) as refused:
        read_layout(changed(tmp_path, old, new))
    assert str(tmp_path) in str(refused.value)
    assert "short" not in str(refused.value)


def test_a_secret_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotConfigured, match="CONTINUUM_PREFECT_DATABASE"):
        read_layout(EXAMPLE)
