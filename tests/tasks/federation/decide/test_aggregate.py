"""Rules that make one update of many: brute force agrees, hostile ones are outvoted, memory maps do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from tasks.federation.decide import aggregate
from tasks.federation.decide.aggregate import RULES, Stand, UpdateRows, norms_of, rule_of


def stand(updates: UpdateRows, hostile: int = 0) -> Stand:
    return Stand(np.ones(len(updates)), norms_of(updates), hostile)


def some(count: int, size: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def test_the_mean_weighs_by_rows_and_cuts_to_the_median_norm() -> None:
    updates = np.array([[3, 4], [0, 1], [0, -1]], np.float32)
    told = Stand(np.array([2.0, 1.0, 1.0]), norms_of(updates))
    assert RULES["mean"](updates, told) == pytest.approx([2 * 0.6 / 4, 2 * 0.8 / 4])


@given(count=st.integers(1, 12), hostile=st.integers(0, 6), seed=st.integers(0, 99))
def test_trimmed_mean_and_median_agree_with_scipy_and_numpy(count: int, hostile: int, seed: int) -> None:
    updates, cut = some(count, seed=seed), min(hostile, (count - 1) // 2)
    expected = trim_mean(updates.astype(float), (cut + 1e-9) / count, axis=0)
    assert RULES["trimmed-mean"](updates, stand(updates, hostile)) == pytest.approx(expected, abs=1e-6)
    assert RULES["median"](updates, stand(updates)) == pytest.approx(np.median(updates, axis=0), abs=1e-6)


def krum_by_hand(updates: np.ndarray, hostile: int) -> list[int]:
    count, exact = len(updates), updates.astype(float)
    scores = []
    for one in range(count):
        near = sorted(float(((exact[one] - exact[other]) ** 2).sum()) for other in range(count) if other != one)
        scores.append(sum(near[: count - hostile - 2]))
    return sorted(np.argsort(scores, kind="stable")[: count - hostile].tolist())


@given(count=st.integers(5, 12), seed=st.integers(0, 99))
def test_multi_krum_keeps_what_its_definition_keeps(count: int, seed: int) -> None:
    updates, hostile = some(count, seed=seed), (count - 3) // 2
    kept = updates[krum_by_hand(updates, hostile)]
    assert RULES["multi-krum"](updates, stand(updates, hostile)) == pytest.approx(
        RULES["mean"](kept, stand(kept)), abs=1e-5
    )


@pytest.mark.parametrize("rule", ["multi-krum", "trimmed-mean", "median"])
def test_two_of_seven_hostile_updates_do_not_turn_the_step(rule: str) -> None:
    honest = 1 + 0.1 * some(5)
    updates = np.concatenate([honest, -5 * honest[:2]])
    assert RULES[rule](updates, stand(updates, 2)).min() > 0.5


@pytest.mark.parametrize("rule", list(RULES))
def test_identical_updates_come_out_as_they_are(rule: str) -> None:
    for count in (1, 2, 3, 8):
        updates = np.tile(some(1), (count, 1))
        assert RULES[rule](updates, stand(updates, 1)) == pytest.approx(updates[0], abs=1e-6)


@pytest.mark.parametrize("rule", list(RULES))
def test_a_memory_map_in_pieces_gives_what_arrays_give(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = some(9, 1000)
    mapped = np.memmap(tmp_path / "updates", np.float32, "w+", shape=updates.shape)
    mapped[:] = updates
    whole = RULES[rule](list(updates), stand(updates, 2))
    monkeypatch.setattr(aggregate, "CHUNK", 77)
    assert RULES[rule](mapped, stand(mapped, 2)) == pytest.approx(whole, abs=1e-6)
    assert np.array_equal(mapped, updates)


def test_auto_is_multi_krum_as_soon_as_a_hostile_share_is_assumed() -> None:
    assert [rule_of("auto", 0.0), rule_of("auto", 0.01), rule_of("median", 0.2)] == ["mean", "multi-krum", "median"]
