"""How much free GPU a node holds that the pods to come cannot use, as sums of tables that are filled once.

Of a node with free shares R_g of its GPUs and of a pod class m of the mix (a share p_m of the pods; CPU c_m, k_m GPUs,
a share D_m of each), the fragment F(m) is all of sum R_g where m cannot run (CPU or GPUs short, model not allowed, or m
asks for no GPU), else the sum of those R_g < D_m. F = sum_m p_m F(m): Weng et al., USENIX ATC 2023, section 4.
Memory is no part of it, as in their simulator (hkust-adsl/kubernetes-scheduler-simulator, pkg/utils/frag.go).

A class that asks for one GPU or a share of one takes sum of {R_g: R_g >= D_m} out of the fragment, which is a sum over
GPUs; one of k whole GPUs takes out f, the number of free ones, where f >= k. So with H and G the shares of the mix that
run with a CPU and a GPU (k GPUs) like that,

    F = sum_g R_g (1 - H[model, cpu, R_g]) - f G[model, cpu, f]

and `FragmentTables` holds both summands: a fragment costs a look-up per GPU, whatever the number of classes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MILLI = 1000
TYPICAL_RATIO = 0.95
"""Share of the pods whose classes make up the mix, the most frequent first (the simulator's default): beyond it the
list is a tail of classes that come once."""


@dataclass(frozen=True)
class PodMix:
    """M pod classes that are expected, and how often.

    Attributes
    ----------
    share: (M,) of the pods, sums to 1. cpu_milli: (M,). num_gpu: (M,). gpu_milli: (M,) of each GPU, 0 where none.
    allowed: (M, L) whether a class may run on GPUs of each of L models.
    """

    share: Floats
    cpu_milli: Ints
    num_gpu: Ints
    gpu_milli: Ints
    allowed: Bools


def typical_mix(
    cpu_milli: Ints, num_gpu: Ints, gpu_milli: Ints, allowed: Bools, counts: Ints, ratio: float = TYPICAL_RATIO
) -> PodMix:
    """The most frequent classes that together make `ratio` of the pods; ties: the greater request first.

    Parameters are (M,) of distinct classes and `counts` how many pods each has; `allowed` is (M, L).

    >>> one = np.array([1, 2, 3])
    >>> typical_mix(one, one, one, np.ones((3, 1), bool), np.array([5, 14, 1]), 0.9).share.round(2).tolist()
    [0.74, 0.26]
    """
    order = np.lexsort((num_gpu, gpu_milli, cpu_milli, counts))[::-1]
    reached = np.cumsum(counts[order])
    kept = order[: int(np.searchsorted(reached, ratio * counts.sum())) + 1]
    return PodMix(counts[kept] / counts[kept].sum(), cpu_milli[kept], num_gpu[kept], gpu_milli[kept], allowed[kept])


@dataclass(frozen=True)
class FragmentTables:
    """The sums of one mix over L models; unit of all values is a thousandth of a GPU.

    Attributes
    ----------
    cpu_steps: (Q,) the mix's CPU requests, ascending: what fits changes there only. steps: the same as a list.
    by_free: L arrays ((Q + 1) * 1001,) of R (1 - H): 1001 free shares R of one GPU for each number of steps that fit.
    by_whole: L arrays ((Q + 1) * width,) of f G in thousandths: f = 0 .. width - 1 wholly free GPUs, the same way.
    """

    cpu_steps: Ints
    steps: list[int]
    by_free: tuple[Floats, ...]
    by_whole: tuple[Floats, ...]
    width: int

    @classmethod
    def of(cls, mix: PodMix, most_gpus: int) -> FragmentTables:
        """The tables of a mix for nodes of up to `most_gpus` GPUs."""
        steps, width = np.unique(mix.cpu_milli), most_gpus + 1
        models = mix.allowed.shape[1]
        single = np.zeros((models, len(steps) + 1, MILLI + 1))
        several = np.zeros((models, len(steps) + 1, width))
        for row in np.flatnonzero(mix.num_gpu):
            on, first = mix.allowed[row], int(np.searchsorted(steps, mix.cpu_milli[row])) + 1
            if mix.num_gpu[row] == 1:
                single[on, first:, mix.gpu_milli[row] :] += mix.share[row]
            else:
                several[on, first:, mix.num_gpu[row] :] += mix.share[row]
        by_free, by_whole = np.arange(MILLI + 1) * (1 - single), np.arange(width) * MILLI * several
        return cls(steps, steps.tolist(), tuple(by_free.reshape(models, -1)), tuple(by_whole.reshape(models, -1)),
                   width)  # fmt: skip

    def fragment(self, model: int, cpu_milli: int, free: Iterable[int]) -> float:
        """F of one node, thousandths of a GPU; `free` the free share of each of its GPUs, 0-1000."""
        step, table = bisect_right(self.steps, cpu_milli), self.by_free[model]
        kept, whole = 0.0, 0
        for share in free:
            kept += table.item(step * (MILLI + 1) + share)
            whole += share == MILLI
        return kept - self.by_whole[model].item(step * self.width + whole)
