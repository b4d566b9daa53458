"""A run of `workload-migration` in act mode that dies without a word as a stage is written down, or before it checks a
wave. Run as a process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from blocks.store.journal import Journal
from flows.workload_migration import MigrationRequest, workload_migration
from tasks.migration import waves

note = Journal.note


def main(stage: str, request: str) -> None:
    def dying(self: Journal, intent: Any, operation: Any = None, detail: str = "") -> Any:
        if operation and operation.get("stage") == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        return note(self, intent, operation, detail)

    Journal.note = dying  # type: ignore[method-assign]
    if stage == "check":
        waves.check_wave = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    workload_migration(MigrationRequest.model_validate(json.loads(request)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
