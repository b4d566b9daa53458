"""`continuum energy ...`: what machines draw, and what a period of a fleet came to."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals

energy = typer.Typer(no_args_is_help=True, help="What machines draw, and what a period of a fleet came to.")


def register(app: typer.Typer) -> None:
    """Add `continuum energy`."""
    app.add_typer(energy, name="energy")


@energy.command("model")
def energy_model(
    instance_type: Annotated[str, typer.Argument(help="of AWS, GCP or Azure, as m5.2xlarge, n2-standard-8, "
                                                 "Standard_D4s_v5; or any name, with --cpu-family and --threads")],
    utilisation: Annotated[float, typer.Option(help="of the CPU, 0-1")] = 0.5,
    gpu_utilisation: Annotated[float, typer.Option(help="of the GPUs, 0-1")] = 0.0,
    cpu_family: Annotated[str | None, typer.Option(help="instead of the one that the type has")] = None,
    threads: Annotated[float | None, typer.Option(help="hardware threads (vCPUs)")] = None,
    memory_gib: Annotated[float | None, typer.Option(help="GiB of memory")] = None,
    idle_w: Annotated[float | None, typer.Option(help="W of this machine without work and GPUs, with --full-w")] = None,
    full_w: Annotated[float | None, typer.Option(help="W of this machine with all CPUs busy, without GPUs")] = None,
    pue: Annotated[float, typer.Option(help="watts at the building's meter for each watt of IT; 1 at the edge")] = 1.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Tell the watts of a machine by the power model, part by part, with its mean error, beside the seed's formula."""
    from dataclasses import replace

    from tasks.energy.decide.instance_types import machine_of
    from tasks.energy.decide.power import Machine, model_power, seed_power

    with refusals():
        given: dict[str, Any] = {"cpu_family": cpu_family, "threads": threads, "memory_gib": memory_gib,
                                 "idle_w": idle_w, "full_w": full_w}  # fmt: skip
        given = {name: value for name, value in given.items() if value is not None} | {"pue": pue}
        if cpu_family is not None and threads is not None:
            machine = Machine(**given)
        else:
            machine = replace(machine_of(instance_type), **given)
        if isnan(utilisation + gpu_utilisation):
            raise InvalidInput("it is no number", where="--utilisation", fix="give a share of 0-1")
        power = model_power(machine, utilisation, gpu_utilisation)
        parts = {
            name: float(getattr(power, name)) for name in ("idle", "cpu", "memory", "gpu", "low", "central", "high")
        }
        seed_w = float(seed_power(utilisation))
        source = "medians of SPECpower_ssj2008 results by CPU family"
        if machine.idle_w is not None:
            source = "its own idle and full W, with the mean shape of SPECpower_ssj2008 results"
        if as_json:
            return print_json({
                "instance_type": instance_type, "method": "model", "machine": vars(machine),
                "utilisation": utilisation, "watts": parts, "seed_formula_w": seed_w,
                "source": source,
            })  # fmt: skip
        head = (f"{instance_type} at {utilisation:.0%}: {machine.threads:g} threads of {machine.cpu_family}, "
                f"{machine.memory_gib:g} GiB, PUE {machine.pue:g}")  # fmt: skip
        out.print(head, highlight=False, markup=False, soft_wrap=True)
        table = Table("part", "W")
        table.columns[1].justify = "right"
        for name in ("cpu", "memory", "gpu"):
            table.add_row(name, f"{parts[name]:.1f}")
        table.add_section()
        table.add_row("in all", f"{parts['central']:.1f}")
        table.add_row("  of it idle", f"{parts['idle']:.1f}")
        table.add_row("  mean error", f"{parts['low']:.1f} to {parts['high']:.1f}")
        table.add_row("seed's formula", f"{seed_w:.1f}")
        out.print(table)
        out.print(f"Method: model, by {source} (spec.org); no meter.", highlight=False, soft_wrap=True)
        return None


@energy.command("report")
def energy_report(
    begin: Annotated[str | None, typer.Option("--from", help="2026-03, 2026-03-01 or 2026-03-01T06:00Z; UTC")] = None,
    end: Annotated[str | None, typer.Option("--to", help="the first moment that no longer belongs to it")] = None,
    samples: Annotated[Path | None, typer.Option(help="CSV or Parquet instead of a fleet: ts, cluster, pool, "
                                                 "instance_type, cpu_ratio[, node, machines, watts, ...]")] = None,
    shares: Annotated[Path | None, typer.Option(help="with --samples: ts, cluster, pool, namespace, cpu_used, "
                                                "cpu_requested")] = None,
    usage: Annotated[Path | None, typer.Option(help="ts, cluster, kind, amount[, namespace]: network_gb moved, "
                                               "ssd_tb and hdd_tb held, as rows of their own")] = None,
    fleet: Annotated[str, typer.Option(help="a fleet.yaml or an inventory block")] = "default",
    intensity: Annotated[Path | None, typer.Option(help="hourly g CO2e/kWh: a file (hour_utc, one column a zone) "
                                                   "or a folder; default: CONTINUUM_DATA, or the typical day")] = None,
    factors: Annotated[Path | None, typer.Option(help="factor, key, year, value, source: pue by cluster, "
                                                 "wue_l_per_kwh by cluster, market_g_per_kwh by zone, ...")] = None,
    zone: Annotated[str, typer.Option(help="grid zone of samples without one, e.g. DE")] = "",
    pue: Annotated[float | None, typer.Option(help="of samples without one")] = None,
    units: Annotated[float | None, typer.Option(help="functional units that the period served, for its SCI")] = None,
    unit: Annotated[str, typer.Option(help="what one is called")] = "unit",
    provider_data: Annotated[list[Path] | None, typer.Option(help="a cloud's own carbon export (CSV), put beside: "
                                                             "AWS Data Exports, GCP BigQuery; may be repeated")] = None,
    into: Annotated[Path | None, typer.Option("--out", help="folder for rows, totals and a page")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Account energy and carbon of a fleet, or of your own samples, by cluster, pool, namespace and hour."""
    from deployments import energy as reports

    with refusals():
        chosen = reports.Choices(begin, end, samples, shares, fleet, intensity, factors, zone, pue, units, unit,
                                 tuple(provider_data or ()), usage)  # fmt: skip
        with err.status("reading"):
            report = reports.energy_report(chosen)
            files = [str(path) for path in reports.write(report, into)] if into else []
        told = reports.told(report)
        if as_json:
            return print_json(told | {"files": files})
        for line in reports.missing_words(told) + report.trouble:
            err.print(line, highlight=False, markup=False, soft_wrap=True)
        table = Table(*reports.COLUMNS, title=f"{told['name']}, {told['start']} to {told['end']}", title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in reports.rows(told):
            table.add_row(*row)
        out.print(table)
        out.print(reports.summary(told), highlight=False, markup=False, soft_wrap=True)
        for path in files:
            out.print(path, highlight=False, markup=False, soft_wrap=True)
        return None
