"""Laws of the patch formats and of field ownership."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.local.kubernetes import fields, ownership, patches
from deployments.local.kubernetes.schemas import parse
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.trees import clone

SCALARS = st.one_of(st.integers(-5, 5), st.text("abc", max_size=3), st.booleans())
KEYS = st.text("xyz", min_size=1, max_size=2)
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
MAPS = st.dictionaries(KEYS, TREES, max_size=4)
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"image": st.sampled_from(["i:1", "i:2"])}),
    max_size=4, unique_by=lambda entry: entry["name"],
)  # fmt: skip
POD = parse("PodSpec")


@settings(max_examples=60)
@given(MAPS, MAPS)
def test_a_merge_patch_applied_twice_changes_nothing_more_and_leaves_its_target_alone(target: Any, patch: Any) -> None:
    before = clone(target)
    once = patches.merge(target, patch)
    assert target == before
    assert patches.merge(once, patch) == once


@settings(max_examples=60)
@given(CONTAINERS, CONTAINERS)
def test_a_strategic_merge_keeps_every_entry_once_and_takes_the_patchs_values(old: Any, new: Any) -> None:
    merged = patches.strategic({"containers": old}, {"containers": new}, POD)["containers"]
    names = [entry["name"] for entry in merged]
    assert sorted(names) == sorted({entry["name"] for entry in [*old, *new]})
    by_name = {entry["name"]: entry for entry in merged}
    assert all(by_name[entry["name"]].items() >= entry.items() for entry in new)
    untouched = [entry for entry in old if entry["name"] not in {one["name"] for one in new}]
    assert [
        entry for entry in merged if entry in untouched and entry["name"] not in {o["name"] for o in new}
    ] == untouched


@settings(max_examples=60)
@given(MAPS, TREES)
def test_a_json_patch_adds_tests_and_removes_what_it_added(target: Any, value: Any) -> None:
    operations = [
        {"op": "add", "path": "/new~1key", "value": value},
        {"op": "test", "path": "/new~1key", "value": value},
    ]
    added = patches.json_patch(target, operations)
    assert added == {**target, "new/key": value}
    assert patches.json_patch(added, [{"op": "remove", "path": "/new~1key"}]) == target


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/no/parent", "value": 1},
        {"op": "frobnicate", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
    ],
)
def test_a_json_patch_that_does_not_apply_is_refused(operation: Any) -> None:
    with pytest.raises(StatusError) as refused:
        patches.json_patch({"a": 1}, [operation])
    assert refused.value.code == 422


def hollow(tree: Any) -> bool:
    """Whether nothing but maps is left."""
    return isinstance(tree, dict) and all(hollow(entry) for entry in tree.values())


@settings(max_examples=60)
@given(MAPS, MAPS)
def test_a_changes_fields_belong_to_the_new_state_and_dropping_all_fields_leaves_no_values(old: Any, new: Any) -> None:
    changed = fields.changed(old, new, None) or {}
    assert fields.minus(changed, fields.of(new, None)) == {}
    assert hollow(fields.drop(new, fields.of(new, None), None))


@settings(max_examples=60)
@given(MAPS)
def test_applying_the_same_twice_changes_neither_object_nor_owners(wanted: Any) -> None:
    common: Any = {"manager": "m", "api_version": "v1", "subresource": "", "force": False, "now": "t"}
    once, owners = ownership.apply([], {}, wanted, None, **common)
    assert ownership.apply(owners, once, wanted, None, **common) == (once, owners)


def test_two_appliers_conflict_until_one_forces_and_giving_up_removes() -> None:
    common: Any = {"api_version": "v1", "subresource": "", "now": "t"}
    live, owners = ownership.apply([], {}, {"spec": {"n": 1}}, None, manager="a", force=False, **common)
    with pytest.raises(StatusError, match=r'conflict with "a": \.spec\.n'):
        ownership.apply(owners, live, {"spec": {"n": 2}}, None, manager="b", force=False, **common)
    live, owners = ownership.apply(owners, live, {"spec": {"n": 2}}, None, manager="b", force=True, **common)
    assert [entry["manager"] for entry in owners] == ["b"]
    live, owners = ownership.apply(owners, live, {}, None, manager="b", force=False, **common)
    assert (live, owners) == ({"spec": {}}, [])
