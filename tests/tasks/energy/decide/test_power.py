"""The power model: parts, bounds, laws, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from blocks.errors import InvalidInput, NotFound
from blocks.tables import cpu_families
from tasks.energy.decide.calibration import calibrate
from tasks.energy.decide.instance_types import machine_of
from tasks.energy.decide.power import Machine, model_power, seed_power

MACHINE = Machine("icelake", 8, memory_gib=32, gpus=2, gpu_tdp_w=300, pue=1.2)
RATIO = st.floats(0, 1)
MACHINES = st.builds(Machine, st.sampled_from(cpu_families()), st.floats(0, 512), st.floats(0, 4096), st.floats(0, 16),
                     st.floats(0, 1000), st.floats(1, 3))  # fmt: skip


@given(MACHINES, RATIO, RATIO)
def test_the_parts_add_up_and_lie_inside_the_bounds(machine: Machine, used: float, gpu_used: float) -> None:
    power = model_power(machine, used, gpu_used)
    assert power.central == pytest.approx(power.cpu + power.memory + power.gpu)
    assert power.low <= power.central <= power.high


@given(MACHINES, RATIO, RATIO)
def test_a_machine_never_draws_less_than_idle(machine: Machine, used: float, gpu_used: float) -> None:
    power = model_power(machine, used, gpu_used)
    assert power.central >= power.idle * (1 - 1e-12)
    assert model_power(machine, 0.0, 0.0).central == pytest.approx(power.idle)


@given(MACHINES, RATIO, st.integers(2, 9))
def test_a_machine_of_n_times_the_parts_draws_n_times_the_watts(machine: Machine, used: float, times: int) -> None:
    larger = replace(machine, threads=machine.threads * times, memory_gib=machine.memory_gib * times,
                     gpus=machine.gpus * times)  # fmt: skip
    assert model_power(larger, used).central == pytest.approx(times * model_power(machine, used).central)


@given(st.lists(st.tuples(RATIO, st.floats(0, 1e4)), min_size=4, max_size=40))
def test_a_fitted_curve_never_falls_and_keeps_the_mean_of_its_samples(samples: list[tuple[float, float]]) -> None:
    used, watts = np.array(samples).T
    assume(used.min() < used.max())
    fit = calibrate(used, watts)
    assert (np.diff(fit.watts) >= -1e-9).all()
    assert fit.power_w(used).sum() == pytest.approx(watts.sum(), abs=1e-6)


@given(st.lists(st.tuples(RATIO, st.floats(0, 1e4)), min_size=4, max_size=12), st.integers(0, 2**31))
def test_no_rising_curve_is_nearer_to_the_samples(samples: list[tuple[float, float]], seed: int) -> None:
    used, watts = np.array(samples).T
    assume(used.min() < used.max())
    fit = calibrate(used, watts)
    other = np.sort(np.random.default_rng(seed).uniform(0, 1e4, len(fit.knots)))
    ours, theirs = (np.square(np.interp(used, fit.knots, curve) - watts).sum() for curve in (fit.watts, other))
    assert ours <= theirs * (1 + 1e-9) + 1e-6


def test_what_is_not_known_stays_unknown() -> None:
    power = model_power(MACHINE, [0.5, np.nan])
    assert [np.isnan(each[1]) for each in (power.low, power.central, power.cpu, power.memory)] == [True] * 4
    assert np.isfinite(power.central[0])


@given(st.floats(0, 500), st.floats(0, 500), RATIO)
def test_a_machines_own_idle_and_full_watts_are_kept_at_both_ends(one: float, other: float, used: float) -> None:
    own = replace(MACHINE, idle_w=min(one, other), full_w=max(one, other), pue=1.0, gpus=0.0)
    power = model_power(own, [0.0, used, 1.0])
    assert power.central[[0, 2]].tolist() == pytest.approx([own.idle_w, own.full_w])
    assert own.idle_w - 1e-9 <= power.central[1] <= own.full_w + 1e-9
    assert power.idle == pytest.approx(own.idle_w)


@pytest.mark.parametrize(("own", "words"), [
    ({"idle_w": 90.0, "full_w": 20.0}, "idle_w is 90 and full_w 20"), ({"idle_w": 9.0}, "alone"),
    ({"idle_w": -1.0, "full_w": 2.0}, "idle_w is -1"), ({"idle_w": np.nan, "full_w": 2.0}, "idle_w is nan"),
])  # fmt: skip
def test_own_watts_that_cannot_be_are_refused_by_name(own: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        replace(MACHINE, **own)


def test_the_seeds_formula_knows_no_size() -> None:
    assert seed_power([0.0, 1.0], 0.5).tolist() == [175.0, 275.0]


@pytest.mark.parametrize(("name", "family", "threads", "memory_gib", "gpus"), [
    ("m5.2xlarge", "skylake", 8, 32, 0), ("c6i.large", "icelake", 2, 4, 0), ("r6g.xlarge", "epyc-gen2", 4, 32, 0),
    ("t3.micro", "skylake", 2, 1, 0), ("t2.micro", "haswell", 1, 1, 0), ("db.m5.large", "skylake", 2, 8, 0),
    ("p3.8xlarge", "broadwell", 32, 256, 4), ("n2-standard-8", "cascadelake", 8, 32, 0),
    ("c5n.large", "skylake", 2, 5.25, 0), ("c4.8xlarge", "haswell", 36, 64, 0), ("p2.xlarge", "broadwell", 4, 61, 1),
    ("e2-highcpu-16", "skylake", 16, 16, 0), ("Standard_D4s_v5", "icelake", 4, 16, 0),
    ("Standard_E16as_v5", "epyc-gen3", 16, 128, 0), ("Standard_F8s_v2", "haswell", 8, 16, 0),
])  # fmt: skip
def test_an_instance_type_is_read_from_its_name(
    name: str, family: str, threads: float, memory_gib: float, gpus: float
) -> None:
    found = machine_of(name)
    assert (found.cpu_family, found.threads, found.memory_gib, found.gpus) == (family, threads, memory_gib, gpus)


@pytest.mark.parametrize(
    "name", ["", "m5", "m5.", "m5.huge", "q9.large", "n2-standard", "Standard_Q4_v5", "m5.0largest"]
)
def test_a_type_that_is_not_known_is_named(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"instance type {name}: no such"):
        machine_of(name)


def test_factors_that_cannot_be_are_refused_by_name() -> None:
    for wrong, match in (({"pue": 0.9}, "pue is 0.9"), ({"threads": -1}, "threads is -1"), ({"gpus": np.inf}, "gpus")):
        with pytest.raises(InvalidInput, match=match):
            replace(MACHINE, **wrong)
    with pytest.raises(InvalidInput, match=r"utilisation is 1\.5"):
        model_power(MACHINE, [0.1, 1.5])
    with pytest.raises(NotFound, match="no CPU family 'abacus'"):
        model_power(replace(MACHINE, cpu_family="abacus"), 0.5)
    with pytest.raises(InvalidInput, match="3 usable samples"):
        calibrate([0, 0.5, 1, np.nan], [1, 2, 3, 4])
    with pytest.raises(InvalidInput, match="-5 W were metered"):
        calibrate([0, 0.5, 0.7, 1], [1, -5, 3, 4])
