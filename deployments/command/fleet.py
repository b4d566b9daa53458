"""`continuum fleet`: check, show, discover and store the inventory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from blocks.credentials import public_data
from blocks.errors import InvalidInput, NotFound, Refused
from blocks.fleet import Fleet, Provider
from blocks.fleet_file import FleetFile, check_text, fleet_schema, load_fleet, read_fleet
from deployments.command import fleet_faults
from deployments.command.fleet_tables import count, totals, totals_line, write_tables
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically

FleetPath = Annotated[Path, typer.Argument(metavar="FILE", help="a fleet.yaml", show_default=False)]

app = typer.Typer(no_args_is_help=True, help="The inventory: sites, clusters, node pools.")


def register(parent: typer.Typer) -> None:
    """Add `continuum fleet`."""
    app.command("faults")(fleet_faults.faults)
    parent.add_typer(app, name="fleet")


@app.command()
def validate(file: FleetPath, json: Json = False) -> None:
    """Check a fleet.yaml: every problem at once, with its line, field and fix."""
    read = read_fleet(file)
    if json:
        problems = [problem.as_json() for problem in read.problems]
        print_json({"file": str(file), "valid": read.fleet is not None, "problems": problems})
    else:
        _tell(file, read)
    if read.fleet is None:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of fleet.yaml, for editors and other tools."""
    print_json(fleet_schema())


@app.command()
def show(file: FleetPath, json: Json = False) -> None:
    """Show sites, clusters and node pools with their bounds; never a secret."""
    with refusals():
        fleet = load_fleet(file)
    if json:
        print_json({"file": str(file), "fleet": public_data(fleet), "totals": totals(fleet)})
    else:
        write_tables(fleet, out)


@app.command()
def save(
    file: FleetPath,
    name: Annotated[str, typer.Option(help="name of the Prefect block")] = "default",
    json: Json = False,
) -> None:
    """Store the fleet as a Prefect block, where the flows find it."""
    with refusals():
        fleet = load_fleet(file)
        from blocks.inventory import save_fleet

        document = save_fleet(fleet, name)
    if json:
        print_json({"block": f"continuum-fleet/{name}", "id": str(document), "totals": totals(fleet)})
    else:
        out.print(f"saved {fleet.name} as the block continuum-fleet/{name}: {totals_line(fleet)}", highlight=False)


@app.command()
def discover(
    *,
    kubeconfig: Annotated[Path | None, typer.Option(help="default: KUBECONFIG or ~/.kube/config")] = None,
    context: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="contexts to read; default: all")] = None,
    eks: Annotated[list[str] | None, typer.Option(metavar="REGION", help="list EKS clusters of this region")] = None,
    gke: Annotated[list[str] | None, typer.Option(metavar="PROJECT", help="list this project's GKE clusters")] = None,
    aks: Annotated[list[str] | None, typer.Option(metavar="SUBSCRIPTION", help="list its AKS clusters")] = None,
    eks_endpoint: Annotated[str | None, typer.Option(metavar="URL", help="another endpoint of the EKS API")] = None,
    gke_endpoint: Annotated[str | None, typer.Option(metavar="URL", help="another endpoint of the GKE API")] = None,
    aks_endpoint: Annotated[str | None, typer.Option(metavar="URL", help="another endpoint of the AKS API")] = None,
    no_contexts: Annotated[bool, typer.Option("--no-contexts", help="read the cloud accounts only")] = False,
    name: Annotated[str, typer.Option(help="the fleet's name")] = "fleet",
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="the file to write")] = Path("fleet.yaml"),
    force: Annotated[bool, typer.Option("--force", help="replace the file if it is there")] = False,
    json: Json = False,
) -> None:
    """Write a fleet.yaml from kubeconfig contexts and cloud accounts; nothing in them is changed."""
    accounts = [(Provider.EKS, each, eks_endpoint) for each in eks or ()]
    accounts += [(Provider.GKE, each, gke_endpoint) for each in gke or ()]
    accounts += [(Provider.AKS, each, aks_endpoint) for each in aks or ()]
    with refusals():
        if file.exists() and not force:
            raise Refused("the file is already there", where=str(file), fix="give another --out, or --force")
        text, skipped = _discover(kubeconfig, context, accounts, no_contexts, name)
        fleet = _of_text(text, str(file))
        write_atomically(file, text)
    checks = text.count("# check:")
    if json:
        said = [{"source": each.source, "reason": each.reason} for each in skipped]
        print_json({"file": str(file), "totals": totals(fleet), "checks": checks, "skipped": said})
        return
    for each in skipped:
        err.print(f"passed over {each.source}: {each.reason}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"wrote {file}: {totals_line(fleet)}", markup=False, highlight=False, soft_wrap=True)
    last = f"next: look at its {checks} `# check:` marks, then `continuum fleet validate {file}`"
    out.print(last, markup=False, highlight=False, soft_wrap=True)


def _tell(file: Path, read: FleetFile) -> None:
    for problem in read.problems:
        out.print(f"{problem.severity}: {problem}", markup=False, highlight=False, soft_wrap=True)
    errors = len(read.errors)
    counted = f"{count(errors, 'error')}, {count(len(read.problems) - errors, 'warning')}"
    last = f"{file} is valid: {totals_line(read.fleet)}; {counted}" if read.fleet else f"{file} is not valid: {counted}"
    out.print(last, markup=False, highlight=False, soft_wrap=True)


def _discover(
    file: Path | None, globs: list[str] | None, accounts: list[Any], no_contexts: bool, name: str
) -> tuple[str, list[Any]]:
    """The text of the fleet.yaml and what was passed over; the clients are imported only here."""
    from blocks import kubeconfig
    from blocks.kubernetes import POOL_LABEL
    from tasks.inventory.decide import draft_fleet
    from tasks.inventory.observe import observe
    from tasks.inventory.report import fleet_text

    files = [file] if file else kubeconfig.default_files()
    clouds_only = no_contexts or (bool(accounts) and not file and not any(each.is_file() for each in files))
    contexts = [] if clouds_only else kubeconfig.contexts(files, globs)
    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("asking clusters and clouds", total=len(contexts) + len(accounts))
        sighting = observe(contexts, accounts, progress=lambda done: bar.update(task, completed=done))
    draft = draft_fleet(sighting, name, POOL_LABEL, str(file.absolute()) if file else None)
    if not draft.data["clusters"]:
        first = f"; the first: {sighting.skipped[0].reason}" if sighting.skipped else ""
        raise NotFound(f"no cluster was found{first}", where="discover", fix="give contexts, regions or projects")
    return fleet_text(draft, sighting.skipped, datetime.now(UTC).isoformat(timespec="seconds")), sighting.skipped


def _of_text(text: str, file: str) -> Fleet:
    """The fleet that a discovered text holds: what we write passes our own check, or is not written."""
    read = check_text(text, file)
    if read.fleet is None:
        raise InvalidInput(f"what was found is no valid fleet: {read.errors[0]}", fix="give --name and fewer contexts")
    return read.fleet
