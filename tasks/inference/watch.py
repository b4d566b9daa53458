"""Do confidences still come as they did when a model's threshold was learnt? One event says where they do not."""

from __future__ import annotations

from datetime import timedelta

from blocks.events import EndpointDrifted
from blocks.models import Registry
from blocks.store.edges import told_by
from blocks.store.tables import now
from tasks.inference.decide.drift import LEAST_ROWS, PLACES, PSI, stability_index
from tasks.inference.observe import KIND, rows_of, told_of
from tasks.publish import emit
from tasks.run import Run

LOOK_BACK = timedelta(days=1)
MOST_ROWS = 5000  # the newest of all models: it is looked at every five minutes


def announce_drift(run: Run) -> list[EndpointDrifted]:
    """Emit an event for each model whose predictions of the last day have drifted; one a version and day."""
    registry, at = Registry.open(run.store), now()
    newest = {version.model: version for version in reversed(registry.versions())}
    if not newest:
        return []
    told = told_by(run.store, KIND, at - LOOK_BACK, newest=MOST_ROWS)
    found = []
    for name, version in sorted(newest.items()):
        if sum(each.body.get("model") == name for each in told) < LEAST_ROWS:
            continue
        manifest = registry.manifest(version.digest)
        _, confidence = rows_of(told_of(registry, manifest, told), 1.0, 1.0, [])
        if (
            len(confidence) < LEAST_ROWS
            or manifest.escalation_threshold is None
            or not all(place in manifest.metrics for place in PLACES)
        ):
            continue
        index = stability_index(manifest.metrics, confidence)
        if index > PSI:
            event = EndpointDrifted(fleet=run.fleet_name, as_of=at, model=name, version=version.version, psi=index,
                                    rows=len(confidence))  # fmt: skip
            emit(event, identity=f"{version.digest} {at:%Y-%m-%d}")
            found.append(event)
    return found
