"""`/faults` over HTTP."""

from __future__ import annotations

import pytest

from deployments.local.faults.kinds import KINDS


def test_a_fault_is_accepted_listed_and_lifted(served):
    fault = served.add("cluster-freeze", cluster="us-gke", after_s=3600, for_s=60)
    said = served.ask("GET", "/faults").json()
    [scheduled] = said["scheduled"]
    assert scheduled["id"] == fault
    assert (scheduled["kind"], scheduled["parameters"]) == ("cluster-freeze", {"cluster": "us-gke"})
    assert scheduled["begins"] < scheduled["ends"]
    assert said["campaign"]["faults"][-1]["for_s"] == 60
    served.lift(fault)
    assert fault in [each["id"] for each in served.ask("GET", "/faults").json()["ended"]]


def test_a_campaign_is_accepted_whole_or_not_at_all(served):
    good, bad = {"kind": "cluster-freeze", "cluster": "us-gke"}, {"kind": "cluster-freeze", "cluster": "nowhere"}
    answer = served.ask("POST", "/faults", {"seed": 5, "faults": [good, bad]})
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("faults[1] (cluster-freeze): there is no cluster nowhere. To mend it: use")
    assert not served.ask("GET", "/faults").json()["active"]
    answer = served.ask("POST", "/faults", {"seed": 5, "faults": [good, {**good, "seed": 6}]})
    assert [fault["state"] for fault in answer.json()["faults"]] == ["active", "active"]
    assert [fault["seed"] for fault in served.ask("GET", "/faults").json()["campaign"]["faults"][-2:]] == [5, 6]
    assert len(served.ask("DELETE", "/faults").json()["faults"]) == 2


@pytest.mark.parametrize("body", [None, [], {"faults": []}, {"faults": 1}, {"faults": [{}], "sed": 1}, {"kind": 7}])
def test_nonsense_is_refused(served, body):
    answer = served.ask("POST", "/faults", body)
    assert answer.status_code == 400
    assert "To mend it" in answer.json()["error"]


def test_the_table_of_kinds_names_every_parameter(served):
    rows = served.ask("GET", "/faults/kinds").json()
    assert [row["kind"] for row in rows] == list(KINDS)
    assert all(parameter["about"] for row in rows for parameter in row["parameters"])


def test_an_unknown_fault_is_404(served):
    assert served.ask("DELETE", "/faults/f999").status_code == 404
