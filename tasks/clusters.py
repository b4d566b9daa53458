"""Work on many clusters side by side, on each in order: their APIs are slow, and one of them may not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from itertools import groupby
from typing import TypeVar

AT_ONCE = 16

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def side_by_side(
    work: Callable[[Item], Answer], items: Iterable[Item], stop: Callable[[], object] = lambda: None
) -> list[Answer]:
    """What the work answers for each item, in their order. An error ends the run, but only when all others have ended.

    Each works in a copy of the caller's context, so that Prefect's settings hold in there too. When the run is
    cancelled, `stop` is called, nothing more is begun, and what has been begun is waited for.

    >>> side_by_side(str.upper, ["eu-eks", "us-gke"])
    ['EU-EKS', 'US-GKE']
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        started = [threads.submit(copy_context().run, work, item) for item in items]
        try:
            wait(started)
        except BaseException:
            stop()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return [each.result() for each in started]


def cluster_by_cluster(
    work: Callable[[Item], Answer], items: Iterable[Item], subject: Callable[[Item], str]
) -> list[Answer]:
    """The same for items that name a subject `cluster/...`: one at a time in a cluster, clusters side by side.

    The answers come in the order of the clusters' names, and within a cluster in the order of its items.
    """

    def cluster(item: Item) -> str:
        return subject(item).split("/", 1)[0]

    groups = [list(group) for _, group in groupby(sorted(items, key=cluster), key=cluster)]
    return [answer for answers in side_by_side(lambda group: [work(item) for item in group], groups)
            for answer in answers]  # fmt: skip
