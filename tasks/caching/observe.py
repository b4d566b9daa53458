"""The access log, what is known of the sites, and how plans did on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import NotConfigured
from blocks.store.tables import now
from tasks.caching.logs import read_log
from tasks.caching.offline import Played, check_horizon, play
from tasks.caching.peers import policies_of
from tasks.caching.sites import sites_of


@dataclass(frozen=True)
class View:
    """A log that was played: its gate says where plans win; one line for what was left out."""

    as_of: datetime
    played: Played
    trouble: tuple[str, ...]


@task(name="read and play the log", cache_policy=NO_CACHE, persist_result=False)
def observe_log(log: str, sites: str, budget: str, horizon_s: int) -> View:
    """Read an access log and play it through the sites' caches, with and without plans.

    Raises
    ------
    NotConfigured: no log is named. InvalidInput: it, or the file of sites, does not fit.
    """
    if not log:
        raise NotConfigured("no access log is named", where="cache-prepopulation",
                            fix="give the flow's request a `log`, see tasks/caching/README.md")  # fmt: skip
    as_of, read = now(), read_log(Path(log))
    known, notes = sites_of(read.sites, read.distinct_bytes, budget, Path(sites) if sites else None)
    check_horizon(horizon_s, known)
    played = play(read, known, horizon_s, policies_of("lru"), lambda _: None)
    return View(as_of, played, (*(f"{log}: {note}" for note in read.notes()), *notes))
