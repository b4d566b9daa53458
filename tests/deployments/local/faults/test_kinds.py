"""What a fault may be asked to be, and how a slip is answered."""

from __future__ import annotations

import pytest

from blocks.errors import InvalidInput
from deployments.local.faults.kinds import KINDS, parsed


@pytest.mark.parametrize("name", list(KINDS))
def test_the_example_of_each_kind_is_valid(name):
    assert parsed(KINDS[name].as_json()["example"], "example").kind == name


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "a fault is a JSON object"),
        ({}, "kind is missing. To mend it: give one of node-kill, node-freeze"),
        ({"kind": "quake"}, "there is no fault 'quake'. To mend it: give one of node-kill"),
        ({"kind": "node-kill", "cluster": "a"}, "node: Field required. To mend it: it takes cluster, node, after_s"),
        ({"kind": "cluster-kill", "cluster": "a", "nod": 1}, "nod: Extra inputs are not permitted. To mend it"),
        ({"kind": "cluster-kill", "cluster": "a", "for_s": -1}, "for_s: Input should be greater than or equal to 0"),
        ({"kind": "api", "effect": "explode"}, "effect: Input should be 'slow', 'drop', 'reset', 'error' or 'html'"),
        ({"kind": "api", "effect": "drop", "path": "("}, "path: is no regular expression"),
        ({"kind": "api", "effect": "error", "status": 204}, "an error cannot have status 204"),
        ({"kind": "metrics-nan", "pool": "web"}, "a pool is given without its cluster"),
        ({"kind": "clock-skew", "site": "a", "cluster": "b", "seconds": 1}, "site and cluster are both given"),
    ],
)  # fmt: skip
def test_a_slip_is_answered_in_one_line_with_what_is_accepted(document, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        parsed(document, "faults[0]")
    assert "\n" not in str(caught.value)
