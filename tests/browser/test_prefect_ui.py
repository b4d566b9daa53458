"""The Prefect UI as a person uses it: find a flow, fill its form, see it run, approve what waits; and the report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from blocks.fleet_file import load_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Store
from tasks.scaling.pool_access import open_pool
from tests.browser.conftest import BUSY, PATIENCE_MS, Laptop
from tests.faults.move_scenes import REPLICAS, deploy, ready_pods, until

pytestmark = pytest.mark.server

Save = Callable[[Any, str], None]


def submit(page: Any, form: Any, asks: str) -> None:
    """Press a form's button; where the server was busy, press again."""
    for _ in range(3):
        with page.expect_response(lambda answer: answer.url.endswith(asks)) as answer:
            form.get_by_role("button", name="Submit").click()
        if answer.value.status != BUSY:
            break


def run_with_mode(page: Any, laptop: Laptop, mode: str) -> None:
    """Fill the form of cluster-scaling, submit it, and open the run."""
    page.goto(f"{laptop.ui}/deployments/deployment/{laptop.deployment('cluster-scaling/cluster-scaling')}/run")
    page.get_by_text("Approval Timeout S").wait_for()
    if mode != "shadow":
        page.locator("button.p-select-button__control").filter(has_text="shadow").focus()
        page.keyboard.press("ArrowDown")
        page.get_by_role("option", name=mode).click()
    submit(page, page, "/create_flow_run")
    page.locator("a[href*='/runs/flow-run/']").first.click()


def form_of(page: Any, laptop: Laptop, run: str) -> Any:
    """The form of a run that asks; it is suspended a moment before its form is there."""
    asked = f"{laptop.told['prefect_api_url']}/flow_runs/{run}"
    until(
        lambda: (
            len(requests.post(f"{asked}/input/filter", json={"prefix": "suspended", "limit": 2}, timeout=10).json()) > 1
        ),
        3 * PATIENCE_MS / 1000,  # a scheduled run may have the deployment's only slot
        lambda: f"the run is {requests.get(asked, timeout=10).json()['state']}",
    )
    page.goto(f"{laptop.ui}/runs/flow-run/{run}")
    page.get_by_role("button", name="Resume").click()
    return page.locator(".p-modal")


def approve(page: Any, laptop: Laptop, run: str, form: Any) -> None:
    """Say yes in the form of a run that waits, and see the run end."""
    form.get_by_role("switch").click()
    form.locator("textarea").first.fill("a browser")
    submit(page, form, f"/{run}/resume")
    ended(laptop, run)
    page.get_by_text("Completed", exact=True).first.wait_for()


def ended(laptop: Laptop, run: str) -> None:
    """Wait until a run has completed; it needs a worker's new process, on a busy machine."""
    states: list[str] = []

    def looked() -> bool:
        answer = requests.get(f"{laptop.told['prefect_api_url']}/flow_runs/{run}", timeout=10)
        states.append(answer.json()["state"]["name"])
        return states[-1] in ("Completed", "Failed", "Crashed", "Cancelled")

    until(looked, 3 * PATIENCE_MS / 1000, lambda: f"the run is {states[-1]}")
    assert states[-1] == "Completed"


def test_deployments_are_listed_and_found_by_name(page: Any, laptop: Laptop, screenshot: Save) -> None:
    page.goto(f"{laptop.ui}/deployments")
    page.get_by_text("cluster-scaling-on-event", exact=True).first.wait_for()
    page.get_by_placeholder("Search").first.fill("workload-placement")
    page.get_by_text("workload-placement-on-event", exact=True).first.wait_for()
    screenshot(page, "deployments")


def test_a_run_from_the_form_completes_and_shows_its_table(page: Any, laptop: Laptop, screenshot: Save) -> None:
    run_with_mode(page, laptop, "shadow")
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("cluster-scaling-table").click()
    page.get_by_text("eu-eks/web").first.wait_for()
    screenshot(page, "table")


def test_a_forecast_run_shows_its_plot(page: Any, laptop: Laptop, screenshot: Save) -> None:
    url = f"{laptop.told['prefect_api_url']}/deployments/{laptop.deployment('demand-forecasting/demand-forecasting')}"
    run = requests.post(f"{url}/create_flow_run", json={}, timeout=10).json()["id"]
    ended(laptop, run)
    page.goto(f"{laptop.ui}/runs/flow-run/{run}")
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("demand-forecasting-summary").click()
    picture = page.locator("img[src^='data:image/webp']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") == 1000
    screenshot(page, "plot")


def test_an_event_starts_the_run_that_waits_for_it(page: Any, laptop: Laptop, screenshot: Save) -> None:
    event = {"event": "continuum.forecast.breached", "payload": {"pools": ["eu-eks/web"]}, "id": str(uuid4()),
             "resource": {"prefect.resource.id": "continuum.fleet.default"},
             "occurred": datetime.now(UTC).isoformat()}  # fmt: skip
    api = laptop.told["prefect_api_url"]
    requests.post(f"{api}/events", json=[event], timeout=10).raise_for_status()
    deployment = laptop.deployment("cluster-scaling/cluster-scaling-on-event")
    found: list[dict[str, Any]] = []

    def started() -> bool:
        which = {"deployments": {"id": {"any_": [deployment]}}}
        found.extend(requests.post(f"{api}/flow_runs/filter", json=which, timeout=10).json())
        return bool(found)

    until(started, PATIENCE_MS / 1000)
    ended(laptop, found[0]["id"])
    page.goto(f"{laptop.ui}/runs/flow-run/{found[0]['id']}")
    page.get_by_text("cluster-scaling-on-event", exact=True).first.wait_for()
    page.get_by_text("Details", exact=True).click()
    page.get_by_text("forecast breached -> scaling", exact=False).first.wait_for()  # what has created it
    screenshot(page, "started-by-an-event")


def test_a_plan_that_waits_is_approved_in_its_form(page: Any, laptop: Laptop, screenshot: Save) -> None:
    fleet = load_fleet(laptop.told["fleet_file"])
    access = open_pool(fleet, "us-gke/web")  # a pool with idle nodes, so that there is something to propose
    access.pools.set_desired("web", access.pools.describe("web").max_nodes)
    run_with_mode(page, laptop, "propose")
    page.wait_for_url("**/runs/flow-run/*")
    run = page.url.rsplit("/", 1)[1].split("?")[0]
    form = form_of(page, laptop, run)
    form.get_by_text("would change", exact=False).wait_for()
    form.get_by_text("it is checked against the fleet once more first", exact=False).wait_for()
    screenshot(page, "approval")
    approve(page, laptop, run, form)
    done = {row["decision_id"] for row in laptop.says("journal", "list", "--json")["intents"]}
    decisions = Store.open(f"sqlite:///{laptop.told['home']}/store.db").proposals(run)
    assert {row.state for row in decisions if row.id in done} == {"acted"}, (run, decisions)
    assert laptop.says("status", "--json")["approvals"] == []


def test_a_plan_of_moves_is_a_table_in_the_form_and_is_carried_out(page: Any, laptop: Laptop, screenshot: Save) -> None:
    fleet = load_fleet(laptop.told["fleet_file"])
    clusters = {each.name: KubernetesApi.connect(each) for each in fleet.clusters}
    deploy(clusters["us-gke"], "far")
    movable = {"name": "far", "users": {"munich": 50}, "allowed": ["us-gke", "eu-eks"]}
    request = {"mode": "propose", "workloads": [movable], "soak_s": 0, "check_s": 0, "approval_timeout_s": 7200}
    deployment = laptop.deployment("workload-migration/workload-migration")
    url = f"{laptop.told['prefect_api_url']}/deployments/{deployment}/create_flow_run"
    run = requests.post(url, json={"parameters": {"request": request}}, timeout=10).json()["id"]
    form = form_of(page, laptop, run)
    form.get_by_role("cell", name="default/far").wait_for()
    screenshot(page, "moves")
    assert (ready_pods(clusters["us-gke"], "far"), ready_pods(clusters["eu-eks"], "far")) == (REPLICAS, 0)
    approve(page, laptop, run, form)
    assert (ready_pods(clusters["us-gke"], "far"), ready_pods(clusters["eu-eks"], "far")) == (0, REPLICAS)


def test_the_automations_are_listed(page: Any, laptop: Laptop) -> None:
    page.goto(f"{laptop.ui}/automations")
    for name in ("forecast breached -> scaling", "continuum: runs that died silently"):
        page.get_by_text(name, exact=False).first.wait_for()


@pytest.mark.parametrize("page", [(1280, 900), (390, 844)], indirect=True, ids=["1280px", "390px"])
def test_the_report_is_readable(page: Any, laptop: Laptop, tmp_path: Path, screenshot: Save) -> None:
    env = {"CONTINUUM_HOME": laptop.told["home"], "PATH": ""}
    out = tmp_path / "report.html"
    subprocess.run([sys.executable, "-m", "deployments.command", "report", "--out", str(out)], env=env, check=True,
                   capture_output=True, timeout=90)  # fmt: skip
    page.goto(out.as_uri())
    page.get_by_role("heading").first.wait_for()
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page scrolls sideways"
    screenshot(page, f"report-{page.viewport_size['width']}")
