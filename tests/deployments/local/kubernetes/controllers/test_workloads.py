"""Controllers that own pods: numbers, a pod a node, schedules, completions, rollouts."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.local.kubernetes import StatusError
from tests.deployments.local.kubernetes.controllers.play import Play, condition, template

Json = dict[str, Any]
SELECTOR = {"matchLabels": {"app": "web"}}


@pytest.fixture
def play() -> Play:
    play = Play()
    play.nodes("a", "b", "c")
    return play


def make(play: Play, resource: str, spec: Json, name: str = "web") -> None:
    play.cluster.create(resource, {"metadata": {"name": name}, "spec": spec})
    play.advance(0)


def names(play: Play, selector: str = "app=web") -> list[str]:
    return [pod["metadata"]["name"] for pod in play.pods(selector)]


def image(play: Play, resource: str, tag: str) -> None:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": f"web:{tag}"}]}}}}
    play.cluster.patch(resource, "web", body, "strategic")
    play.advance(0)


def stateful(**more: Any) -> Json:
    return {"replicas": 3, "selector": SELECTOR, "serviceName": "web", "template": template(), **more}


def test_a_stateful_set_starts_its_pods_one_after_the_other_and_ends_the_last_first(play: Play) -> None:
    make(play, "statefulsets", stateful())
    assert names(play) == ["web-0"]
    play.advance(30)
    assert names(play) == ["web-0", "web-1", "web-2"]
    assert [pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] for pod in play.pods()] == ["0", "1", "2"]
    state = play.get("statefulsets", "web")["status"]
    assert (state["replicas"], state["readyReplicas"], state["updatedReplicas"]) == (3, 3, 3)
    assert state["currentRevision"] == state["updateRevision"]
    play.cluster.patch("statefulsets", "web", {"spec": {"replicas": 1}})
    play.advance(0)
    assert [n for n in names(play) if "deletionTimestamp" in play.get("pods", n)["metadata"]] == ["web-2"]
    play.advance(120)
    assert names(play) == ["web-0"]


def test_a_stateful_set_waits_for_a_pod_that_is_not_ready_unless_it_is_parallel(play: Play) -> None:
    make(play, "statefulsets", stateful(template=template(fail="readiness")))
    play.advance(300)
    assert names(play) == ["web-0"]
    play.cluster.delete("statefulsets", "web")
    play.advance(60)
    make(play, "statefulsets", stateful(podManagementPolicy="Parallel"))
    assert names(play) == ["web-0", "web-1", "web-2"]


def test_a_stateful_set_rolls_from_the_last_to_its_partition(play: Play) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    make(play, "statefulsets", stateful(updateStrategy=strategy))
    play.advance(60)
    image(play, "statefulsets", "2")
    play.advance(180)
    assert [pod["spec"]["containers"][0]["image"] for pod in play.pods()] == ["web:1", "web:2", "web:2"]
    play.cluster.patch("statefulsets", "web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    play.advance(180)
    assert {pod["spec"]["containers"][0]["image"] for pod in play.pods()} == {"web:2"}
    state = play.get("statefulsets", "web")["status"]
    assert state["currentRevision"] == state["updateRevision"]


def test_a_stateful_set_makes_a_claim_for_each_pod_and_keeps_it(play: Play) -> None:
    claim = {"metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    make(play, "statefulsets", stateful(replicas=2, volumeClaimTemplates=[claim]))
    play.advance(60)
    claims = play.cluster.list("persistentvolumeclaims")
    assert [(each["metadata"]["name"], each["status"]["phase"]) for each in claims] == [
        ("data-web-0", "Bound"), ("data-web-1", "Bound")]  # fmt: skip
    play.cluster.delete("statefulsets", "web")
    play.advance(120)
    assert (names(play), len(play.cluster.list("persistentvolumeclaims"))) == ([], 2)


def test_a_claim_template_without_a_name_stops_nothing(play: Play) -> None:
    make(play, "statefulsets", stateful(replicas=1, volumeClaimTemplates=[{"metadata": {}}]))
    play.advance(60)
    assert (len(names(play)), play.cluster.list("persistentvolumeclaims")) == (1, [])


def daemon(**more: Any) -> Json:
    return {"selector": SELECTOR, "template": template(), **more}


def test_a_daemon_set_has_one_pod_on_every_node_that_fits_and_follows_the_nodes(play: Play) -> None:
    play.nodes("picked", labels={"disk": "ssd"})
    make(play, "daemonsets", daemon())
    play.advance(10)
    assert sorted(pod["spec"]["nodeName"] for pod in play.pods()) == ["a", "b", "c", "picked"]
    state = play.get("daemonsets", "web")["status"]
    assert (state["desiredNumberScheduled"], state["numberReady"], state["numberAvailable"]) == (4, 4, 4)
    play.cluster.patch("daemonsets", "web", {"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}})
    play.advance(120)
    assert [pod["spec"]["nodeName"] for pod in play.pods()] == ["picked"]


def test_daemons_stay_on_closed_and_unready_nodes(play: Play) -> None:
    make(play, "daemonsets", daemon())
    play.advance(10)
    play.cluster.patch("nodes", "a", {"spec": {"unschedulable": True}})
    play.mark("nodes", "b", kubelet_down="true")
    play.advance(600)
    assert sorted(pod["spec"]["nodeName"] for pod in play.pods()) == ["a", "b", "c"]
    assert all("deletionTimestamp" not in pod["metadata"] for pod in play.pods())


def test_a_daemon_set_rolls_with_one_node_unavailable_at_a_time(play: Play) -> None:
    make(play, "daemonsets", daemon())
    play.advance(10)
    image(play, "daemonsets", "2")
    fewest = 3
    for _ in range(200):
        play.advance(1)
        ready = sum(condition(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
                    for pod in play.pods())  # fmt: skip
        fewest = min(fewest, ready)
    assert {pod["spec"]["containers"][0]["image"] for pod in play.pods()} == {"web:2"}
    assert fewest == 2


def cron(schedule: str, **more: Any) -> Json:
    pod = template(spec={"restartPolicy": "Never"}, run_seconds="10")
    return {"schedule": schedule, "jobTemplate": {"spec": {"template": pod}}, **more}


def test_a_cron_job_starts_a_job_at_every_time_of_its_schedule(play: Play) -> None:
    make(play, "cronjobs", cron("*/5 * * * *"))
    play.advance(1100)  # from 08:00:02
    assert [job["status"]["succeeded"] for job in play.cluster.list("jobs")] == [1, 1, 1]
    assert play.get("cronjobs", "web")["status"]["lastScheduleTime"] == "2027-01-15T08:15:00Z"
    play.advance(600)
    assert len(play.cluster.list("jobs")) == 3  # successfulJobsHistoryLimit


def test_a_cron_job_keeps_the_time_of_its_zone(play: Play) -> None:
    make(play, "cronjobs", cron("30 17 * * MON-FRI", timeZone="Asia/Tokyo"))  # 08:30 UTC
    play.advance(1700)
    assert play.cluster.list("jobs") == []
    play.advance(200)
    assert len(play.cluster.list("jobs")) == 1


@pytest.mark.parametrize(("policy", "running"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
def test_a_cron_job_that_is_still_running_is_joined_waited_for_or_replaced(
    play: Play, policy: str, running: int
) -> None:
    spec = cron("*/5 * * * *", concurrencyPolicy=policy)
    spec["jobTemplate"]["spec"]["template"]["metadata"]["annotations"] = {}  # runs for ever
    make(play, "cronjobs", spec)
    play.advance(400)
    first = play.cluster.list("jobs")[0]["metadata"]["name"]
    play.advance(300)
    active = [job["metadata"]["name"] for job in play.cluster.list("jobs") if job["status"].get("active")]
    assert len(active) == running
    assert (first in active) == (policy != "Replace")


def test_a_job_gives_up_after_its_back_off_limit(play: Play) -> None:
    pod = template(spec={"restartPolicy": "Never"}, run_seconds="1", exit_code="3")
    make(play, "jobs", {"backoffLimit": 2, "template": pod})
    play.advance(600)
    job = play.get("jobs", "web")
    assert condition(job, "Failed") == "True"
    assert job["status"]["failed"] == 3


def test_a_job_with_indexes_completes_each_once_and_goes_after_its_time_to_live(play: Play) -> None:
    pod = template(spec={"restartPolicy": "Never"}, run_seconds="5")
    make(play, "jobs", {"completions": 4, "parallelism": 2, "completionMode": "Indexed",
                        "ttlSecondsAfterFinished": 60, "template": pod})  # fmt: skip
    play.advance(40)
    assert play.get("jobs", "web")["status"]["completedIndexes"] == "0-3"
    play.advance(100)
    with pytest.raises(StatusError, match="not found"):
        play.get("jobs", "web")
    assert play.pods() == []


def deployment(replicas: int, **more: Any) -> Json:
    return {"replicas": replicas, "selector": SELECTOR, "template": template(), **more}


def by_image(play: Play) -> dict[str, int]:
    counts: dict[str, int] = {}
    for found in play.cluster.list("replicasets"):
        tag = found["spec"]["template"]["spec"]["containers"][0]["image"]
        counts[tag] = found["spec"]["replicas"]
    return counts


def test_a_rollout_stays_within_surge_and_unavailability(play: Play) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}
    make(play, "deployments", deployment(8, strategy=rolling))
    play.advance(30)
    image(play, "deployments", "2")
    for _ in range(60):
        assert sum(by_image(play).values()) <= 10
        assert play.get("deployments", "web")["status"]["availableReplicas"] >= 7
        play.advance(1)
    assert by_image(play) == {"web:1": 0, "web:2": 8}


def test_a_deployment_that_is_scaled_in_mid_rollout_grows_in_proportion(play: Play) -> None:
    """The controller's own example: 10 replicas, surge 3, unavailable 2, a stuck rollout of 8 + 5, scaled to 15."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    make(play, "deployments", deployment(10, strategy=rolling))
    play.advance(30)
    broken = template(fail="readiness")
    broken["spec"]["containers"][0]["image"] = "web:2"
    play.cluster.patch("deployments", "web", {"spec": {"template": broken}})
    play.advance(60)
    assert by_image(play) == {"web:1": 8, "web:2": 5}
    play.cluster.patch("deployments", "web", {"spec": {"replicas": 15}})
    play.advance(0)
    assert by_image(play) == {"web:1": 11, "web:2": 7}


def test_a_paused_deployment_scales_and_does_not_roll(play: Play) -> None:
    make(play, "deployments", deployment(2))
    play.advance(10)
    play.cluster.patch("deployments", "web", {"spec": {"paused": True}})
    image(play, "deployments", "2")
    play.cluster.patch("deployments", "web", {"spec": {"replicas": 4}})
    play.advance(30)
    assert by_image(play) == {"web:1": 4}
    play.cluster.patch("deployments", "web", {"spec": {"paused": None}})
    play.advance(60)
    assert by_image(play) == {"web:1": 0, "web:2": 4}


MANY = 2**31 - 1
JOB_POD = template(spec={"restartPolicy": "Never"})


@pytest.mark.parametrize(
    ("resource", "spec"),
    [
        ("replicasets", deployment(MANY)),
        ("statefulsets", stateful(replicas=MANY, podManagementPolicy="Parallel")),
        ("jobs", {"parallelism": MANY, "completions": MANY, "template": JOB_POD}),
        ("jobs", {"parallelism": MANY, "completions": MANY, "completionMode": "Indexed", "template": JOB_POD}),
    ],
)
def test_an_endless_wish_for_pods_is_met_at_five_hundred_a_second(play: Play, resource: str, spec: Json) -> None:
    make(play, resource, spec)
    assert len(play.pods()) == 500
    play.advance(1.5)
    assert len(play.pods()) == 1000
