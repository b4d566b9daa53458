"""The replayer itself: it must see a difference where there is one."""

from __future__ import annotations

import pytest

from tests.conformance.patterns import at, broken_asserts, differences


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": "<absent>"}, {}),
        ({"name": "web-<suffix>"}, {"name": "web-bcdfg"}),
        ({"m": {"<text>": "words"}}, {"m": "other words"}),
        ({"l": {"<contains>": [{"n": 1}]}}, {"l": [{"n": 2}, {"n": 1}]}),
        ({"l": {"<unordered>": [1, 2]}}, {"l": [2, 1]}),
        ({"<one-of>": [{"kind": "A"}, {"kind": "B"}]}, {"kind": "B"}),
        ({"conditions": [{"type": "B"}]}, {"conditions": [{"type": "A"}, {"type": "B", "x": 1}]}),
    ],
)
def test_a_pattern_takes_what_fits_it(pattern: object, value: object) -> None:
    assert differences(pattern, value) == []


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": 1}, {"a": True}),
        ({"a": "<absent>"}, {"a": 0}),
        ({"rv": "<rv>"}, {"rv": "0"}),
        ({"t": "<time>"}, {"t": "2026-01-01T00:00:00.000000Z"}),
        ({"name": "web-<suffix>"}, {"name": "web-aeiou"}),
        ({"m": {"<text>": "words"}}, {"m": ""}),
        ([1, 2], [1]),
        ({"l": {"<contains>": [1, 1]}}, {"l": [1, 2]}),
        ({"l": {"<unordered>": [1, 2]}}, {"l": [1, 2, 3]}),
        ({"conditions": [{"type": "B"}]}, {"conditions": [{"type": "A"}]}),
        ({"taints": [{"key": "a", "effect": "e"}]}, {"taints": [{"key": "a", "effect": "e"}, {"key": "b"}]}),
    ],
)
def test_a_pattern_refuses_what_does_not(pattern: object, value: object) -> None:
    assert differences(pattern, value)


def test_paths_reach_through_lists_maps_and_conditions() -> None:
    body = {"items": [{"m": {"a.b/c": 1}, "t": "x"}, {"m": {}, "t": "y"}]}
    assert at(body, 'items[0].m["a.b/c"]') == 1
    assert at(body, "items[*].t") == ["x", "y"]
    assert at(body, "items[?t=y].m") == {}
    assert at(body, "items.length") == 2
    assert at(body, "items[5].t") is None


def test_asserts_compare_digit_strings_as_numbers_and_name_what_is_broken() -> None:
    checks = [{"path": "rv", "op": "gt", "value": "9"}, {"path": "n", "op": "le", "value": 3, "default": 9}]
    assert broken_asserts(checks, {"rv": "10"}) == ["n: None is not le 3"]
