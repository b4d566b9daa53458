import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import NotFound
from blocks.fleet import Fleet
from deployments.local.clock import SimulatedClock
from deployments.local.world import HISTORY_S, World

START_S = 1_767_614_400.0  # Monday 2026-01-05 12:00 UTC
ZONES = {"berlin": "Europe/Berlin", "tokyo": "Asia/Tokyo", "dallas": "America/Chicago"}
CAPACITY = {"cpu_cores": 20 * 4.0, "memory_bytes": 20 * 16 * 2**30}


def fleet(*names):
    pool = {"instance_type": "box", "min_nodes": 2, "max_nodes": 20, "node_cpu": 4, "node_memory": "16Gi"}
    return Fleet.model_validate(
        {
            "name": "test",
            "metrics": {"url": "http://127.0.0.1"},
            "sites": [
                {
                    "name": name,
                    "tier": "near-edge",
                    "latitude": 0,
                    "longitude": 0,
                    "time_zone": ZONES[name],
                }
                for name in names
            ],
            "clusters": [
                {"name": name, "site": name, "provider": "eks", "node_pools": [{"name": "web", **pool}]}
                for name in names
            ],
        }
    )


def build(*names, seed=7):
    return World(fleet(*names), SimulatedClock(START_S, speed=0), START_S, seed)


@pytest.fixture(scope="module")
def world():
    return build(*ZONES)


HISTORY = START_S - HISTORY_S + np.arange(8640) * 300.0
POOLS = [f"{name}/web" for name in ZONES]


def test_two_worlds_of_one_seed_are_the_same(world):
    for kind in CAPACITY:
        assert build(*ZONES).demand(kind, "tokyo/web", HISTORY).tolist() == (
            world.demand(kind, "tokyo/web", HISTORY).tolist()
        )


def test_another_seed_gives_another_world(world):
    other = build(*ZONES, seed=8).demand("cpu_cores", "tokyo/web", HISTORY)
    assert not np.allclose(other, world.demand("cpu_cores", "tokyo/web", HISTORY), rtol=0.01)


def test_a_pool_does_not_depend_on_the_other_pools(world):
    alone = build("tokyo").demand("cpu_cores", "tokyo/web", HISTORY)
    assert alone.tolist() == world.demand("cpu_cores", "tokyo/web", HISTORY).tolist()


@settings(max_examples=25)
@given(st.lists(st.floats(-31 * 86_400, 400 * 86_400), min_size=1, max_size=10), st.sampled_from(sorted(CAPACITY)))
def test_demand_at_a_time_does_not_depend_on_what_else_is_asked(world, offsets, kind):
    times = START_S + np.array(offsets)
    together = world.demand(kind, "berlin/web", times)
    assert together.tolist() == [float(world.demand(kind, "berlin/web", [at])[0]) for at in times]
    assert np.all((together > 0) & (together < 1.5 * CAPACITY[kind]))


def test_two_pools_of_one_time_zone_have_their_own_waves():
    berlin = fleet("berlin")
    other = berlin.clusters[0].model_copy(update={"name": "other"})
    both = berlin.model_copy(update={"clusters": [*berlin.clusters, other]})
    world = World(both, SimulatedClock(START_S, speed=0), START_S, 7)
    ratio = world.demand("cpu_cores", "berlin/web", HISTORY) / world.demand("cpu_cores", "other/web", HISTORY)
    hourly = np.log(ratio).reshape(-1, 12).mean(axis=1)
    assert np.std(hourly) > 0.03  # one wave with two noises would give 0.01


def test_demand_is_linear_between_steps(world):
    step_s = START_S // 300 * 300
    at_0, at_100, at_300 = world.demand("cpu_cores", "berlin/web", [step_s, step_s + 100, step_s + 300])
    assert at_100 == pytest.approx(at_0 + (at_300 - at_0) / 3)


@pytest.mark.parametrize("pool", POOLS)
def test_cpu_peaks_at_70_to_80_percent_of_what_the_pool_can_hold(world, pool):
    low, high = np.quantile(world.demand("cpu_cores", pool, HISTORY), [0.0, 0.99]) / CAPACITY["cpu_cores"]
    assert 0.69 <= high <= 0.81
    assert low > 1.2 * 2 / 20


@pytest.mark.parametrize("pool", POOLS)
def test_a_typical_day_peaks_at_1_8_to_3_times_its_trough(world, pool):
    hours = world.demand("cpu_cores", pool, HISTORY).reshape(-1, 288)
    smooth = np.array([np.convolve(day, np.ones(6) / 6, "valid") for day in hours])
    assert 1.7 <= np.median(smooth.max(axis=1) / smooth.min(axis=1)) <= 3.0


@pytest.mark.parametrize(("pool", "utc_offset_h"), [("berlin/web", 1), ("tokyo/web", 9), ("dallas/web", -6)])
def test_the_daily_wave_follows_local_time(world, pool, utc_offset_h):
    local_hour = ((HISTORY / 3600 + utc_offset_h) % 24).astype(int)
    demand = world.demand("cpu_cores", pool, HISTORY)
    mean_day = np.array([demand[local_hour == hour].mean() for hour in range(24)])
    assert 1 <= mean_day.argmin() <= 7
    assert 9 <= mean_day.argmax() <= 20


def test_weekends_are_quieter_by_local_days(world):
    local_day = ((HISTORY + 9 * 3600) // 86_400).astype(int) + 3
    demand = world.demand("cpu_cores", "tokyo/web", HISTORY)
    weekend = np.isin(local_day % 7, [5, 6])
    assert demand[weekend].mean() < 0.9 * demand[~weekend].mean()


def test_the_first_day_after_the_start_is_no_copy_of_the_week_before(world):
    day = START_S + np.arange(288) * 300.0
    ahead, week_ago = (world.demand("cpu_cores", "berlin/web", day + shift) for shift in (0, -7 * 86_400))
    assert np.std(np.log(ahead / week_ago)) > 0.04  # noise alone, drawn twice, would give 0.03


def test_cpu_seconds_are_the_integral_of_the_cores(world):
    times = START_S + np.array([-40_000.0, -39_000.5, -1.0, 90_000.0, 90_017.3])
    fine = np.arange(times[0], times[-1] + 0.05, 0.1)
    cores = world.demand("cpu_cores", "berlin/web", fine)
    integral = np.concatenate([[0.0], np.cumsum((cores[1:] + cores[:-1]) / 2 * 0.1)])
    grown = world.cpu_seconds("berlin/web", times) - world.cpu_seconds("berlin/web", times[:1])
    assert grown == pytest.approx(np.interp(times, fine, integral), rel=1e-6, abs=1e-3)


def test_cpu_seconds_do_not_depend_on_what_was_asked_before(world):
    near, far = START_S, START_S + 300 * 86_400.0
    stepwise = build("dallas")
    asked = [float(stepwise.cpu_seconds("dallas/web", [at])[0]) for at in (near, far, near)]
    assert asked == pytest.approx(world.cpu_seconds("dallas/web", [near, far, near]), rel=1e-12)


def test_the_cheap_reading_of_now_is_the_demand_of_the_last_whole_minute():
    world = build("tokyo")
    for seconds in (0, 90, 7 * 3600 + 17, 40 * 3600):
        world.clock.advance(seconds)
        minute = [world.clock.now() // 60 * 60]
        for kind in CAPACITY:
            assert world.demand_now(kind, "tokyo/web") == pytest.approx(world.demand(kind, "tokyo/web", minute)[0])
        assert world.wave_now("default/shop", "tokyo") == pytest.approx(world.wave("default/shop", "tokyo", minute)[0])


def test_a_workloads_wave_peaks_at_one_and_follows_local_time(world):
    wave = world.wave("default/shop", "tokyo", HISTORY)
    assert np.quantile(wave, 0.99) == pytest.approx(1)
    local_hour = ((HISTORY / 3600 + 9) % 24).astype(int)
    assert 1 <= np.array([wave[local_hour == hour].mean() for hour in range(24)]).argmin() <= 7


def test_an_unknown_pool_is_named_with_those_there_are(world):
    with pytest.raises(NotFound, match="berlin/web"):
        world.demand("cpu_cores", "berlin/db", [START_S])


def test_an_unknown_kind_is_refused(world):
    with pytest.raises(NotFound, match="cpu_cores"):
        world.demand("gpu", "berlin/web", [START_S])
