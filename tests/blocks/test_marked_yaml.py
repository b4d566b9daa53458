"""Laws of the YAML reader."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.marked_yaml import read_yaml

# JSON writes what is beyond the basic plane as two escapes, which YAML does not know.
letters = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), min_size=1, max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | letters
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=9,
)
documents = st.dictionaries(letters, trees, min_size=1, max_size=3)


@settings(max_examples=60)
@given(documents)
def test_json_is_read_as_what_it_says(document: dict[str, object]) -> None:
    root, mistakes = read_yaml(json.dumps(document))
    assert mistakes == []
    assert root is not None
    assert root.data() == document


@settings(max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.lists(st.text(max_size=8), max_size=3), max_size=3))
def test_text_that_another_writer_wrote_comes_back(document: dict[str, list[str]]) -> None:
    root, mistakes = read_yaml(yaml.safe_dump(document, default_style='"', allow_unicode=True))
    assert mistakes == []
    assert root is not None
    assert root.data() == document


@settings(max_examples=150)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#?, \n\t\\%@\x00é<", max_size=40))
def test_any_text_is_read_or_refused_and_never_raises(text: str) -> None:
    root, mistakes = read_yaml(text)
    assert all(line >= 1 and column >= 1 for line, column in (mistake.place for mistake in mistakes))
    if root is not None:
        root.data()


def test_a_number_of_thousands_of_digits_stays_text() -> None:
    root, _ = read_yaml(f"n: {'9' * 10_000}")
    assert root is not None
    assert isinstance(root.data()["n"], str)


def test_only_true_and_false_are_booleans_and_a_time_is_text() -> None:
    root, _ = read_yaml("[yes, NO, on, true, False, 12:30, 0x1F, 010, 1_000, 2024-01-01, .5, 1e3]")
    assert root is not None
    expected = ["yes", "NO", "on", True, False, "12:30", "0x1F", 10, "1_000", "2024-01-01", 0.5, 1000.0]
    assert root.data() == expected


def test_a_field_that_is_absent_is_located_at_what_is_around_it() -> None:
    root, _ = read_yaml("a:\n  - b: 1\n    c: 2\n")
    assert root is not None
    assert [root.locate(path) for path in [("a", 0, "c"), ("a", 0, "d"), ("a", 5), ("z",)]] == [
        (3, 5),
        (2, 5),
        (1, 1),
        (1, 1),
    ]


@pytest.mark.parametrize(
    "text", ["token: !Zqhunter2!x y", "token: *Zqhunter2", "%Zqhunter2 1\n--- a", "token: 'Zqhunter2"]
)
def test_without_the_c_parser_too_no_mistake_quotes_the_file(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    _, mistakes = read_yaml(text)
    assert "Zq" not in str(mistakes)


def test_without_the_c_parser_a_fleet_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: {b: [1, 'x', NO], c: &c {d: 2}}\ne: {<<: *c, f: |\n    two\n  }\n".replace(", f: |\n    two\n  ", "")
    fast, _ = read_yaml(text)
    monkeypatch.delattr(yaml, "CSafeLoader")
    slow, mistakes = read_yaml(text)
    assert fast is not None
    assert slow == fast
    assert mistakes == []
