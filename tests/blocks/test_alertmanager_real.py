"""A real Alertmanager hears us: alerts are grouped by site, told again they stay one, and ended they are over."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from blocks.alertmanager import Alert, Alertmanager
from blocks.errors import InvalidInput
from blocks.fleet import HttpAccess
from deployments.prefect_server import free_port

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="no Alertmanager (Debian: apt-get install prometheus-alertmanager)")

CONFIG = "route: {receiver: none, group_by: [site], group_wait: 1s}\nreceivers: [{name: none}]\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG)
    found = f"http://127.0.0.1:{free_port()}"
    words = [f"--web.listen-address={found.removeprefix('http://')}", "--config.file=config.yml",
             "--storage.path=data", "--cluster.listen-address=", "--log.level=error"]  # fmt: skip
    process = subprocess.Popen([str(PROGRAM), *words], cwd=folder)
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(f"{found}/-/ready", timeout=2).raise_for_status()
            break
        except requests.RequestException:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield found
    process.terminate()
    process.wait(20)


def alert(subject: str, site: str, minutes: float) -> Alert:
    at = datetime.now(UTC)
    labels = {"alertname": "Continuum-cluster-silent", "site": site, "subject": subject, "severity": "critical"}
    return Alert(labels, {"summary": f"{subject} does not answer"}, at - timedelta(minutes=1),
                 at + timedelta(minutes=minutes))  # fmt: skip


def active(url: str) -> dict[str, list[str]]:
    """Subjects of the alerts that are open, by the site of their group."""
    groups: list[Any] = requests.get(f"{url}/api/v2/alerts/groups", timeout=5).json()
    return {each["labels"]["site"]: sorted(one["labels"]["subject"] for one in each["alerts"]) for each in groups}


def test_alerts_are_grouped_told_again_and_ended(url: str) -> None:
    them = Alertmanager.connect(HttpAccess(url=url))
    for _ in range(2):
        them.tell([alert("eu-a", "frankfurt", 10), alert("eu-b", "frankfurt", 10), alert("edge", "munich", 10)])
    assert active(url) == {"frankfurt": ["eu-a", "eu-b"], "munich": ["edge"]}
    them.tell([alert("eu-b", "frankfurt", 0)])
    assert active(url) == {"frankfurt": ["eu-a"], "munich": ["edge"]}


def test_what_it_refuses_is_told(url: str) -> None:
    with pytest.raises(InvalidInput, match="alertmanager"):
        Alertmanager.connect(HttpAccess(url=url)).tell([Alert({}, {}, datetime.now(UTC), datetime.now(UTC))])
