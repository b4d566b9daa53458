"""Label and field selectors against a plain reading of what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.local.kubernetes.kinds import Registry
from deployments.local.kubernetes.selectors import as_text, matches, parse_fields, parse_labels, selection, selects
from deployments.local.kubernetes.status import StatusError

KEYS, VALUES = st.sampled_from(["a", "b", "x.example/c"]), st.sampled_from(["1", "2", "v-3"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)


@settings(max_examples=80)
@given(LABELS, KEYS, VALUES)
def test_every_operator_and_its_opposite_divide_all_label_sets(labels: dict[str, str], key: str, value: str) -> None:
    equal, present, among = f"{key}={value}", key, f"{key} in ({value},z)"
    for one, other in ((equal, f"{key}!={value}"), (present, f"!{key}"), (among, f"{key} notin ({value},z)")):
        assert matches(parse_labels(one), labels) is not matches(parse_labels(other), labels)


@settings(max_examples=80)
@given(LABELS, LABELS)
def test_a_selector_object_and_its_text_take_the_same_labels(wanted: dict[str, str], labels: dict[str, str]) -> None:
    selector = {"matchLabels": wanted, "matchExpressions": [{"key": "a", "operator": "Exists"}]}
    assert selects(selector, labels) is matches(parse_labels(as_text(selector)), labels)


@pytest.mark.parametrize("text", ["a in b", "a in (b", "a,", "=b", "a b", "!", "a>x", "-a=1", "a=b c"])
def test_a_label_selector_that_does_not_parse_is_400(text: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_labels(text)
    assert refused.value.code == 400


def test_field_selectors_read_missing_fields_as_empty_and_refuse_unknown_ones() -> None:
    pods = Registry().of("pods")
    unbound = selection(pods, None, fields="spec.nodeName=,metadata.name!=b")
    assert unbound.takes({"metadata": {"name": "a"}, "spec": {}})
    assert not unbound.takes({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}})
    assert not unbound.takes({"metadata": {"name": "b"}, "spec": {}})
    with pytest.raises(StatusError, match="field label not supported"):
        parse_fields("spec.priority=0", pods)
