"""Workloads of silent clusters: those that waited long enough start where there is room, and take it."""

from __future__ import annotations

import numpy as np

from tasks.migration.decide.joint import decide_rescues

TOTAL = np.array([[1.0, 2.0], [1.0, 3.0], [np.nan, np.inf]], np.float32)
SIZE, DUE = np.ones((3, 1)), np.ones(3, np.bool_)


def test_they_are_placed_together_and_their_room_is_gone_for_others() -> None:
    site, left = decide_rescues(TOTAL, SIZE, DUE, np.array([[1.0], [1.5]]), 1.0)
    assert site.tolist()[:2] == [1, 0]
    assert site[2] < 0
    assert left.tolist() == [[0.0], [0.5]]


def test_one_that_has_not_waited_stays_and_the_cap_lets_one_start_at_least() -> None:
    site, left = decide_rescues(TOTAL, SIZE, np.array([False, True, True]), np.array([[5.0], [5.0]]), 0.05)
    assert (site >= 0).tolist() == [False, True, False]
    assert left.tolist() == [[4.0], [5.0]]
    assert (decide_rescues(TOTAL, SIZE, ~DUE, np.ones((2, 1)), 1.0)[0] < 0).all()
