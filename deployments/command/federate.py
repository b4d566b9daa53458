"""`continuum federate ...`: rounds on simulated devices beside training in one place; rounds that were, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically

if TYPE_CHECKING:
    from tasks.federation.simulation import Simulated

SHOWN = 5
MODELS = ("softmax", "mlp")

federate = typer.Typer(no_args_is_help=True, help="Federated training: rows stay on the devices, models travel.")


def register(app: typer.Typer) -> None:
    """Add `continuum federate`."""
    app.add_typer(federate, name="federate")


@federate.command("simulate")
def federate_simulate(
    dataset: Annotated[str, typer.Option(metavar="digits|ai4i|cmapss|FILE", help="scikit-learn's digits; AI4I machine "
                                         "failures or C-MAPSS engines from CONTINUUM_DATA; or a CSV or Parquet with a "
                                         "label")],
    label: Annotated[str, typer.Option(help="a FILE's column to predict; else label, target, class or y")] = "",
    devices: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    alpha: Annotated[float, typer.Option(help="of the Dirichlet split: 0.1 few labels each, 100 the same mix")] = 0.5,
    rounds: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    model: Annotated[str, typer.Option(metavar="softmax|mlp", help="mlp: one hidden layer of 64")] = "softmax",
    fraction: Annotated[float, typer.Option(help="of the devices, asked in each round")] = 0.3,
    attack: Annotated[str, typer.Option(metavar="KIND:SHARE", help="sign-flip (a hostile device sends -5 x its "
                                        "update), noise or nan, by this share of the devices: sign-flip:0.2")] = "",
    assume_hostile: Annotated[float, typer.Option(help="share of the devices that may be hostile, as the server "
                                                  "believes")] = 0.0,
    dropout: Annotated[float, typer.Option(help="share of the asked devices that never answer")] = 0.0,
    aggregator: Annotated[str, typer.Option(metavar="auto|mean|multi-krum|trimmed-mean|median", help="auto: a mean of "
                                            "clipped updates, Multi-Krum where some may be hostile")] = "auto",
    step: Annotated[str, typer.Option("--server", metavar="auto|average|momentum|adam", help="auto: momentum without "
                                      "DP, average with it")] = "auto",
    dp: Annotated[str, typer.Option(metavar="Z,C", help="central DP-FedAvg: noise multiplier, clip norm")] = "",
    budget: Annotated[float | None, typer.Option("--epsilon-budget", help="rounds beyond it are refused")] = None,
    secure: Annotated[bool, typer.Option("--secure", help="secure aggregation: the server learns sums only")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="write the rounds' records as JSON lines")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE.onnx", help="write the model")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Train over simulated devices, round by round, each round checked by the gate; nothing leaves this machine."""
    with refusals():
        from tasks.federation.world import Asked

        _choice("--model", model, MODELS)
        for name, share, least in (("--fraction", fraction, 1e-6), ("--assume-hostile", assume_hostile, 0.0),
                                   ("--dropout", dropout, 0.0)):  # fmt: skip
            _between(name, share, least, 1.0 if name == "--fraction" else 0.99)
        _between("--alpha", alpha, 1e-3, 1e6)
        kind, hostile_share = _attack(attack)
        privacy, spend = _privacy(dp, budget)
        _alone(secure, aggregator, dp, assume_hostile)
        asked = Asked(devices, alpha, rounds, model, fraction, kind, hostile_share, assume_hostile, dropout,
                      _aggregator(aggregator, dp), _step(step), privacy, spend, secure, seed)  # fmt: skip
        found = _simulate(dataset, label, asked)
        _write(found, record, out_file)
    if as_json:
        print_json(found.to_record())
        return
    _show(found, asked)


@federate.command("rounds")
def federate_rounds(
    model: Annotated[str | None, typer.Argument(help="only of this model")] = None, as_json: Json = False
) -> None:
    """List the rounds of real training, newest first."""
    from blocks.store import Store
    from blocks.store.rounds import rounds

    with refusals():
        rows = rounds(Store.open(), model)
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("No round was ever opened: run the flow federated-training.")
        return
    table = Table("round", "state", "asked", "good", "score", "gate", "model")
    for row in rows:
        good = sum(not each["refused"] for each in row.record.get("updates", []))
        gate = "" if not row.record else "accepted" if row.record["accepted"] else f"refused: {row.record['why']}"
        score = f"{row.after['score']:.1%}" if row.after else ""
        table.add_row(row.id, row.state, str(len(row.content["selected"])), str(good), score, gate,
                      row.after.get("digest", "")[:12])  # fmt: skip
    out.print(table)


@federate.command("replay")
def federate_replay(
    round_id: Annotated[str, typer.Argument(metavar="ROUND", help="see `continuum federate rounds`")],
    as_json: Json = False,
) -> None:
    """Work a closed round out again from what was kept of it; exit 1 where another model comes out."""
    with refusals():
        from blocks.models import Registry
        from blocks.store import Store
        from tasks.federation.act import replayed

        recorded, again = replayed(Registry.open(Store.open()), round_id)
    if as_json:
        print_json({"round": round_id, "recorded": recorded, "replayed": again, "same": recorded == again})
    else:
        words = "the same model" if recorded == again else f"another model than was recorded, {recorded}"
        out.print(f"{round_id}: {again}, {words}", highlight=False, soft_wrap=True)
    if recorded != again:
        raise typer.Exit(1)


def _simulate(dataset: str, label: str, asked: Any) -> Simulated:
    from tasks.federation.files import read_dataset
    from tasks.federation.simulation import simulate

    with err.status(f"reading {dataset}") as status:
        refused: list[str] = []
        data = read_dataset(dataset, label, refused)
        _tell(dataset, refused)

        def told(number: int, score: float) -> None:
            status.update(f"round {number} of {asked.rounds}: {score:.1%} on the gate's rows")

        return simulate(data, asked, told, lambda words: err.print(words, highlight=False, soft_wrap=True))


def _write(found: Simulated, record: Path | None, out_file: Path | None) -> None:
    import json

    from tasks.federation.export import to_onnx

    if record:
        write_atomically(record, "".join(json.dumps(each, allow_nan=False) + "\n" for each in found.tally.records))
    if out_file:
        write_atomically(out_file, to_onnx(found.trained))


def _tell(dataset: str, refused: list[str]) -> None:
    for line in refused[:SHOWN]:
        err.print(f"{dataset}: {line}", highlight=False, markup=False, soft_wrap=True)
    if len(refused) > SHOWN:
        err.print(f"{dataset}: and {len(refused) - SHOWN} more", highlight=False, markup=False, soft_wrap=True)


def _choice(where: str, given: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise InvalidInput(f"there is no {given!r}", where=where, fix=f"use {', '.join(known)}")
    return given


def _between(where: str, given: float, least: float, most: float) -> float:
    if not least <= given <= most:
        raise InvalidInput(f"{given:g} is out of range", where=where, fix=f"give {least:g} to {most:g}")
    return given


def _number(where: str, text: str, fix: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"`{text:.40}` is no number", where=where, fix=fix) from None


def _attack(text: str) -> tuple[str, float]:
    from tasks.federation.world import ATTACKS

    if not text:
        return "", 0.0
    kind, _, share = text.partition(":")
    _choice("--attack", kind, tuple(ATTACKS))
    return kind, _between("--attack", _number("--attack", share, f"write {kind}:0.2"), 0.0, 1.0)


def _privacy(text: str, budget: float | None) -> tuple[tuple[float, float] | None, float]:
    if not text:
        if budget is not None:
            raise InvalidInput("is of --dp, which is not given", where="--epsilon-budget", fix="give --dp 1,1 as well")
        return None, float("inf")
    noise, _, clip = text.partition(",")
    fix = "write noise multiplier and clip norm, e.g. --dp 1,1"
    pair = (_between("--dp", _number("--dp", noise, fix), 0.3, 100.0),
            _between("--dp", _number("--dp", clip, fix), 1e-6, 1e6))  # fmt: skip
    return pair, float("inf") if budget is None else _between("--epsilon-budget", budget, 1e-6, 1e6)


def _aggregator(name: str, dp: str) -> str:
    from tasks.federation.decide.aggregate import RULES

    _choice("--aggregator", name, ("auto", *RULES))
    if dp and name != "auto":
        raise InvalidInput("DP-FedAvg has a sum of its own", where="--aggregator", fix="leave it out, or --dp")
    return name


def _alone(secure: bool, aggregator: str, dp: str, assume_hostile: float) -> None:
    if secure and (aggregator != "auto" or dp or assume_hostile):
        raise InvalidInput("a server that sees sums alone has no other rule", where="--secure",
                           fix="leave out --aggregator, --assume-hostile and --dp, or --secure")  # fmt: skip


def _step(name: str) -> str:
    from tasks.federation.decide.server import STEPS

    return _choice("--server", name, ("auto", *STEPS))


def _show(found: Simulated, asked: Any) -> None:
    told = found.to_record()
    table = Table("trained", "accuracy on the test rows", title=f"{asked.devices} devices, {found.rounds} rounds",
                  title_justify="left")  # fmt: skip
    names = {"centralised": "in one place", "federated": "federated", "local": "each device alone (mean)"}
    for key, name in names.items():
        table.add_row(name, f"{found.accuracy[key]:.1%}")
    out.print(table)
    lines = [
        f"Last five rounds {told['last5_mean']:.1%}; always the commonest class: {found.majority:.1%}.",
        f"{told['rule']}: {told['accepted_rounds']} of {told['rounds']} rounds accepted, the worst "
        f"{told['worst_accepted_drop']:.1%} under the best so far; {told['refused_updates']} updates refused.",
        f"{told['bytes_up']:,} bytes up, {told['bytes_down']:,} down; the devices' rows as float32 are "
        f"{found.data_bytes:,} bytes once: federated training "
        f"{'saves' if told['bytes_up'] + told['bytes_down'] < found.data_bytes else 'costs'} bytes here.",
        "Epsilon: " + ("no DP." if not asked.privacy else f"{told['epsilon']}, delta {1 / (50 * asked.devices):g}."),
        f"Secure aggregation is {told['secure_aggregation']}: the server sees "
        f"{'sums alone' if asked.secure else 'each update'}.",
        f"Model {told['digest']}",
    ]  # fmt: skip
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)
