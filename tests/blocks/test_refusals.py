"""One word for what a cloud would not give, by the clouds' own words."""

from __future__ import annotations

import pytest

from blocks.errors import CloudRefused, Conflict, OperationFailed, Refused, Throttled, TimedOut
from blocks.fleet import Provider
from blocks.refusals import Refusal, refusal_of
from deployments.local.limits import LACKS


@pytest.mark.parametrize(("provider", "kind"), [key for key in LACKS if key[0] is not Provider.K3S])
def test_the_clouds_own_words_for_quota_and_shortage_are_told_apart(provider: Provider, kind: str) -> None:
    code, text = LACKS[provider, kind]
    wanted = {"quota": Refusal.QUOTA, "shortage": Refusal.CAPACITY}[kind]
    assert refusal_of(OperationFailed(f"operation 1 failed: {code}: {text}")) is wanted
    assert refusal_of(TimedOut(f"3 nodes are Ready after 300 s where 5 were asked for ({code}: {text})")) is wanted


def test_throttling_and_nodes_that_never_come_have_words_of_their_own() -> None:
    assert refusal_of(Throttled("slow down")) is Refusal.THROTTLED
    assert refusal_of(TimedOut("3 nodes are Ready after 300 s where 5 were asked for")) is Refusal.NODES
    assert refusal_of(CloudRefused("InvalidParameter: no")) is Refusal.OTHER


@pytest.mark.parametrize("error", [Refused("no"), Conflict("changed"), TimedOut("AWS did not answer in time")])
def test_what_says_nothing_about_nodes_is_no_refusal(error: Exception) -> None:
    assert refusal_of(error) is None  # type: ignore[arg-type]
