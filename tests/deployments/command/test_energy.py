"""`continuum energy` as a person and as a script use it."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.command import app


def run(*words: str):
    return CliRunner().invoke(app, ["energy", "model", *words])


def test_the_parts_are_told_beside_the_seeds_formula() -> None:
    told = run("m5.2xlarge", "--utilisation", "0.4")
    assert told.exit_code == 0
    assert "8 threads of skylake, 32 GiB" in told.stdout
    assert "190.0" in told.stdout


def test_json_is_one_document_whose_parts_add_up() -> None:
    watts = json.loads(run("p3.2xlarge", "--gpu-utilisation", "0.7", "--json").stdout)["watts"]
    assert watts["central"] == pytest.approx(watts["cpu"] + watts["memory"] + watts["gpu"])
    assert watts["gpu"] > 200


def test_a_machine_of_ones_own_needs_its_family_and_threads() -> None:
    told = run("box", "--cpu-family", "coffeelake", "--threads", "12", "--memory-gib", "32", "--json")
    assert json.loads(told.stdout)["machine"]["threads"] == 12
    refused = run("box", "--cpu-family", "coffeelake")
    assert (refused.exit_code, "instance type box: no such instance type is known" in refused.stderr) == (1, True)


def test_own_watts_of_a_machine_count_and_idle_above_full_is_refused() -> None:
    told = json.loads(run("m5.large", "--idle-w", "20", "--full-w", "120", "--utilisation", "0.5", "--json").stdout)
    assert told["watts"]["central"] == pytest.approx(20 + 100 * 0.447)
    refused = run("m5.large", "--idle-w", "120", "--full-w", "20")
    assert (refused.exit_code, "idle_w is 120 and full_w 20" in refused.stderr) == (1, True)


@pytest.mark.parametrize("words", [("--utilisation", "1.4"), ("--utilisation", "nan"), ("--pue", "0.5"),
                                   ("--cpu-family", "abacus"), ("--threads", "-2")])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(words: tuple[str, str]) -> None:
    refused = run("m5.large", *words)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1


class TestReport:
    """`continuum energy report` on a person's own samples."""

    @pytest.fixture
    def samples(self, tmp_path: Path) -> Path:
        path = tmp_path / "march.csv"
        lines = [f"2026-03-0{day}T{hour:02d}:{minute:02d}Z,eu,web,n{node},m6i.large,DE,{0.2 + 0.1 * (node + day)}"
                 for day in (1, 2) for hour in range(24) for minute in (0, 30) for node in (1, 2)]  # fmt: skip
        path.write_text("\n".join(["ts,cluster,pool,node,instance_type,zone,cpu_ratio", *lines]) + "\n")
        return path

    @staticmethod
    def report(*words: object, fails: bool = False):
        told = CliRunner().invoke(app, ["energy", "report", *map(str, words)])
        assert (told.exit_code != 0) == fails, told.output
        return told

    def test_a_meters_gaps_are_told_by_its_own_samples(self, tmp_path: Path) -> None:
        path = tmp_path / "metered.csv"
        lines = [f"2026-03-01T{hour:02d}:{minute:02d}Z,eu,web,m6i.large,DE,{(load := (7 * hour + minute) % 60 / 60)},"
                 f"{3 - hour % 3},{40 + hour % 3},{'' if hour > 11 else 200 + 90 * load * (1 - hour % 3 / 3) ** 3}"
                 for hour in range(24) for minute in range(0, 60, 5)]  # fmt: skip
        head = "ts,cluster,pool,instance_type,zone,cpu_ratio,clock_ghz,temperature_c,watts"
        path.write_text("\n".join([head, *lines]) + "\n")
        told = json.loads(self.report("--samples", path, "--out", tmp_path / "out", "--json").stdout)
        (rows,) = (Path(each) for each in told["files"] if each.endswith(".csv"))
        with rows.open() as file:
            found = [(row["method"], row["power_source"]) for row in csv.DictReader(file)]
        half = len(found) // 2
        assert [method for method, _ in found] == ["measured"] * half + ["calibrated"] * half
        assert found[-1][1].startswith("a curve of 144 of its samples, ")
        assert float(found[-1][1].split(", ")[1].split("%")[0]) < 1

    def test_rows_of_the_file_add_up_to_the_totals_on_the_terminal(self, samples: Path, tmp_path: Path) -> None:
        told = json.loads(self.report("--samples", samples, "--out", tmp_path / "out", "--json").stdout)
        (path,) = (Path(each) for each in told["files"] if each.endswith(".csv"))
        with path.open() as file:
            rows = list(csv.DictReader(file))
        for name in ("energy_kwh", "idle_kwh", "location_g", "embodied_g"):
            assert sum(Decimal(row[name]) for row in rows) == Decimal(str(told["totals"][name])), name
        assert len({row["hour_utc"] for row in rows}) == 48

    def test_network_storage_and_water_are_rows_of_their_own_that_add_up(self, samples: Path, tmp_path: Path) -> None:
        usage, factors = tmp_path / "usage.csv", tmp_path / "factors.csv"
        rows = [f"2026-03-01T0{hour}:{minute}Z,eu,{kind},{amount},{namespace}" for hour in (0, 1) for minute in (10, 40)
                for kind, amount, namespace in (("network_gb", 500, "shop"), ("ssd_tb", 8, ""))]  # fmt: skip
        usage.write_text("\n".join(["ts,cluster,kind,amount,namespace", *rows, "2026-03-01T00:10Z,eu,tape,1,"]) + "\n")
        factors.write_text("factor,key,year,value,source\nwue_l_per_kwh,eu,2026,0.4,the site's meter\n"
                           "ssd_wh_per_tbh,eu,2026,2,our storage\n")  # fmt: skip
        words = ("--samples", samples, "--usage", usage, "--factors", factors, "--out", tmp_path / "out", "--json")
        told = json.loads(self.report(*words).stdout)
        (path,) = (Path(each) for each in told["files"] if each.endswith(".csv"))
        with path.open() as file:
            found = list(csv.DictReader(file))
        for name in ("energy_kwh", "location_g", "water_l"):
            assert sum(Decimal(row[name]) for row in found) == Decimal(str(told["totals"][name])), name
        assert told["by_kind"]["(network)"]["energy_kwh"] == pytest.approx(2.0)  # 1,000 GB an hour x 0.001 kWh/GB
        assert told["by_kind"]["(storage ssd)"]["energy_kwh"] == pytest.approx(0.032)  # 8 TB x 2 Wh/TBh, two hours
        assert told["totals"]["water_l"] == pytest.approx(0.4 * told["totals"]["energy_kwh"], rel=1e-4)
        assert {row["power_source"][:30] for row in found if row["pool"] == "(storage ssd)"} == {
            "2 Wh/TBh (our storage), bounds"
        }
        assert any("'tape' is none of" in line for line in told["trouble"])
        factors.write_text("factor,key,year,value,source\nwue_l_per_kwh,eu,2025,0.4,the site's meter\n")
        refused = self.report(*words[:-1], fails=True)
        assert "no wue_l_per_kwh of eu for 2026" in refused.stderr

    def test_the_same_period_again_gives_the_same_bytes_and_late_data_a_revision(self, samples, tmp_path: Path) -> None:
        words = (
            "--samples",
            samples,
            "--from",
            "2026-03-01",
            "--to",
            "2026-03-02",
            "--out",
            tmp_path / "out",
            "--json",
        )
        first = json.loads(self.report(*words).stdout)["files"]
        before = {path: Path(path).read_bytes() for path in first}
        assert json.loads(self.report(*words).stdout)["files"] == first
        with samples.open("a") as file:
            file.write("2026-03-01T12:15Z,eu,web,n1,m6i.large,DE,0.9\n")
        later = json.loads(self.report(*words).stdout)["files"]
        assert all("-r2" in path for path in later)
        assert {path: Path(path).read_bytes() for path in first} == before

    def test_the_change_from_the_day_before_is_told_by_cause(self, samples: Path) -> None:
        told = json.loads(self.report("--samples", samples, "--from", "2026-03-02", "--json").stdout)
        change = told["change_g"]
        parts = sum(change[name] for name in ("load", "efficiency", "intensity", "data"))
        assert parts == pytest.approx(change["total"])
        assert change["load"] > 0 > change["efficiency"]  # busier machines do more for each kWh

    def test_hours_of_the_period_that_the_samples_do_not_have_are_told_beside_the_table(self, samples: Path) -> None:
        told = self.report("--samples", samples, "--from", "2026-03-02", "--to", "2026-03-04")
        assert "not known of 24 pool-hours: they count nothing" in told.stderr

    def test_sci_is_a_unit(self, samples: Path) -> None:
        told = json.loads(self.report("--samples", samples, "--units", "1000", "--unit", "order", "--json").stdout)
        total = told["totals"]
        assert told["sci_g_per_unit"] == pytest.approx((total["location_g"] + total["embodied_g"]) / 1000)

    def test_a_year_without_its_factor_is_refused_by_name(self, samples: Path, tmp_path: Path) -> None:
        factors = tmp_path / "factors.csv"
        factors.write_text("factor,key,year,value,source\npue,eu,2024,1.2,operator\n")
        told = self.report("--samples", samples, "--factors", factors, fails=True)
        assert "no pue of eu for 2026" in told.stderr
        assert len(told.stderr.strip().splitlines()) == 1

    def test_an_intensity_below_zero_or_a_zone_that_nobody_knows_is_refused_by_name(self, samples, tmp_path) -> None:
        grid = tmp_path / "grid.csv"
        grid.write_text("hour_utc,DE\n2026-03-01T00:00Z,100\n2026-03-01T01:00Z,-5\n")
        assert "grid.csv:3: DE is -5" in self.report("--samples", samples, "--intensity", grid, fails=True).stderr
        samples.write_text(samples.read_text().replace(",DE,", ",ZZ,"))
        told = self.report("--samples", samples, fails=True).stderr
        assert ("no grid zone 'ZZ'" in told, told.count("To mend it")) == (True, 1)

    @pytest.mark.parametrize(("words", "said"), [
        (("--from", "spring"), "no time"), (("--from", "2027-01-01", "--to", "2027-01-02"), "nothing of that time"),
        (("--from", "2026-03-02", "--to", "2026-03-01"), "--to"), (("--units", "0"), "--units"),
        (("--pue", "0.5"), "PUE"),
        (("--from", "2026-03-01T00:10Z"), "no whole hour"),
    ])  # fmt: skip
    def test_what_cannot_be_is_one_line(self, samples: Path, words: tuple[str, ...], said: str) -> None:
        told = self.report("--samples", samples, *words, fails=True)
        assert said in told.stderr
        assert "Traceback" not in told.stderr
