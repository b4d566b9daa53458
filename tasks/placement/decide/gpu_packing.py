"""A cluster being filled: a decision looks up the best node of a pod's shape, then rates again the one that changed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.gpu_fragments import MILLI
from tasks.placement.decide.gpu_policies import RULES, NodeState, Scale, Shapes

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NOWHERE = np.iinfo(np.int32).max
REMEMBERED = 100_000
"""States of nodes whose ratings are kept: a quarter to a third of the decisions on openb meet one again."""


@dataclass(frozen=True)
class PodClasses:
    """C distinct pods.

    Attributes
    ----------
    shape: (C,) row in the shapes. memory_mib: (C,). models: (C,) row of `allowed`, -1 any.
    allowed: (A, L) models of each set of models that some class is bound to.
    """

    shape: Ints
    memory_mib: Ints
    models: Ints
    allowed: Bools


class Packer:
    """N nodes that are filled pod by pod; ties between nodes go to the first one.

    Parameters
    ----------
    cpu_milli, memory_mib, gpus, model: (N,) capacities and the number of the GPU model.
    shapes, classes: what may come. policy: a key of `RULES`. seed: only for `random`.
    """

    def __init__(
        self,
        cpu_milli: Ints,
        memory_mib: Ints,
        gpus: Ints,
        model: Ints,
        shapes: Shapes,
        classes: PodClasses,
        scale: Scale,
        policy: str,
        seed: int,
    ) -> None:
        self._rule, self._policy = RULES[policy], policy
        self._draw = np.random.default_rng(seed)
        self._shapes = [shapes.first(count) for count in range(len(shapes.cpu_milli) + 1)]
        self._scale = scale
        self.cpu_milli, self.memory_mib = cpu_milli.copy(), memory_mib.copy()
        self._free = [(MILLI,) * count for count in gpus.tolist()]  # shares > 0, ascending
        self._kinds: list[frozenset[int]] = [frozenset()] * len(gpus)
        self._hardware = list(zip(model.tolist(), cpu_milli.tolist(), gpus.tolist(), strict=True))
        self._where = classes.allowed[:, model]  # (A, N)
        self._classes = list(
            zip(classes.shape.tolist(), classes.memory_mib.tolist(), classes.models.tolist(), strict=True)
        )
        self._asks = list(
            zip(shapes.cpu_milli.tolist(), shapes.num_gpu.tolist(), shapes.gpu_milli.tolist(), shapes.kind.tolist(),
                strict=True)
        )  # fmt: skip
        self._rated: dict[Hashable, tuple[NDArray[np.int32], NDArray[np.int16]]] = {}
        self._cost = np.empty((len(shapes.cpu_milli), len(gpus)), dtype=np.int32)
        self._share = np.empty((len(shapes.cpu_milli), len(gpus)), dtype=np.int16)
        for node in range(len(gpus)):
            self._rate(node)

    def _rate(self, node: int) -> None:
        """Score one node anew for every shape; nodes in the same state are scored once."""
        state = (self._hardware[node], int(self.cpu_milli[node]), self._free[node], self._kinds[node])
        rated = self._rated.get(state)
        if rated is None:
            if len(self._rated) >= REMEMBERED:
                self._rated.clear()
            rated = self._rated[state] = self._rating(*state)
        self._cost[:, node], self._share[:, node] = rated

    def _rating(
        self, hardware: tuple[int, int, int], cpu: int, free: tuple[int, ...], kinds: frozenset[int]
    ) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
        fits = int(self._shapes[-1].cpu_milli.searchsorted(cpu, side="right"))
        cost = np.full(len(self._shapes) - 1, NOWHERE, dtype=np.int32)
        share = np.zeros(len(cost), dtype=np.int16)
        if fits:
            shapes, whole = self._shapes[fits], free.count(MILLI)
            distinct = sorted(set(free)) or [0]
            score, share[:fits] = self._rule(
                shapes,
                NodeState(*hardware, cpu, np.array(distinct), np.array([free.count(one) for one in distinct]), free,
                          whole, sum(free), kinds),
                self._scale,
            )  # fmt: skip
            enough = (shapes.gpu_milli <= distinct[-1]) & (shapes.num_gpu <= max(whole, 1))
            cost[:fits] = np.where(enough, -score, NOWHERE)
        return cost, share

    def place(self, number: int) -> int:
        """Put one pod of a class where the policy wants it: the node, or -1 where it fits nowhere."""
        shape, memory, models = self._classes[number]
        cost = self._cost[shape]
        if self._policy == "random":
            return self._take_any(shape, memory, models)
        node = int(cost.argmin())
        if cost[node] == NOWHERE:
            return -1
        if models >= 0 or self.memory_mib[node] < memory:
            usable = self.memory_mib >= memory
            if models >= 0:
                usable &= self._where[models]
            cost = np.where(usable, cost, NOWHERE)
            node = int(cost.argmin())
            if cost[node] == NOWHERE:
                return -1
        self._take(node, shape, memory)
        return node

    def _take_any(self, shape: int, memory: int, models: int) -> int:
        usable = (self._cost[shape] != NOWHERE) & (self.memory_mib >= memory)
        if models >= 0:
            usable &= self._where[models]
        nodes = np.flatnonzero(usable)
        if not len(nodes):
            return -1
        node = int(nodes[self._draw.integers(len(nodes))])
        fitting = [share for share in self._free[node] if share >= self._asks[shape][2]]
        if fitting:
            self._share[shape, node] = fitting[self._draw.integers(len(fitting))]
        self._take(node, shape, memory)
        return node

    def _take(self, node: int, shape: int, memory: int) -> None:
        """Book a pod: on the GPU with the share that was rated, or on wholly free ones."""
        cpu, num_gpu, gpu_milli, kind = self._asks[shape]
        self.cpu_milli[node] -= cpu
        self.memory_mib[node] -= memory
        if num_gpu:
            left = list(self._free[node])
            share = int(self._share[shape, node]) if num_gpu == 1 else MILLI
            for _ in range(num_gpu):
                left.remove(share)
            if share > gpu_milli:
                left.append(share - gpu_milli)
                left.sort()
            self._free[node] = tuple(left)
            if self._policy == "gpuclustering":  # of no use to the others, which know fewer states without it
                self._kinds[node] |= {kind}
        self._rate(node)
