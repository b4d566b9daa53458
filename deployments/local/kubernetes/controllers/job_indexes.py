"""Completion indexes of an Indexed Job: as `0-2,5` in its status, on a pod as label and annotation."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.store import Stored

Json = dict[str, Any]

INDEX = "batch.kubernetes.io/job-completion-index"
_VARIABLE = {"name": "JOB_COMPLETION_INDEX",
             "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}}  # fmt: skip


def written(indexes: Iterable[int]) -> str:
    """Indexes as a Job's status has them.

    >>> written({0, 1, 2, 5, 7, 8})
    '0-2,5,7-8'
    """
    spans: list[list[int]] = []
    for index in sorted(indexes):
        if spans and spans[-1][1] == index - 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def read(text: str) -> set[int]:
    """The indexes that a status names.

    >>> sorted(read("0-2,5"))
    [0, 1, 2, 5]
    """
    found: set[int] = set()
    for span in filter(None, text.split(",")):
        first, _, last = span.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def index_of(pod: Stored) -> int | None:
    """Index of a pod; None for a pod without."""
    text = str(pod.obj["metadata"].get("annotations", {}).get(INDEX, ""))
    return int(text) if text.isdecimal() else None


def missing(completions: int, completed: set[int], active: Iterable[Stored], count: int) -> list[int]:
    """The first indexes that neither have succeeded nor are being worked on."""
    taken = completed | {index for pod in active if (index := index_of(pod)) is not None}
    return list(itertools.islice((index for index in range(completions) if index not in taken), max(count, 0)))


def numbered(job: str, index: int, metadata: Json, spec: Json) -> tuple[Json, Json]:
    """Metadata and spec of the pod of an index."""
    metadata = {
        **metadata, "generateName": f"{job}-{index}-",
        "labels": {**metadata.get("labels", {}), INDEX: str(index)},
        "annotations": {**metadata.get("annotations", {}), INDEX: str(index)},
    }  # fmt: skip
    containers = [{**entry, "env": [*entry.get("env", ()), _VARIABLE]} for entry in spec.get("containers", ())]
    return metadata, {**spec, "hostname": f"{job}-{index}", "containers": containers}
