"""Secure aggregation: the sum comes out whoever dies, one update does not, and tampering is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import Refused
from tasks.federation.decide.secure import Member, decide_threshold, from_ring, to_ring, unmask

SIZE = 40


class World:
    def __init__(self, devices: int, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.members = [Member(number, draw.bytes(32), b"round 1") for number in range(1, devices + 1)]
        self.roster = [each.public() for each in self.members]
        self.threshold = decide_threshold(devices)
        shares = {each.number: each.hand_out(self.roster, self.threshold) for each in self.members}
        self.inbox = {to.number: {by: given[to.number] for by, given in shares.items()} for to in self.members}
        self.deltas = {each.number: draw.normal(size=SIZE).astype(np.float32) for each in self.members}

    def masked(self, member: Member) -> np.ndarray:
        return member.mask(to_ring(self.deltas[member.number], len(self.members)), self.roster)

    def total(self, answered: list[int], helping: list[int] | None = None) -> np.ndarray:
        some = [each for each in self.members if each.number in answered]
        masked = {each.number: self.masked(each) for each in some}
        revealed = {each.number: each.reveal(self.inbox[each.number], self.roster, answered, self.threshold)
                    for each in some if helping is None or each.number in helping}  # fmt: skip
        return from_ring(unmask(masked, self.roster, revealed, self.threshold), len(self.members))


@given(st.integers(2, 7), st.data())
def test_the_sum_comes_out_whoever_dies_as_long_as_enough_are_left(devices: int, data: st.DataObject) -> None:
    world = World(devices)
    numbers = list(range(1, devices + 1))
    answered = data.draw(st.lists(st.sampled_from(numbers), unique=True, min_size=world.threshold, max_size=devices))
    assert world.total(answered) == pytest.approx(sum(world.deltas[each] for each in answered), abs=1e-5)


def test_any_threshold_of_helpers_gives_the_same_sum() -> None:
    world = World(6)
    first = world.total([1, 2, 3, 4, 5], [1, 2, 3, 4])
    assert np.array_equal(first, world.total([1, 2, 3, 4, 5], [2, 3, 4, 5]))


def test_a_masked_update_looks_like_noise() -> None:
    world = World(4)
    one = world.masked(world.members[0]) - to_ring(world.deltas[1], 4)
    assert abs(one.astype(float).mean() / 2**32 - 0.5) < 0.2
    assert len(set(one.tolist())) == SIZE


def test_too_few_answers_are_never_unmasked() -> None:
    world = World(6)
    with pytest.raises(Refused, match="sum 4 at least"):
        world.total([1, 2, 3])
    with pytest.raises(Refused, match="wait for 4"):
        world.total([1, 2, 3, 4, 5], [1, 2])


def test_a_share_that_was_changed_is_refused() -> None:
    world = World(3)
    sealed = bytearray(world.inbox[1][2])
    sealed[5] ^= 1
    world.inbox[1][2] = bytes(sealed)
    with pytest.raises(Refused, match="device 2"):
        world.total([1, 2, 3])


def test_wrong_shares_do_not_give_a_dead_devices_key() -> None:
    world = World(3)
    masked = {each.number: world.masked(each) for each in world.members[:2]}
    revealed = {each.number: each.reveal(world.inbox[each.number], world.roster, [1, 2], 2) for each in
                world.members[:2]}  # fmt: skip
    revealed[1][3] += 1
    with pytest.raises(Refused, match="device 3"):
        unmask(masked, world.roster, revealed, 2)


def test_no_key_is_used_in_two_rounds() -> None:
    member = World(2).members[0]
    assert member.public() != Member(1, member.secret, b"round 2").public()
