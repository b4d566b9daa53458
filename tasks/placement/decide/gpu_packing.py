"""A cluster being filled: a decision looks up the best node of a pod's shape, then rates again the one that changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.gpu_fragments import MILLI
from tasks.placement.decide.gpu_policies import RULES, NodeState, Scale, Shapes

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NOWHERE = np.iinfo(np.int32).max


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
        self._rule, self._random = RULES[policy], policy == "random"
        self._draw = np.random.default_rng(seed)
        self._shapes, self._scale = shapes, scale
        self._total = (cpu_milli.tolist(), memory_mib.tolist(), gpus.tolist())
        self._model = model.tolist()
        self.cpu_milli, self.memory_mib = cpu_milli.copy(), memory_mib.copy()
        self.free = np.where(np.arange(max(int(gpus.max(initial=0)), 1)) < gpus[:, None], MILLI, 0)
        self._kinds: list[frozenset[int]] = [frozenset()] * len(gpus)
        self._where = classes.allowed[:, model]  # (A, N)
        self._classes = list(
            zip(classes.shape.tolist(), classes.memory_mib.tolist(), classes.models.tolist(), strict=True)
        )
        self._asks = list(
            zip(shapes.cpu_milli.tolist(), shapes.num_gpu.tolist(), shapes.gpu_milli.tolist(), shapes.kind.tolist(),
                strict=True)
        )  # fmt: skip
        self._cost = np.full((len(shapes.cpu_milli), len(gpus)), NOWHERE, dtype=np.int32)
        self._share = np.zeros((len(shapes.cpu_milli), len(gpus)), dtype=np.int16)
        self._rate_all(np.stack([cpu_milli, memory_mib, gpus, model], axis=1))

    def _rate_all(self, kinds: Ints) -> None:
        """Rate the empty nodes, those that are alike once."""
        _, first, which = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        for node in first:
            self._rate(int(node))
        self._cost, self._share = self._cost[:, first[which]], self._share[:, first[which]]

    def _rate(self, node: int) -> None:
        """Score one node anew for every shape."""
        cpu, shapes = int(self.cpu_milli[node]), self._shapes
        fits = int(shapes.cpu_milli.searchsorted(cpu, side="right"))
        self._cost[fits:, node] = NOWHERE
        if not fits:
            return
        state, shapes = self._state(node, cpu), shapes.first(fits)
        score, share = self._rule(shapes, state, self._scale)
        enough = (shapes.gpu_milli <= state.shares[-1]) & (shapes.num_gpu <= max(state.whole, 1))
        self._cost[:fits, node] = np.where(enough, -score, NOWHERE)
        self._share[:fits, node] = share

    def _state(self, node: int, cpu: int) -> NodeState:
        row = [share for share in sorted(self.free[node].tolist()) if share]
        distinct = sorted(set(row)) or [0]
        return NodeState(
            self._model[node], cpu, int(self.memory_mib[node]), self._total[0][node], self._total[1][node],
            self._total[2][node], np.array(distinct), np.array([row.count(share) for share in distinct]),
            row, row.count(MILLI), sum(row), self._kinds[node],
        )  # fmt: skip

    def place(self, number: int) -> int:
        """Put one pod of a class where the policy wants it: the node, or -1 where it fits nowhere."""
        shape, memory, models = self._classes[number]
        cost = self._cost[shape]
        if self._random:
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
        fitting = np.flatnonzero(self.free[node] >= max(self._asks[shape][2], 1))
        if len(fitting):
            self._share[shape, node] = self.free[node, fitting[self._draw.integers(len(fitting))]]
        self._take(node, shape, memory)
        return node

    def _take(self, node: int, shape: int, memory: int) -> None:
        """Book a pod: a share of the GPU that was rated, or the first wholly free ones."""
        cpu, num_gpu, gpu_milli, kind = self._asks[shape]
        self.cpu_milli[node] -= cpu
        self.memory_mib[node] -= memory
        if num_gpu:
            row = self.free[node]
            share = self._share[shape, node] if num_gpu == 1 else MILLI
            row[np.flatnonzero(row == share)[:num_gpu]] -= gpu_milli
            self._kinds[node] |= {kind}
        self._rate(node)
