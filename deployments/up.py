"""The whole thing on a laptop: simulated fleet, Prefect server, worker and schedules, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from blocks.errors import Unreachable
from blocks.fleet_file import load_fleet
from blocks.store import Store
from deployments.children import Child
from deployments.deploy import PREFECT, WORK_POOL, deploy
from deployments.first_training import has_models
from deployments.metrics import running_metrics
from deployments.own_home import own_home
from deployments.prefect_server import prefect_server
from deployments.simulation import ready, starting_simulation

FIRST_RUN_IN = timedelta(seconds=10)  # Prefect's scheduler looks every five seconds, and never into the past
SCALING_AFTER_FORECAST_S = 120.0  # of the fleet's time; but no sooner than a forecast takes
LEAST_PAUSE_S = 20.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """Where everything is, for a person or a script."""

    ui_url: str
    api_url: str
    simulated_fleet_url: str
    fleet_file: str
    home: str
    metrics_url: str
    children: tuple[Child, ...]

    def until_one_ends(self) -> None:
        """Return never, unless a part ends by itself.

        Raises
        ------
        Unreachable: one did; its last words are told.
        """
        while True:
            for child in self.children:
                if not child.running():
                    raise Unreachable(
                        f"ended by itself: {child.last_words()}", where=child.name, fix=f"read {child.log}"
                    )
            time.sleep(0.5)


@contextmanager
def up(*, port: int, speed: float, seed: int, progress: Progress) -> Iterator[Running]:
    """Run everything in `CONTINUUM_HOME/up` while the block runs; nothing of it is left afterwards.

    Raises
    ------
    ContinuumError: a part did not start, with its last words.
    """
    with own_home("up") as home, contextlib.ExitStack() as stack:
        progress("starting the simulated fleet and a Prefect server")
        simulated = stack.enter_context(starting_simulation(home / "local", speed=speed, seed=seed, start=None))
        server = stack.enter_context(prefect_server(home / "prefect", port=port))
        server.become_client()
        simulation = ready(simulated)
        from blocks.inventory import save_fleet

        save_fleet(load_fleet(simulation.fleet_file), "default")
        env = server.env | {"CONTINUUM_HOME": str(home)}
        if has_models():
            progress("deploying the flows")
            deploy()
        else:
            progress("deploying the flows, and training the forecast engine on 30 days of demand")
            command = [sys.executable, "-m", "deployments.first_training"]
            with Child("first training", command, env=env, log=home / "training.log") as training:
                deploy()
                if training.wait():
                    progress(f"the first training failed ({training.last_words(1)}; read {training.log}): until the "
                             "nightly one each forecast fits a model of its own")  # fmt: skip
        worker = stack.enter_context(
            Child("worker", [*PREFECT, "worker", "start", "--pool", WORK_POOL, "--type", "process"],
                  env=env | {"PREFECT_LOGGING_LEVEL": "INFO"}, log=home / "worker.log")
        )  # fmt: skip
        pause = timedelta(seconds=max(LEAST_PAUSE_S, SCALING_AFTER_FORECAST_S / speed))
        asyncio.run(_anchor_schedules(datetime.now(UTC) + FIRST_RUN_IN, pause))
        metrics_url = stack.enter_context(running_metrics(Store.open()))
        yield Running(server.url, f"{server.url}/api", simulation.url, str(simulation.fleet_file), str(home),
                      metrics_url, (simulated, server.child, worker))  # fmt: skip


async def _anchor_schedules(first: datetime, pause: timedelta) -> None:
    """Let the first forecast be due at `first`, and each scaling pass `pause` after a forecast.

    Their next runs are asked for here: Prefect's own look for changed schedules comes too late on a busy machine.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.schedules import IntervalSchedule

    anchors = {"demand-forecasting": first, "cluster-scaling": first + pause}
    async with get_client() as client:
        for name, anchor in anchors.items():
            deployment = await client.read_deployment_by_name(f"{name}/{name}")
            for entry in deployment.schedules:
                if isinstance(entry.schedule, IntervalSchedule):
                    moved = IntervalSchedule(interval=entry.schedule.interval, anchor_date=anchor)
                    await client.update_deployment_schedule(deployment.id, entry.id, schedule=moved)
            await client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment.id}, json={})
