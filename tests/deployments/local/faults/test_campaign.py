"""Seeded campaigns: lists of faults that a fresh fleet takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import NotFound
from blocks.fleet import Fleet
from deployments.local.faults.campaign import campaign
from deployments.local.faults.kinds import KINDS, parsed
from deployments.local.faults.targets import check

ROOT = Path(__file__).parents[4]


@settings(max_examples=50)
@given(seed=st.integers(0, 2**31), count=st.integers(0, 30), span_s=st.floats(0, 86_400))
def test_the_same_seed_gives_the_same_valid_faults_within_the_span(fleet, seed, count, span_s):
    drawn = campaign(seed, fleet, count, span_s)
    assert drawn == campaign(seed, fleet, count, span_s)
    assert drawn == campaign(seed, fleet, count + 1, span_s)[:count]
    assert len(drawn) == count
    for document in drawn:
        shape = parsed(document, "drawn")
        assert 0 <= shape.after_s <= round(span_s)
        check(shape.model_copy(update={"after_s": 1.0}), fleet, dict.fromkeys(c.name for c in fleet.clusters), "drawn")


def test_all_kinds_come_up_and_a_fresh_fleet_takes_them_at_once(fleet, faults):
    drawn = campaign(1, fleet, 150, 0)
    assert {document["kind"] for document in drawn} == set(KINDS)
    assert len(faults.add(drawn)) == 150


def test_only_the_kinds_named_come_up(fleet):
    assert {f["kind"] for f in campaign(3, fleet, 40, 60, ["node-kill", "api"])} == {"node-kill", "api"}


def test_a_fleet_without_a_cloud_has_no_faults_of_clouds(fleet):
    edge = Fleet.model_validate(
        fleet.model_dump() | {"clusters": [c.model_dump() for c in fleet.clusters if c.provider == "k3s"]}
    )
    assert not [f for f in campaign(3, edge, 100, 60) if f["kind"].startswith("cloud-")]
    with pytest.raises(NotFound, match="no kind of fault fits"):
        campaign(3, edge, 1, 60, ["cloud-quota"])


def test_hash_randomisation_changes_nothing():
    code = ("from blocks.fleet_file import load_fleet; from deployments.local.files import FLEET_FILE\n"
            "from deployments.local.faults.campaign import campaign\n"
            "print(campaign(5, load_fleet(FLEET_FILE), 20, 3600))")  # fmt: skip
    told = [subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                           capture_output=True, text=True, check=True).stdout for seed in ("1", "2")]  # fmt: skip
    assert told[0] == told[1] != ""
