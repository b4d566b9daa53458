"""`continuum fleet validate`, `schema`, `show` and `save`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.command import app
from deployments.command.fleet_tables import totals, totals_line, write_tables

EXAMPLE = Path(__file__).parents[3] / "deployments" / "kubernetes" / "fleet.example.yaml"


def run(*arguments: str):
    return CliRunner().invoke(app, ["fleet", *arguments], env={"COLUMNS": "250"})


def test_a_valid_file_is_said_to_be_valid_with_its_totals() -> None:
    done = run("validate", str(EXAMPLE))
    assert done.exit_code == 0
    assert "is valid: 6 sites, 6 clusters, 9 node pools, 21-508 nodes" in done.stdout


def test_every_problem_of_a_bad_file_is_printed_and_the_exit_code_is_one(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        EXAMPLE.read_text().replace("provider: eks", "provider: esk").replace("site:", "sit:")
    )
    done = run("validate", str(tmp_path / "f.yaml"))
    assert done.exit_code == 1
    assert done.stdout.count("did you mean `eks`?") == 2
    assert done.stdout.count("did you mean `site`?") == 6
    assert done.stdout.splitlines()[-1].endswith("is not valid: 14 errors, 0 warnings")


def test_as_json_one_document_holds_every_problem(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("name: 1\n")
    done = run("validate", str(tmp_path / "f.yaml"), "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["valid"]) == (1, False)
    first = {"line": 1, "column": 1, "field": "name", "problem": "must be text, is a number", "severity": "error"}
    assert first.items() <= said["problems"][0].items()


def test_the_schema_accepts_the_example_and_refuses_a_slip() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    import yaml

    schema = json.loads(run("schema").stdout)
    example = yaml.safe_load(EXAMPLE.read_text())
    jsonschema.Draft202012Validator(schema).validate(example)
    example["clusters"][0]["provder"] = "eks"
    assert not jsonschema.Draft202012Validator(schema).is_valid(example)


def test_show_has_sites_pools_bounds_units_and_totals() -> None:
    shown = run("show", str(EXAMPLE)).stdout
    for text in (
        "edge-virginia",
        "regional-edge",
        "2-50",
        "cores/node",
        "GiB/node",
        "USD/h",
        "hands off",
        "secret:eu-aks-token",
    ):
        assert text in shown
    assert "21-508 nodes, at most 2675.5 cores" in shown


def test_show_as_json_keeps_references_and_adds_totals() -> None:
    said = json.loads(run("show", str(EXAMPLE), "--json").stdout)
    assert said["fleet"]["metrics"]["token"] == "${PROMETHEUS_TOKEN}"
    assert said["totals"]["max_nodes"] == 508


def test_a_bad_file_is_not_shown_and_the_first_problem_is_one_line(tmp_path: Path) -> None:
    done = run("show", str(tmp_path / "nowhere.yaml"))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)


SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).map(lambda text: f"Zq{text}qZ")


@settings(max_examples=25)
@given(SECRETS, SECRETS)
def test_no_table_shows_a_secret(token: str, password: str) -> None:
    fleet = load_fleet(EXAMPLE).model_dump()
    fleet["metrics"] |= {"token": None, "username": "me", "password": password}
    fleet["clusters"][3]["kubernetes"]["token"] = token
    console = Console(record=True, width=300, quiet=False, file=_Nowhere())
    write_tables(Fleet.model_validate(fleet), console)
    text = console.export_text()
    assert "typed in the file" in text or "${" in token
    assert "Zq" not in text


class _Nowhere:
    def write(self, _: str) -> None: ...

    def flush(self) -> None: ...


def test_totals_count_what_the_file_says() -> None:
    fleet = load_fleet(EXAMPLE)
    sums = totals(fleet)
    assert sums["max_usd_per_hour"] == pytest.approx(100 * 0.192 + 100 * 0.34)
    assert sums["pools_without_price"] == 7
    assert "(7 pools without a price)" in totals_line(fleet)


def test_save_stores_the_fleet_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = {}
    monkeypatch.setattr("blocks.inventory.save_fleet", lambda fleet, name: saved.update({name: fleet}) or "id-1")
    done = run("save", str(EXAMPLE), "--name", "prod", "--json")
    assert json.loads(done.stdout)["block"] == "continuum-fleet/prod"
    assert saved["prod"] == load_fleet(EXAMPLE)
