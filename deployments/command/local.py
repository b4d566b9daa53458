"""`continuum local`: the simulated fleet on its own."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.command.output import Json, err, out, refusals

if TYPE_CHECKING:
    from deployments.local.process import Served
    from deployments.local.simulation import Simulation

app = typer.Typer(no_args_is_help=True, help="The simulated fleet on its own: clusters, clouds, metrics.")


def register(parent: typer.Typer) -> None:
    """Add `continuum local`."""
    parent.add_typer(app, name="local")


@app.callback()
def _group() -> None:
    """Keep `up` a command of its own though it is the only one."""


@app.command()
def up(
    *,
    clusters: Annotated[int, typer.Option(min=1, max=600, help="how many; beyond six they repeat the first")] = 6,
    seed: Annotated[int, typer.Option(help="of everything random")] = 7,
    speed: Annotated[float, typer.Option(min=0, max=100_000, help="simulated seconds per second; 0: stands still")] = 1,
    start: Annotated[datetime | None, typer.Option(help="simulated UTC time of a first start; default: now")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(metavar="FILE", help="default: in the state folder")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="HTTPS in the kubeconfig, as kubectl needs it")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of all plain HTTP APIs; 0: any free one")] = 0,
    state: Annotated[Path | None, typer.Option(metavar="DIR", help="keep the state there and go on from it; "
                                               "default: begin anew, keep nothing")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Run only the simulated fleet, in the foreground, until Ctrl-C."""
    from deployments.local.files import built_in_fleet, check_ours
    from deployments.local.process import Settings, serve

    def tell(served: Served, simulation: Simulation) -> None:
        if json:
            import json as encoder

            print(encoder.dumps(_document(served, simulation)), flush=True)
        else:
            _print(served, simulation)

    with refusals(), tempfile.TemporaryDirectory(prefix="continuum-local-", ignore_cleanup_errors=True) as passing:
        if kubeconfig:
            check_ours(kubeconfig)
        settings = Settings(
            state or Path(passing), built_in_fleet(clusters), keeps_state=state is not None, seed=seed, speed=speed,
            start_s=start.replace(tzinfo=UTC).timestamp() if start else None, port=port, tls=tls,
            kubeconfig=kubeconfig and kubeconfig.absolute(),
        )  # fmt: skip
        serve(settings, tell)
    err.print("stopped; nothing is left running", highlight=False)


def _document(served: Served, simulation: Simulation) -> dict[str, Any]:
    """Every URL and file of a running simulated fleet."""
    import os

    from deployments.local.files import MOUNTS

    origin = served.tls_url or served.url
    return {
        "simulated": True,
        "pid": os.getpid(),
        "url": served.url,
        "seed": simulation.seed,
        "speed": simulation.clock.speed,
        "kubeconfig": str(served.kubeconfig),
        "fleet_file": str(served.fleet_file),
        "prometheus_url": f"{served.url}/prometheus",
        "simulation_url": f"{served.url}/simulation",
        "faults_url": f"{served.url}/faults",
        "cloud_urls": {provider.value: f"{served.url}/{mount}" for provider, mount in MOUNTS.items()},
        "clusters": [
            {
                "name": cluster.name,
                "provider": cluster.provider.value,
                "site": cluster.site,
                "server": f"{origin}/clusters/{cluster.name}",
                "contexts": [f"{cluster.name}-{role}" for role in simulation.tokens[cluster.name]],
            }
            for cluster in simulation.fleet.clusters
        ],
    }


def _print(served: Served, simulation: Simulation) -> None:
    told = _document(served, simulation)
    first, token = simulation.fleet.clusters[0].name, simulation.tokens[simulation.fleet.clusters[0].name]["admin"]
    by_url = f"kubectl --server={served.url.replace('//', f'//kubectl:{token}@')}/clusters/{first} get nodes"
    lines = [
        f"a simulated fleet of {len(told['clusters'])} clusters, seed {told['seed']}, {told['speed']:g} s per second",
        *(f"  {each['name']:<14} {each['provider']:<4} {each['server']}" for each in told["clusters"]),
        *(f"  {name.upper() + ' API':<19} {url}" for name, url in told["cloud_urls"].items()),
        f"  Prometheus          {told['prometheus_url']}",
        f"  time, operations    {told['simulation_url']}",
        f"  faults              {told['faults_url']}",
        f"  fleet.yaml          {told['fleet_file']}",
        f"  kubeconfig          {told['kubeconfig']}",
        f"try: {f'kubectl --kubeconfig={served.kubeconfig} get nodes' if served.tls_url else by_url}",
        "Ctrl-C stops everything.",
    ]
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    sys.stdout.flush()
