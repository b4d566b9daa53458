"""Pods on played nodes: images, starts, probes, crashes, ends."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.deployments.local.kubernetes.controllers.play import Play, condition

Json = dict[str, Any]

HTTP = {"httpGet": {"port": 80}}


@pytest.fixture(autouse=True)
def _a_node(play: Play) -> None:
    play.nodes("a")


def test_a_pod_without_annotations_is_ready_two_seconds_after_its_binding(play: Play) -> None:
    play.pod("p")
    play.advance(0.5)
    assert (play.phase("p"), play.state("p")) == ("Pending", "ContainerCreating")
    play.advance(1.6)
    assert (play.phase("p"), play.state("p"), play.is_ready("pods", "p")) == ("Running", "Running", True)


def test_an_image_is_pulled_once_for_a_node_unless_it_is_to_be_pulled_always(play: Play) -> None:
    play.pod("first", pull_seconds="60")
    play.advance(59)
    assert play.phase("first") == "Pending"
    play.advance(3)
    assert play.phase("first") == "Running"
    assert play.get("nodes", "a")["status"]["images"][0]["names"] == ["web:1"]
    play.pod("second", pull_seconds="60")
    play.pod("other", container={"image": "db:1"}, pull_seconds="60")
    play.advance(2)
    assert (play.phase("second"), play.phase("other")) == ("Running", "Pending")


def test_a_missing_image_is_tried_again_with_back_off_and_the_pod_stays_pending(play: Play) -> None:
    play.pod("p", container={"image": "registry.example/does-not-exist:1"})
    seen = []
    for _ in range(400):
        play.advance(1)
        if not seen or seen[-1] != play.state("p"):
            seen.append(play.state("p"))
    assert seen[:5] == ["ContainerCreating", "ErrImagePull", "ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"]
    assert (play.phase("p"), condition(play.get("pods", "p"), "Ready")) == ("Pending", "False")
    # attempts end 2, 13, 34, 75, 156 and 317 s after the admission: the back-off doubles from 10 s
    assert sum(event["count"] for event in play.events("Failed") if event["message"] == "Error: ErrImagePull") == 6


def test_a_pod_starts_with_the_next_attempt_once_its_image_can_be_pulled(play: Play) -> None:
    play.pod("p", fail="image")
    play.advance(20)
    assert play.state("p") == "ImagePullBackOff"
    play.mark("pods", "p", fail=None)
    play.advance(30)
    assert play.state("p") == "Running"


def test_an_image_that_may_not_be_pulled_has_to_be_there(play: Play) -> None:
    play.pod("p", container={"imagePullPolicy": "Never"})
    play.advance(5)
    assert play.state("p") == "ErrImageNeverPull"
    play.pod("q")
    play.advance(5)
    play.cluster.delete("pods", "p")
    play.pod("r", container={"imagePullPolicy": "Never"})
    play.advance(5)
    assert play.state("r") == "Running"


def test_init_containers_run_one_after_the_other_before_the_main_one(play: Play) -> None:
    inits = [{"name": name, "image": "init:1"} for name in ("one", "two")]
    play.pod("p", {"initContainers": inits})
    seen = []
    for _ in range(16):
        play.advance(0.5)
        status = play.get("pods", "p")["status"]
        state = [next(iter(entry["state"])) for entry in status["initContainerStatuses"] + status["containerStatuses"]]
        if not seen or seen[-1] != state:
            seen.append(state)
    order = ["waiting", "running", "terminated"]
    assert [state for state in seen if state[0] != "terminated"] == [[word, "waiting", "waiting"] for word in order[:2]]
    assert seen[-1] == ["terminated", "terminated", "running"]
    assert condition(play.get("pods", "p"), "Initialized") == "True"


def test_a_failing_init_container_ends_a_pod_that_is_never_restarted_and_holds_up_others(play: Play) -> None:
    inits = {"initContainers": [{"name": "i", "image": "init:1"}]}
    play.pod("never", {**inits, "restartPolicy": "Never"}, fail="init")
    play.pod("always", inits, fail="init")
    play.advance(12)
    assert (play.phase("never"), play.phase("always")) == ("Failed", "Pending")
    assert play.container("always", "initContainerStatuses")["state"]["waiting"]["reason"] == "CrashLoopBackOff"


def test_a_sidecar_starts_before_the_main_container_and_ends_after_it(play: Play) -> None:
    sidecar = {"name": "s", "image": "side:1", "restartPolicy": "Always"}
    play.pod("p", {"initContainers": [sidecar], "restartPolicy": "Never"}, run_seconds="10")
    play.advance(6)
    assert "running" in play.container("p", "initContainerStatuses")["state"]
    assert (play.phase("p"), play.is_ready("pods", "p")) == ("Running", True)
    play.advance(10)
    assert "terminated" in play.container("p", "initContainerStatuses")["state"]
    assert play.phase("p") == "Succeeded"


def test_a_readiness_probe_is_waited_for_and_its_failures_are_counted(play: Play) -> None:
    probe = {**HTTP, "initialDelaySeconds": 20, "periodSeconds": 5, "failureThreshold": 3, "successThreshold": 2}
    play.pod("p", container={"readinessProbe": probe})
    play.advance(24)
    assert (play.phase("p"), play.is_ready("pods", "p")) == ("Running", False)
    play.advance(4)
    assert play.is_ready("pods", "p")
    play.mark("pods", "p", fail="readiness")
    play.advance(9)
    assert play.is_ready("pods", "p")
    play.advance(6)
    assert not play.is_ready("pods", "p")
    assert "main" in play.events("Unhealthy")[0]["involvedObject"]["fieldPath"]
    play.mark("pods", "p", fail=None)
    play.advance(11)
    assert play.is_ready("pods", "p")


def test_a_container_that_fails_its_liveness_probe_is_restarted_with_back_off(play: Play) -> None:
    play.pod("p", container={"livenessProbe": {**HTTP, "periodSeconds": 5, "failureThreshold": 2}})
    play.advance(30)
    assert play.container("p")["restartCount"] == 0
    play.mark("pods", "p", fail="liveness")
    play.advance(60)
    assert play.container("p")["restartCount"] >= 2
    assert play.container("p")["lastState"]["terminated"]["exitCode"] == 137
    assert play.events("Killing")


def test_a_startup_probe_holds_back_readiness_and_kills_a_container_that_does_not_pass(play: Play) -> None:
    probe = {**HTTP, "periodSeconds": 10, "failureThreshold": 3}
    play.pod("slow", container={"startupProbe": {**probe, "initialDelaySeconds": 15}})
    play.pod("stuck", container={"startupProbe": probe}, fail="startup")
    play.advance(15)
    assert (play.container("slow")["started"], play.is_ready("pods", "slow")) == (False, False)
    play.advance(5)
    assert (play.container("slow")["started"], play.is_ready("pods", "slow")) == (True, True)
    play.advance(25)
    assert (play.container("stuck")["restartCount"], play.is_ready("pods", "stuck")) == (1, False)


def test_a_crashing_container_backs_off_from_ten_seconds_to_five_minutes(play: Play) -> None:
    play.pod("p", fail="crash")
    starts = []
    for _ in range(1500):
        play.advance(1)
        started = play.container("p")["state"].get("running", {}).get("startedAt")
        if started and started not in starts:
            starts.append(started)
        assert play.phase("p") in ("Pending", "Running")
    times = [int(text[14:16]) * 60 + int(text[17:19]) for text in starts]
    # The first restart comes at once; every run lasts a second.
    assert [later - earlier for earlier, later in itertools.pairwise(times)][:6] == [11, 21, 41, 81, 161, 301]
    assert play.state("p") == "CrashLoopBackOff"
    assert play.container("p")["lastState"]["terminated"]["exitCode"] == 1
    assert "back-off 5m0s restarting failed container=main" in play.container("p")["state"]["waiting"]["message"]


def test_a_container_that_ran_for_long_is_restarted_at_once_again(play: Play) -> None:
    play.pod("p", crash_after_seconds="5")
    play.advance(40)
    assert play.container("p")["restartCount"] == 2
    play.mark("pods", "p", crash_after_seconds="700")
    play.advance(720)
    assert (play.state("p"), play.container("p")["restartCount"]) in {("Running", 3), ("Running", 4)}
    before = play.container("p")["restartCount"]
    play.advance(700)
    assert (play.state("p"), play.container("p")["restartCount"]) == ("Running", before + 1)


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [
        ("Never", "0", "Succeeded", 0),
        ("Never", "3", "Failed", 0),
        ("OnFailure", "0", "Succeeded", 0),
        ("OnFailure", "3", "Running", 1),
    ],
)
def test_a_pod_that_ends_obeys_its_restart_policy(
    play: Play, policy: str, code: str, phase: str, restarts: int
) -> None:
    play.pod("p", {"restartPolicy": policy}, run_seconds="5", exit_code=code)
    play.advance(12)
    assert (play.phase("p"), play.container("p")["restartCount"]) == (phase, restarts)
    ended = play.container("p")["state"].get("terminated") or play.container("p")["lastState"]["terminated"]
    assert ended["exitCode"] == int(code)


def test_a_restarted_kubelet_keeps_the_back_off_of_a_crash_loop(play: Play) -> None:
    play.pod("p", fail="crash")
    play.advance(60)
    assert play.state("p") == "CrashLoopBackOff"
    before = play.container("p")
    play.restore()
    play.advance(1)
    assert play.container("p") == before


def test_a_readiness_gate_keeps_a_pod_unready_until_somebody_opens_it(play: Play) -> None:
    play.pod("p", {"readinessGates": [{"conditionType": "example.com/open"}]})
    play.advance(5)
    pod = play.get("pods", "p")
    assert (condition(pod, "ContainersReady"), condition(pod, "Ready")) == ("True", "False")
    entry = {"type": "example.com/open", "status": "True"}
    play.cluster.patch("pods", "p", {"status": {"conditions": [entry]}}, "strategic", subresource="status")
    play.advance(1)
    assert play.is_ready("pods", "p")


@pytest.mark.parametrize(("stop", "grace", "gone_after"), [(None, 30, 1), ("12", 30, 12), ("100", 5, 5)])
def test_a_deleted_pod_takes_as_long_to_stop_as_it_says_within_its_grace(
    play: Play, stop: str | None, grace: int, gone_after: int
) -> None:
    play.pod("p", {"terminationGracePeriodSeconds": grace}, **({"stop_seconds": stop} if stop else {}))
    play.advance(5)
    play.cluster.delete("pods", "p")
    play.advance(gone_after - 0.5)
    assert "deletionTimestamp" in play.get("pods", "p")["metadata"]
    play.advance(0.6)
    assert not play.cluster.list("pods")


def test_pods_have_addresses_of_their_own_also_after_a_restart(play: Play) -> None:
    for number in range(6):
        play.pod(f"p{number}")
    play.advance(5)
    for number in range(3):
        play.cluster.delete("pods", f"p{number}")
    play.advance(5)
    play.restore()
    for number in range(6, 12):
        play.pod(f"p{number}")
    play.advance(5)
    addresses = [pod["status"]["podIP"] for pod in play.cluster.list("pods")]
    assert len(set(addresses)) == len(addresses) == 9


def test_annotations_that_make_no_sense_change_nothing(play: Play) -> None:
    play.pod("p", pull_seconds="soon", stop_seconds="nan", run_seconds="-1", exit_code="x")
    play.advance(5)
    assert play.is_ready("pods", "p")


def test_a_status_that_a_client_has_spoilt_is_written_anew(play: Play) -> None:
    play.pod("p")
    play.advance(5)
    broken = {"status": {"containerStatuses": [{"name": "main", "state": {"running": {}}}]}}
    play.cluster.patch("pods", "p", broken, subresource="status")
    play.advance(5)
    assert play.is_ready("pods", "p")


def test_what_happens_to_a_pod_can_be_read_in_its_events(play: Play) -> None:
    play.pod("p")
    play.advance(5)
    play.cluster.delete("pods", "p")
    play.cluster.step()
    reasons = {event["reason"] for event in play.cluster.list("events") if event["involvedObject"]["name"] == "p"}
    assert {"Pulling", "Pulled", "Created", "Started", "Killing"} <= reasons
