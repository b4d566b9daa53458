"""GPU packing: never over capacity, whole GPUs stay whole, tables are the definition, and the paper's figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from blocks.settings import data_dir
from tasks.placement.decide.gpu_fragments import MILLI, FragmentTables, PodMix, typical_mix
from tasks.placement.decide.gpus import POLICIES, GpuNodes, GpuPods, Packed, pack, replay
from tasks.placement.gpu_files import read_nodes, read_pods

MODELS = ("A10", "G2", "T4")
NODE = st.tuples(st.integers(0, 64), st.integers(1, 64), st.integers(0, 8), st.sampled_from(MODELS))
POD = st.tuples(
    st.integers(0, 32), st.integers(0, 32), st.sampled_from([0, 1, 1, 1, 2, 4, 8]), st.integers(1, 10),
    st.sampled_from(["", "", "T4", "A10|G2", "H100"]),
)  # fmt: skip


def nodes_of(rows: list[tuple]) -> GpuNodes:
    cpu, memory, gpus, model = zip(*rows, strict=True)
    return GpuNodes(tuple(f"n{row}" for row in range(len(rows))), 1000 * np.array(cpu), 1024 * np.array(memory),
                    np.array(gpus), model)  # fmt: skip


def pods_of(rows: list[tuple]) -> GpuPods:
    cpu, memory, num, tenths, spec = zip(*rows, strict=True)
    milli = np.where(np.array(num) > 1, MILLI, 100 * np.array(tenths)) * (np.array(num) > 0)
    return GpuPods(tuple(f"p{row}" for row in range(len(rows))), 1000 * np.array(cpu), 1024 * np.array(memory),
                   np.array(num), milli, spec)  # fmt: skip


CLUSTERS = st.lists(NODE, min_size=1, max_size=6).filter(lambda rows: any(row[2] for row in rows)).map(nodes_of)
QUEUES = st.lists(POD, min_size=1, max_size=30).filter(lambda rows: any(row[2] for row in rows)).map(pods_of)


def packable(gpus: int, shares: list[int], capacity: int = MILLI) -> bool:
    """Whether shares fit on some GPUs at all (first-fit decreasing is enough to say yes; its no is checked by sums)."""
    free = [capacity] * gpus
    for share in sorted(shares, reverse=True):
        tight = [at for at, left in enumerate(free) if left >= share]
        if not tight:
            return sum(shares) <= gpus * capacity
        free[tight[0]] -= share
    return True


@settings(deadline=None)
@given(CLUSTERS, QUEUES, st.sampled_from(POLICIES))
def test_no_node_is_ever_given_more_than_it_has_nor_a_model_that_a_pod_refuses(nodes, pods, policy):
    done = pack(nodes, pods, policy)
    for node in range(len(nodes.name)):
        here = done.pod[done.node == node]
        assert pods.cpu_milli[here].sum() <= nodes.cpu_milli[node]
        assert pods.memory_mib[here].sum() <= nodes.memory_mib[node]
        whole = int(pods.num_gpu[here][pods.gpu_milli[here] == MILLI].sum())
        shares = pods.gpu_milli[here][(pods.num_gpu[here] == 1) & (pods.gpu_milli[here] < MILLI)]
        assert whole <= nodes.gpus[node]
        assert packable(int(nodes.gpus[node]) - whole, shares.tolist())
        for pod in here:
            asked = pods.gpu_spec[pod]
            assert not asked or not pods.num_gpu[pod] or nodes.model[node] in asked.split("|")


@settings(deadline=None)
@given(CLUSTERS, QUEUES, st.sampled_from(POLICIES))
def test_a_pod_is_left_out_only_where_no_node_alone_could_have_held_it_or_others_are_there(nodes, pods, policy):
    done = pack(nodes, pods, policy)
    first = done.pod[0]
    fits = (
        (nodes.cpu_milli >= pods.cpu_milli[first])
        & (nodes.memory_mib >= pods.memory_mib[first])
        & (nodes.gpus >= pods.num_gpu[first])
    )
    asked = pods.gpu_spec[first] if pods.num_gpu[first] else ""
    fits &= np.array([not asked or model in asked.split("|") for model in nodes.model])
    assert (done.node[0] >= 0) == fits.any()


def test_whole_gpus_are_not_shared():
    nodes = nodes_of([(64, 64, 2, "T4")])
    pods = pods_of([(1, 1, 1, 1, ""), (1, 1, 2, 10, ""), (1, 1, 1, 10, ""), (1, 1, 1, 9, ""), (1, 1, 1, 1, "")])
    for policy in POLICIES:
        done = pack(nodes, pods, policy)
        assert done.node[:3].tolist() == [0, -1, 0]
        assert done.gpu_allocated_ratio <= 1
    assert pack(nodes, pods, "fgd").node.tolist() == [0, -1, 0, 0, -1]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_cluster_without_cpu_holds_what_asks_for_none(policy):
    nodes, pods = nodes_of([(0, 8, 1, "T4")]), pods_of([(0, 1, 1, 5, ""), (1, 1, 1, 5, "")])
    assert pack(nodes, pods, policy).node.tolist() == [0, -1]


def by_definition(mix: PodMix, model: int, cpu: int, free: list[int]) -> float:
    """The paper's sum over pod classes, class by class."""
    total = 0.0
    for row in range(len(mix.share)):
        asked, each = int(mix.num_gpu[row]), int(mix.gpu_milli[row])
        holds = sum(share >= each for share in free) >= asked
        runs = asked > 0 and mix.cpu_milli[row] <= cpu and bool(mix.allowed[row, model]) and holds
        total += mix.share[row] * sum(share for share in free if not runs or share < each)
    return total


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 32), st.sampled_from([0, 1, 1, 2, 4]), st.integers(1, 10),
                       st.tuples(st.booleans(), st.booleans())), min_size=1, max_size=12),
    st.integers(0, 1), st.integers(0, 40), st.lists(st.integers(0, 10), max_size=8),
)  # fmt: skip
def test_the_fragment_from_tables_is_the_sum_over_pod_classes(classes, model, cpu, tenths):
    share, cpus, num, parts, allowed = (np.array(column) for column in zip(*classes, strict=True))
    milli = np.where(num > 1, MILLI, 100 * parts) * (num > 0)
    mix = PodMix(share / share.sum(), 1000 * cpus, num, milli, allowed)
    tables = FragmentTables.of(mix, 8)
    free = [100 * part for part in tenths]
    assert tables.fragment(model, 1000 * cpu, free) == pytest.approx(by_definition(mix, model, 1000 * cpu, free))


def slow_fgd(nodes: GpuNodes, pods: GpuPods) -> list[int]:
    """FGD that reckons every node anew for each pod, from the definition."""
    keys = list(zip(pods.cpu_milli, pods.num_gpu, pods.gpu_milli, pods.gpu_spec, strict=True))
    keys = [(*key[:3], key[3] if key[1] else "") for key in keys]
    distinct = sorted(set(keys))
    models = sorted(set(nodes.model))
    cpu, num, milli = (np.array([int(key[at]) for key in distinct]) for at in range(3))
    allowed = np.array([[not key[3] or model in key[3].split("|") for model in models] for key in distinct])
    mix = typical_mix(cpu, num, milli, allowed, np.array([keys.count(key) for key in distinct]))
    left = [[int(c), int(m), [MILLI] * int(g)] for c, m, g in zip(nodes.cpu_milli, nodes.memory_mib, nodes.gpus,
                                                               strict=True)]  # fmt: skip
    went = []
    for row, key in enumerate(keys):
        options = []
        for at, (free_cpu, free_memory, free) in enumerate(left):
            model = models.index(nodes.model[at])
            if free_cpu < key[0] or free_memory < pods.memory_mib[row]:
                continue
            if key[1] and key[3] and nodes.model[at] not in key[3].split("|"):
                continue
            for after in takes(free, int(key[1]), int(key[2])):
                grown = by_definition(mix, model, free_cpu - int(key[0]), after) - by_definition(
                    mix, model, free_cpu, free
                )
                score = int(100 / (1 + np.exp(grown / MILLI - 1e-6)))
                options.append((-score, at, round(grown, 6), after))
        if not options:
            went.append(-1)
            continue
        _, at, _, after = min(options, key=lambda option: option[:3])
        left[at] = [left[at][0] - int(key[0]), left[at][1] - int(pods.memory_mib[row]), after]
        went.append(at)
    return went


def takes(free: list[int], num: int, milli: int) -> list[list[int]]:
    """Every state of a node's GPUs after a pod, the tightest GPU first."""
    if num == 0:
        return [list(free)]
    if num > 1:
        whole = [at for at, share in enumerate(free) if share == MILLI][:num]
        return [[0 if at in whole else share for at, share in enumerate(free)]] if len(whole) == num else []
    order = sorted((share, at) for at, share in enumerate(free) if share >= milli)
    return [[share - milli if at == chosen else share for at, share in enumerate(free)] for _, chosen in order]


@settings(deadline=None, max_examples=60)
@given(CLUSTERS, QUEUES)
def test_the_incremental_fgd_does_what_reckoning_every_node_anew_does(nodes, pods):
    assert pack(nodes, pods, "fgd").node.tolist() == slow_fgd(nodes, pods)


def small() -> tuple[GpuNodes, GpuPods]:
    nodes = nodes_of([(32, 64, 4, "T4"), (64, 64, 8, "G2"), (16, 32, 2, "A10"), (32, 64, 4, "T4")])
    pods = pods_of([(4, 4, 1, 5, ""), (2, 2, 1, 3, ""), (8, 8, 1, 10, "T4"), (16, 8, 4, 10, ""), (4, 4, 0, 1, "")])
    return nodes, pods


@pytest.mark.parametrize("policy", POLICIES)
@given(order=st.permutations(range(4)), listed=st.permutations(range(5)))
@settings(deadline=None, max_examples=15)
def test_the_order_of_rows_in_the_files_changes_no_replay(policy, order, listed):
    nodes, pods = small()
    turned = GpuNodes(tuple(nodes.name[at] for at in order), nodes.cpu_milli[order], nodes.memory_mib[order],
                      nodes.gpus[order], tuple(nodes.model[at] for at in order))  # fmt: skip
    mixed = GpuPods(tuple(pods.name[at] for at in listed), pods.cpu_milli[listed], pods.memory_mib[listed],
                    pods.num_gpu[listed], pods.gpu_milli[listed],
                    tuple(pods.gpu_spec[at] for at in listed))  # fmt: skip
    one, other = replay(nodes, pods, policy, 1.3, 7), replay(turned, mixed, policy, 1.3, 7)
    assert one.gpu_allocated_ratio == other.gpu_allocated_ratio
    names = [
        [nodes.name[at] if at >= 0 else "" for at in one.node],
        [turned.name[at] if at >= 0 else "" for at in other.node],
    ]
    assert names[0] == names[1]


@given(st.floats(0.05, 3), st.integers(0, 5))
@settings(deadline=None, max_examples=25)
def test_pods_arrive_until_the_load_is_reached_and_no_further(load, seed):
    nodes, pods = small()
    done = replay(nodes, pods, "bestfit", load, seed)
    last = pods.num_gpu[done.pod[-1]] * pods.gpu_milli[done.pod[-1]] / (MILLI * nodes.gpus.sum())
    assert load <= done.gpu_arrived_ratio < load + last + 1e-9
    assert done.gpu_allocated_ratio <= min(done.gpu_arrived_ratio, 1)


def test_the_same_seed_gives_the_same_replay_and_another_another():
    nodes, pods = small()
    runs = [replay(nodes, pods, "random", 2.0, seed).node.tolist() for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_fgd_leaves_the_room_that_the_mix_needs():
    nodes = nodes_of([(64, 64, 1, "T4"), (64, 64, 1, "T4")])
    pods = pods_of([(1, 1, 1, 4, ""), (1, 1, 1, 4, ""), (1, 1, 1, 10, "")])
    assert pack(nodes, pods, "fgd").node.tolist() == [0, 0, 1]
    assert pack(nodes, pods, "leastallocated").node.tolist() == [0, 1, -1]


def test_of_gpus_that_cost_the_same_fgd_takes_the_one_with_the_least_left():
    nodes = nodes_of(
        [(64, 64, 2, "T4")]
    )  # the whole GPU is too rare to be in the mix: nothing but the tie speaks for it
    pods = pods_of([(1, 1, 1, 1, "")] * 9 + [(1, 1, 1, 10, "")] + [(1, 1, 1, 1, "")] * 30)
    assert pack(nodes, pods, "fgd").node[9] == 0


def test_what_cannot_be_replayed_is_refused_in_one_line():
    nodes, pods = small()
    with pytest.raises(InvalidInput, match="no policy best"):
        replay(nodes, pods, "best", 1.3, 0)
    for load in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="load"):
            replay(nodes, pods, "fgd", load, 0)
    with pytest.raises(InvalidInput, match="no node has a GPU"):
        replay(replace(nodes, gpus=0 * nodes.gpus), pods, "fgd", 1.3, 0)
    with pytest.raises(InvalidInput, match="no pod asks for a GPU"):
        replay(nodes, replace(pods, num_gpu=0 * pods.num_gpu, gpu_milli=0 * pods.gpu_milli), "fgd", 1.3, 0)


def openb(name: str) -> Path:
    folder = data_dir()
    if folder is None or not (folder / "alibaba-gpu-2023").is_dir():
        pytest.skip("CONTINUUM_DATA does not name a folder with alibaba-gpu-2023")
    return folder / "alibaba-gpu-2023" / f"openb_{name}.csv.gz"


@pytest.mark.parametrize(
    ("policy", "published"),
    [("fgd", 95.39), ("bestfit", 93.08), ("gpupacking", 92.00), ("gpuclustering", 91.88), ("dotprod", 90.85),
     ("random", 87.47)],
)  # fmt: skip
def test_every_policy_allocates_what_was_published_for_the_default_list(policy, published):
    nodes, _ = read_nodes(openb("node_list_gpu_node"))
    pods, _ = read_pods(openb("pod_list_default"))
    runs: list[Packed] = [replay(nodes, pods, policy, 1.3, seed) for seed in (101, 102)]
    assert 100 * np.mean([run.gpu_allocated_ratio for run in runs]) == pytest.approx(published, abs=0.9)
