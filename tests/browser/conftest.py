"""`continuum up`, and a real browser that looks at it; skipped where no Chromium is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.printed import first_document

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_MS = 90_000  # a run of a deployment needs a worker's new process, on a busy machine
# What Prefect's drawing of a run throws, for one property or another, where the run ends or is suspended meanwhile.
DRAWN_NO_MORE = ("Cannot read properties of null", "Cannot set properties of null")
BUSY = 503  # its SQLite is being written to; its own client asks again, its UI throws an error with a bare class name
ICONS = "/ico/"  # Prefect 3.8.8 asks for icons of a run's state that it does not bring along


@dataclass(frozen=True)
class Laptop:
    """A running `continuum up`."""

    told: dict[str, str]

    @property
    def ui(self) -> str:
        return self.told["ui_url"]

    def deployment(self, name: str) -> str:
        """Id of `flow/deployment`."""
        answer = requests.get(f"{self.told['prefect_api_url']}/deployments/name/{name}", timeout=10)
        return str(answer.json()["id"])

    def says(self, *words: str) -> Any:
        """What a command of ours prints as JSON."""
        env = os.environ | {"PREFECT_API_URL": self.told["prefect_api_url"], "CONTINUUM_HOME": self.told["home"]}
        command = [sys.executable, "-m", "deployments.command", *words]
        return json.loads(subprocess.run(command, env=env, capture_output=True, check=True, timeout=90).stdout)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    home = tmp_path_factory.mktemp("browser")
    command = [sys.executable, "-m", "deployments.command", "up", "--speed", "6", "--json"]
    with (home / "stderr").open("w") as stderr:
        process = subprocess.Popen(command, env=os.environ | {"CONTINUUM_HOME": str(home)}, stdout=subprocess.PIPE,
                                   stderr=stderr, text=True)  # fmt: skip
        assert process.stdout is not None
        yield Laptop(first_document(process.stdout))
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="module")  # while it is open, no event loop can be run in this process
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, 900)], ids=lambda size: f"{size[0]}px")
def page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that fails its test if a script fails, or something that it asks for is not there."""
    width, height = request.param
    opened = chromium.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []

    def note(error: str) -> None:
        prefects_own = error.isidentifier() or any(each in error for each in DRAWN_NO_MORE)
        if opened.url.startswith("file:") or not prefects_own:
            wrong.append(error)

    def answered(answer: Any) -> None:
        if answer.status >= 400 and answer.status != BUSY and ICONS not in answer.url:
            wrong.append(f"{answer.status} {answer.url}")

    def said(line: Any) -> None:
        if line.type == "error" and "404" not in line.text and str(BUSY) not in line.text:
            note(line.text)

    opened.on("pageerror", lambda error: note(str(error)))
    opened.on("response", answered)
    opened.on("console", said)
    yield opened
    opened.close()
    assert wrong == []


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Any:
    """Saves what a page shows as `NAME.png` in the folder CONTINUUM_SCREENSHOTS, where that is set."""
    folder = os.environ.get("CONTINUUM_SCREENSHOTS")

    def save(page: Any, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(folder) / f"{name}.png"))

    return save
