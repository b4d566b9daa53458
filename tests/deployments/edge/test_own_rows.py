"""What an agent tells of its versions on rows whose labels it has."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def states(hub) -> list[str]:
    return [each["state"] for each in hub.statuses[-1]["models"]]


def agent_with(started, tmp_path, rows: str, more: str = ""):
    (tmp_path / "edge-1").mkdir()
    (tmp_path / "edge-1" / "rows.csv").write_text(rows)
    return started(more=f'[training]\nrows = "rows.csv"\n{more}')


def test_a_version_is_held_against_the_labels_beside_the_one_before(hub, started, tmp_path):
    agent = agent_with(started, tmp_path, "a,b,c,d,label\n1,2,3,4,0\n1,2,3,4,0\n4,3,2,1,1\n")
    connection = agent.hub()
    for version, bias in (("1", 1.0), ("2", -1.0), ("3", 2.0)):
        hub.publish(version, bias=bias)
        agent.converge(connection)
    told = [each["models"][0]["state"] for each in hub.statuses]
    assert told == ["serving; right 2/3", "serving; right 1/3; before 2/3", "serving; right 2/3; before 1/3"]


@pytest.mark.parametrize(("rows", "more"), [
    ("a,label\n1,0\n", ""), ("a,b,c,d,label\n1,2,3,nan,0\n", ""), ("a,b,c,d,label\n1,2,3,4,0\n", 'model = "other"'),
])  # fmt: skip
def test_rows_that_are_not_the_models_say_nothing(hub, started, tmp_path, rows, more):
    agent = agent_with(started, tmp_path, rows, more)
    hub.publish("1")
    agent.converge(agent.hub())
    assert states(hub) == ["serving"]
