"""Publish a threshold: the same files under a version of their own, for `model-rollout` to bring to the edges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.manifest import Manifest
from blocks.models import Registry
from blocks.store.tables import Decision, Mode, State, Verdict
from tasks.acting import Result
from tasks.run import Run

MARK = ".t-"  # between a version and the digest of its threshold


@task(name="publish thresholds", cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], manifest: Manifest) -> list[Result]:
    """One version a decision. Nothing that is in force changes, and publishing it again changes nothing."""
    results = []
    for decision in approved if run.mode is not Mode.SHADOW else ():
        try:
            made = Registry.open(run.store).publish_manifest(_with_threshold(manifest, decision.content))
            words = f"published as {made.model} {made.version}"
            run.store.settle([decision], Verdict.ACTED, detail=words)
            results.append(Result(decision.id, decision.subject, State.DONE, words))
        except ContinuumError as error:
            run.store.settle([decision], Verdict.EXPIRED, detail=str(error))
            results.append(Result(decision.id, decision.subject, State.FAILED, str(error)))
    return results


def _with_threshold(manifest: Manifest, found: dict[str, object]) -> Manifest:
    """The same files with a decision's threshold and the deciles of the confidences that it was learnt on."""
    learnt = {name: found[name] for name in ("threshold", "deciles")}
    mark = hashlib.sha256(json.dumps(learnt, sort_keys=True).encode()).hexdigest()[:8]
    deciles, threshold = found["deciles"], found["threshold"]
    assert isinstance(deciles, dict)
    assert isinstance(threshold, float)
    return replace(
        manifest, version=f"{manifest.version.split(MARK)[0]}{MARK}{mark}", parent=manifest.digest,
        escalation_threshold=min(threshold, 1.0), metrics={**manifest.metrics, **deciles},
    )  # fmt: skip
