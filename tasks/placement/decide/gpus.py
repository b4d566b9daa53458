"""Pods onto the GPUs of a cluster: queues placed by a policy, and the replay by which policies are compared.

GPUs are counted in thousandths: a pod asks for a share of one GPU (`num_gpu` 1, `gpu_milli` < 1000) or for whole ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.placement.decide.gpu_fragments import MILLI, FragmentTables, typical_mix
from tasks.placement.decide.gpu_packing import Packer, PodClasses
from tasks.placement.decide.gpu_policies import RULES, Scale, Shapes

Ints = NDArray[np.int64]

POLICIES = tuple(RULES)


@dataclass(frozen=True)
class GpuNodes:
    """N nodes.

    Attributes
    ----------
    name: N names. cpu_milli, memory_mib: (N,) capacity. gpus: (N,) number of GPUs, may be 0. model: N, "" where none.
    """

    name: tuple[str, ...]
    cpu_milli: Ints
    memory_mib: Ints
    gpus: Ints
    model: tuple[str, ...]


@dataclass(frozen=True)
class GpuPods:
    """P pods.

    Attributes
    ----------
    name: P names. cpu_milli, memory_mib: (P,) requests. num_gpu: (P,) GPUs, 0 none.
    gpu_milli: (P,) of each GPU: 1-1000, and 1000 where num_gpu > 1; 0 where num_gpu is 0.
    gpu_spec: P models that will do, separated by `|`; "" any.
    """

    name: tuple[str, ...]
    cpu_milli: Ints
    memory_mib: Ints
    num_gpu: Ints
    gpu_milli: Ints
    gpu_spec: tuple[str, ...]


@dataclass(frozen=True)
class Packed:
    """Where D pods went, in order of arrival.

    Attributes
    ----------
    pod: (D,) row of the pods. node: (D,) row of the nodes, -1 where no node had room.
    gpu_allocated_ratio: GPU requests that are placed / GPUs of the cluster, 0-1 (the FGD paper's metric).
    gpu_arrived_ratio: GPU requests that arrived / GPUs of the cluster.
    """

    pod: Ints
    node: Ints
    gpu_allocated_ratio: float
    gpu_arrived_ratio: float


def replay(nodes: GpuNodes, pods: GpuPods, policy: str, load: float, seed: int) -> Packed:
    """Fill an empty cluster with pods drawn from a list, with replacement, until `load` x its GPUs are asked for.

    Nobody leaves. The order of nodes and pods in their lists does not matter; the seed gives the draws, and the order
    in which nodes are taken that are equally good.

    Raises
    ------
    InvalidInput: unknown policy, no GPU in the cluster, no pod that asks for one, `load` not finite and > 0.
    """
    _check(nodes, pods, policy)
    if not (np.isfinite(load) and load > 0):
        raise InvalidInput(f"a load of {load:g} cannot be replayed", where="--load", fix="give a number above 0")
    draw = np.random.default_rng(seed)
    model, name = _coded(nodes.model)[1], _coded(nodes.name)[1]
    order = _sorted(model, nodes.gpus, nodes.cpu_milli, nodes.memory_mib, name)
    order = order[draw.permutation(len(order))]
    spec = _coded(pods.gpu_spec)[1]
    listed = _sorted(spec, pods.gpu_milli, pods.num_gpu, pods.memory_mib, pods.cpu_milli)
    asked = (pods.num_gpu * pods.gpu_milli)[listed]
    most = load * MILLI * int(nodes.gpus.sum())
    drawn = np.empty(0, dtype=np.int64)
    while asked[drawn].sum() < most:
        drawn = np.concatenate([drawn, draw.integers(len(listed), size=1 + int(most / asked.mean()) // 8)])
    last = int(np.searchsorted(np.cumsum(asked[drawn]), most)) + 1
    return _fill(nodes, pods, policy, seed, order, listed[drawn[:last]])


def pack(nodes: GpuNodes, pods: GpuPods, policy: str, seed: int = 0) -> Packed:
    """Place every pod once, in the given order, on an empty cluster; equally good nodes are taken in their order.

    The mix that `fgd` expects to come is that of the pods themselves.

    Raises
    ------
    InvalidInput: unknown policy, no GPU in the cluster, no pod that asks for one.
    """
    _check(nodes, pods, policy)
    return _fill(nodes, pods, policy, seed, np.arange(len(nodes.name)), np.arange(len(pods.name)))


def _check(nodes: GpuNodes, pods: GpuPods, policy: str) -> None:
    if policy not in RULES:
        raise InvalidInput(f"there is no policy {policy}", where="--policy", fix=f"use one of {', '.join(POLICIES)}")
    if not nodes.gpus.sum():
        raise InvalidInput("no node has a GPU", where="nodes", fix="list the cluster's GPU nodes")
    if not (pods.num_gpu * pods.gpu_milli).sum():
        raise InvalidInput("no pod asks for a GPU", where="pods", fix="list pods with num_gpu and gpu_milli")


def _coded(names: tuple[str, ...]) -> tuple[list[str], Ints]:
    """The distinct names in order, and the number of each name among them."""
    distinct = sorted(set(names))
    number = {name: at for at, name in enumerate(distinct)}
    return distinct, np.array([number[name] for name in names], dtype=np.int64)


def _sorted(*keys: NDArray[np.generic]) -> Ints:
    return np.asarray(np.lexsort(keys[::-1]))


def _fill(nodes: GpuNodes, pods: GpuPods, policy: str, seed: int, order: Ints, arrivals: Ints) -> Packed:
    models, model = _coded(nodes.model)
    requests = np.stack([pods.cpu_milli, pods.num_gpu, pods.gpu_milli], axis=1)
    shape, shape_of = np.unique(requests, axis=0, return_inverse=True)  # ascending by CPU first
    shapes = Shapes(shape[:, 0].copy(), shape[:, 1].copy(), shape[:, 2].copy(), _kind(shape))
    sets, spec = _coded(pods.gpu_spec)
    allowed = np.array([[not one or name in one.split("|") for name in models] for one in sets])
    bound = np.where(
        (np.array(sets) != "")[spec] & (pods.num_gpu > 0), spec, -1
    )  # a pod without GPU is bound to no model
    distinct, class_of = np.unique(np.stack([shape_of, pods.memory_mib, bound], axis=1), axis=0, return_inverse=True)
    classes = PodClasses(distinct[:, 0], distinct[:, 1], distinct[:, 2], allowed)
    expected, counts = np.unique(np.stack([shape_of, bound], axis=1), axis=0, return_counts=True)
    anywhere = np.ones((1, len(models)), dtype=np.bool_)
    cpu, num_gpu, gpu_milli = shape[expected[:, 0]].T
    mix = typical_mix(cpu, num_gpu, gpu_milli, np.concatenate([allowed, anywhere])[expected[:, 1]], counts)
    most_gpus = int(nodes.gpus.max())
    scale = Scale(max(int(nodes.cpu_milli.max()), 1), most_gpus * MILLI, FragmentTables.of(mix, most_gpus))
    packer = Packer(nodes.cpu_milli[order], nodes.memory_mib[order], nodes.gpus[order], model[order], shapes, classes,
                    scale, policy, seed)  # fmt: skip
    went = np.array([packer.place(number) for number in class_of[arrivals].tolist()], dtype=np.int64)
    asked, total = (pods.num_gpu * pods.gpu_milli)[arrivals], MILLI * int(nodes.gpus.sum())
    return Packed(arrivals, np.where(went >= 0, order[went], -1), float(asked[went >= 0].sum() / total),
                  float(asked.sum() / total))  # fmt: skip


def _kind(shape: Ints) -> Ints:
    """0 no GPU, 1 a share of one, 2 one, 3 two, ..."""
    return np.where(shape[:, 1] == 0, 0, shape[:, 1] + (shape[:, 2] == MILLI))
