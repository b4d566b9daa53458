"""Problems from files, ours and OR-Library's."""

from __future__ import annotations

import json

import pytest

from blocks.errors import InvalidInput
from tasks.placement.decide.facility import decide_sites
from tasks.placement.files import read_orlib, read_problem

YAML = "sites:\n  - name: a\n    capacity: {cpu: 4}\n"


def test_json_and_yaml_hold_the_same_problem(tmp_path):
    (tmp_path / "p.yaml").write_text(YAML)
    (tmp_path / "p.json").write_text(json.dumps({"sites": [{"name": "a", "capacity": {"cpu": 4}}]}))
    assert read_problem(tmp_path / "p.yaml") == read_problem(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.json", '{"sites": [', "p.json:1: no valid JSON"),
        ("p.json", '{"sites": [], "sites": []}', "the key `sites` is there twice"),
        ("p.json", '{"sites": [{"name": "a", "capacity": {"cpu": NaN}}]}', "`nan` is not a finite number"),
        ("p.yaml", "sites:\n\t- a", "p.yaml:2: a tab in the indentation"),
        ("p.yaml", "", "p.yaml"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_place(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_problem(tmp_path / name)
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_problem(tmp_path / "none.json")


def test_pmed_the_last_of_an_edge_that_comes_twice_holds(tmp_path):
    (tmp_path / "pmed").write_text("3 3 1\n1 2 9\n1 2 4\n2 3 5\n")
    opened = decide_sites(read_orlib(tmp_path / "pmed", "orlib-pmed"))
    assert (opened.open, opened.objective, opened.gap) == (("2",), 9.0, 0.0)


def test_cap_clients_may_be_split_among_sites(tmp_path):
    (tmp_path / "cap").write_text("2 1\n6 10\n6 10\n8\n4 8\n")
    opened = decide_sites(read_orlib(tmp_path / "cap", "orlib-cap"))
    assert opened.open == ("1", "2")
    assert opened.objective == pytest.approx(20 + 4 * 6 / 8 + 8 * 2 / 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [("3 3 1\n1 2 9\n", "does not hold as many"), ("2 1 1\n1 7 3\n", "not there"), ("2 x", "`x` is no number")],
)
def test_a_file_that_is_no_pmed_is_refused(tmp_path, text, words):
    (tmp_path / "pmed").write_text(text)
    with pytest.raises(InvalidInput, match=words):
        read_orlib(tmp_path / "pmed", "orlib-pmed")


def test_cap_with_the_word_capacity_says_what_to_write(tmp_path):
    (tmp_path / "capa").write_text("1 1\ncapacity 10\n8\n4\n")
    with pytest.raises(InvalidInput, match="write the capacity"):
        read_orlib(tmp_path / "capa", "orlib-cap")
