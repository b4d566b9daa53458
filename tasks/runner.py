"""Where the task runs of a flow go: threads of this process, or processes of a local Dask cluster."""

from __future__ import annotations

import logging
import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from blocks.errors import NotConfigured

MOST_THREADS = 4
WORKER_MEMORY = "2GiB"  # of each worker process; beyond it Dask restarts the worker


def task_runner(workers: int) -> TaskRunner[Any]:
    """A runner for task runs of seconds each.

    Parameters
    ----------
    workers:
        0 for threads of this process; n for n processes of a local Dask cluster, one thread each.

    Raises
    ------
    NotConfigured: Dask is asked for and not installed.
    """
    if not workers:
        return ThreadPoolTaskRunner(max_workers=min(MOST_THREADS, os.cpu_count() or 1))
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise NotConfigured("prefect-dask is not installed", where=f"workers={workers}",
                            fix="pip install 'continuum-fleet[dask]', or set workers to 0") from error  # fmt: skip
    logging.getLogger("distributed").setLevel(logging.WARNING)  # each worker that comes or goes is a line otherwise
    return DaskTaskRunner(
        cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "processes": True,
                        "memory_limit": WORKER_MEMORY, "dashboard_address": None}
    )  # fmt: skip
