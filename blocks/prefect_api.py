"""The Prefect API that a flow or a command talks to, and its failures as our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL

from blocks.errors import NotConfigured, Unauthorized, Unreachable


@contextmanager
def prefect_client(where: str) -> Iterator[SyncPrefectClient]:
    """A client of the Prefect server.

    Raises
    ------
    NotConfigured: none is set. Unauthorized, Unreachable: it says no, or does not answer.
    """
    with prefect_errors(where), get_client(sync_client=True) as client:
        yield client


@contextmanager
def prefect_errors(where: str) -> Iterator[None]:
    """Failures of Prefect's client as ours; no message is passed on, since it may quote what was sent."""
    if not PREFECT_API_URL.value() and not runtime.flow_run.id:
        fix = "export PREFECT_API_URL=..., as `continuum up` prints it"  # else Prefect starts a server of its own
        raise NotConfigured("no Prefect server is set", where=where, fix=fix)
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            fix = "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
            raise Unauthorized(f"the Prefect server answered {status}", where=where, fix=fix) from None
        fix = "look at the server's log"
        raise Unreachable(f"the Prefect server answered {status}", where=where, fix=fix) from None
    except (httpx.HTTPError, RuntimeError) as error:
        fix = "start it with `continuum up`, or correct PREFECT_API_URL"
        kind = type(error).__name__
        raise Unreachable(f"the Prefect server does not answer ({kind})", where=where, fix=fix) from None
