"""On which node a pod goes: one number for each shape of pod and node, and the rules that give it.

A shape is what a pod asks for without memory and model: CPU, number of GPUs, share of each. A policy rates one node for
all shapes at once, whenever the node has changed; the highest whole number wins, ties go to the node that comes first.
The rules, constants and roundings are those of the simulator that published the figures we stand beside
(hkust-adsl/kubernetes-scheduler-simulator, pkg/simulator/plugin/*_score.go; Weng et al., USENIX ATC 2023), kube's
`LeastAllocated` that of kube-scheduler. Rounding is a part of the rule: without it FGD allocates 0.7 points less, since
a node that is better by a hair's breadth is opened where one in use would have done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.gpu_fragments import MILLI, FragmentTables

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


TIE = 1e-6
"""Weight of the free share among GPUs of the same fragment: far above rounding errors, far below a share."""
SLACK = 2e-3
"""An increase below this is none (covers `TIE` and rounding errors): 0 scores 50 and not 49 by chance."""
INCREASES = MILLI * np.log(100 / np.arange(99, 0, -1) - 1) + SLACK
"""(99,) the largest increases, in thousandths, that floor(100 / (1 + exp(increase in GPUs))) rates 99, 98, .. 1."""


@dataclass(frozen=True)
class Shapes:
    """K shapes, ascending by CPU: those whose CPU fits a node are the first ones.

    Attributes
    ----------
    cpu_milli, num_gpu, gpu_milli: (K,) gpu_milli of each GPU, 0 where none is asked for.
    kind: (K,) small number of what sort of GPU request it is: 0 none, 1 a share, then by number of GPUs.
    """

    cpu_milli: Ints
    num_gpu: Ints
    gpu_milli: Ints
    kind: Ints

    def first(self, count: int) -> Shapes:
        """The `count` shapes that ask for the least CPU (views)."""
        return Shapes(self.cpu_milli[:count], self.num_gpu[:count], self.gpu_milli[:count], self.kind[:count])


class NodeState(NamedTuple):
    """What one node has left (a tuple, since one is made for each decision).

    Attributes
    ----------
    model: its number. cpu_total, gpus: capacity. cpu_milli: free.
    shares: (U,) distinct free shares > 0 of its GPUs, ascending ([0] if there are none). counts: (U,) GPUs of each.
    free: the shares > 0 one by one, ascending. whole: wholly free GPUs. free_milli: sum over GPUs.
    kinds: the kinds of GPU requests that run there (kept for `gpuclustering` alone).
    """

    model: int
    cpu_total: int
    gpus: int
    cpu_milli: int
    shares: Ints
    counts: Ints
    free: tuple[int, ...]
    whole: int
    free_milli: int
    kinds: frozenset[int]


@dataclass(frozen=True)
class Scale:
    """What scores are measured against: the largest node, and the fragments of the expected mix."""

    most_cpu_milli: int
    most_gpu_milli: int
    tables: FragmentTables


Rating = tuple[Ints, Ints]
"""(K,) score of the node, higher is better, and (K,) free share of the GPU that a shape would go to."""
Rule = Callable[[Shapes, NodeState, Scale], Rating]


def tightest(shapes: Shapes, node: NodeState) -> Ints:
    """(K,) the least free share that is enough (undefined where none is)."""
    place = np.searchsorted(node.shares, shapes.gpu_milli)
    return np.asarray(node.shares.take(place, mode="clip"))


def fgd(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:
    """Fragmentation gradient descent: floor(100 / (1 + exp(dF))) of the increase dF in GPUs (`gpu_fragments`).

    On the node, the GPU of the smallest increase, and of equal ones that with the least free share.
    """
    tables, share, asked = scale.tables, node.shares, shapes.gpu_milli[:, None]
    step = tables.cpu_steps.searchsorted(node.cpu_milli - shapes.cpu_milli, side="right")
    by_free, by_whole = tables.by_free[node.model], tables.by_whole[node.model]
    at = (step * (MILLI + 1))[:, None] + share
    now = by_free.take(at)
    gone = now - by_free.take(at - asked, mode="clip")  # nonsense where too small: masked below
    after = now @ node.counts
    if node.whole:
        whole = step * tables.width + node.whole
        kept = by_whole.take(whole)
        after -= kept
    fragment = after[:, None] - gone * shapes.num_gpu[:, None] + share * TIE
    if node.whole:  # the last share is 1000: taking it leaves fewer whole GPUs
        fragment[:, -1] += kept - by_whole.take(whole - np.minimum(shapes.num_gpu, node.whole))
    fragment[share < asked] = np.inf
    best = fragment.argmin(axis=1)
    grown = fragment.min(axis=1) - tables.fragment(node.model, node.cpu_milli, node.free)
    return 99 - INCREASES.searchsorted(grown), share.take(best)


def bestfit(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:
    """The least CPU and GPU left over: floor(100 (1 - (CPU left / largest CPU + GPU left / largest GPU) / 2))."""
    cpu = (node.cpu_milli - shapes.cpu_milli) / scale.most_cpu_milli
    gpu = (node.free_milli - shapes.num_gpu * shapes.gpu_milli) / scale.most_gpu_milli
    return (100 * (1 - (cpu + gpu) / 2)).astype(np.int64), tightest(shapes, node)


def leastallocated(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:  # noqa: ARG001 one signature for all rules
    """The emptiest node, as kube-scheduler spreads: mean of the free shares of CPU and GPU after the pod, 0-100."""
    cpu = (node.cpu_milli - shapes.cpu_milli) * 100 // max(node.cpu_total, 1)
    gpu = (node.free_milli - shapes.num_gpu * shapes.gpu_milli) * 100 // max(node.gpus * MILLI, 1)
    return (cpu + gpu) // 2, tightest(shapes, node)


def equal(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:  # noqa: ARG001
    """Every node is as good as another (for `random`, which then draws)."""
    return np.zeros(len(shapes.cpu_milli), dtype=np.int64), tightest(shapes, node)


def dotprod(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:
    """The smallest inner product of what is asked for and what is free (Tetris, SIGCOMM 2014, turned round)."""
    cpu = shapes.cpu_milli / scale.most_cpu_milli * (node.cpu_milli / scale.most_cpu_milli)
    asked = shapes.num_gpu * shapes.gpu_milli / scale.most_gpu_milli
    gpu = asked * (node.free_milli / scale.most_gpu_milli)
    return (100 * (1 - (cpu + gpu) / 2)).astype(np.int64), tightest(shapes, node)


def gpupacking(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:  # noqa: ARG001
    """GPUs in use first, then free GPUs of nodes in use, then untouched nodes; pods without GPU anywhere (Salus)."""
    share, asked = tightest(shapes, node), shapes.num_gpu
    score = np.where(share < MILLI, 100 - share * 100 // MILLI // 10, np.maximum(50 - asked, 33))
    if node.whole == node.gpus:
        score = np.full(len(asked), max(33 - node.whole, node.whole), dtype=np.int64)
    return np.where(asked > 0, score, 0), share


def gpuclustering(shapes: Shapes, node: NodeState, scale: Scale) -> Rating:
    """Nodes that run this kind alone, then with others, then those without GPU pods, then the rest; fuller first."""
    fuller = 25 * (scale.most_gpu_milli - node.free_milli) // scale.most_gpu_milli
    same = np.isin(shapes.kind, list(node.kinds))
    there = 75 if len(node.kinds) == 1 else 50
    score = fuller + np.where(same, there, 0 if node.kinds else 25)
    return np.where(shapes.kind > 0, score, 0), tightest(shapes, node)


RULES: dict[str, Rule] = {
    "fgd": fgd,  # least new fragment, of the expected mix
    "bestfit": bestfit,  # least left over
    "leastallocated": leastallocated,  # most left over: kube-scheduler's default
    "random": equal,  # any node that fits
    "dotprod": dotprod,  # Tetris
    "gpupacking": gpupacking,  # Salus: GPUs in use first
    "gpuclustering": gpuclustering,  # Gandiva: like to like
}
