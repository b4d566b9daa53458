"""What clients see of faults, over real sockets."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import requests

PODS = "/clusters/eu-eks/api/v1/namespaces/default/pods"
MAPS = "/clusters/eu-eks/api/v1/namespaces/default/configmaps"
EKS = "/aws/clusters/eu-eks/node-groups/web"
GKE = "/gcp/v1/projects/simulated-project/locations/us-east4-a/clusters/us-gke"
AKS = "/azure/subscriptions/s/providers/Microsoft.ContainerService/managedClusters"
UP = "/prometheus/api/v1/query?query=up"


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"a": "b"}}


class Watch(threading.Thread):
    """Reads a watch on the side."""

    def __init__(self, served: Any, path: str) -> None:
        super().__init__(daemon=True)
        headers = {"Authorization": served.authorization(path)}
        self.answer = requests.get(served.url + path, headers=headers, stream=True, timeout=20)
        self.names: list[str] = []
        self.error: Exception | None = None
        self.heard = threading.Condition()
        self.start()

    def run(self) -> None:
        try:
            for line in self.answer.iter_lines(chunk_size=1):
                with self.heard:
                    self.names.append(json.loads(line)["object"]["metadata"]["name"])
                    self.heard.notify_all()
        except requests.RequestException as error:
            self.error = error

    def hears(self, name: str, within_s: float = 5.0) -> bool:
        with self.heard:
            return self.heard.wait_for(lambda: name in self.names, within_s)


def test_without_a_fault_requests_pass(served):
    assert served.ask("GET", PODS).status_code == 200


def test_a_killed_cluster_resets_connections_and_its_neighbours_answer(served):
    fault = served.add("cluster-kill", cluster="eu-eks")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        served.ask("GET", PODS)
    assert served.ask("GET", PODS.replace("eu-eks", "us-gke")).ok
    assert served.ask("GET", EKS).ok
    assert served.struck(fault) >= 2
    served.lift(fault)
    assert served.ask("GET", PODS).ok


def test_a_dead_cluster_answers_no_error_whatever_was_asked_for_first(served):
    served.add("api", effect="error")
    served.add("cluster-kill", cluster="eu-eks")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        served.ask("GET", PODS)


def test_a_killed_cluster_cuts_open_watches(served):
    watch = Watch(served, f"{MAPS}?watch=true")
    assert watch.hears("kube-root-ca.crt")
    served.add("cluster-kill", cluster="eu-eks")
    watch.join(5)
    assert not watch.is_alive()
    assert watch.error is not None


def test_a_frozen_cluster_lets_requests_hang_and_answers_them_when_it_thaws(served):
    fault = served.add("cluster-freeze", cluster="eu-eks")
    with pytest.raises(requests.ReadTimeout):
        served.ask("GET", PODS, timeout=0.3)
    answers: list[int] = []
    hanging = threading.Thread(target=lambda: answers.append(served.ask("POST", MAPS, config_map("thaw")).status_code))
    hanging.start()
    assert served.ask("GET", EKS).ok
    served.lift(fault)
    hanging.join(5)
    assert answers == [201]


def test_open_watches_of_a_frozen_cluster_are_silent_until_it_thaws(served):
    watch = Watch(served, f"{MAPS}?watch=true")
    assert watch.hears("kube-root-ca.crt")
    fault = served.add("cluster-freeze", cluster="eu-eks")
    served.simulation.clusters["eu-eks"].create("configmaps", config_map("unheard"), "default")
    assert not watch.hears("unheard", 0.3)
    served.lift(fault)
    assert served.ask("POST", MAPS, config_map("heard")).status_code == 201
    assert watch.hears("unheard")
    assert watch.hears("heard")


def test_a_partition_hides_the_site_from_us_and_no_other(served):
    served.add("site-partition", site="munich")
    for name in ("edge-munich", "edge-two"):
        with pytest.raises(requests.ReadTimeout):
            served.ask("GET", PODS.replace("eu-eks", name), timeout=0.2)
    assert served.ask("GET", PODS).ok


def test_a_request_may_be_slow(served):
    served.add("api", effect="slow", delay_s=0.3, cluster="eu-eks", path="/pods$")
    began = time.monotonic()
    assert served.ask("GET", PODS).ok
    assert time.monotonic() - began >= 0.3
    with pytest.raises(requests.ReadTimeout):
        served.ask("GET", PODS, timeout=0.1)


@pytest.mark.parametrize("effect", ["drop", "reset", "error", "html", "slow"])
@pytest.mark.parametrize("work_done", [True, False])
def test_work_is_done_or_not_before_an_answer_is_lost(served, effect, work_done):
    name = f"{effect}-{work_done}".lower()
    served.add("api", effect=effect, method="POST", work_done=work_done, times=1, delay_s=2, status=503)
    try:
        answer = served.ask("POST", MAPS, config_map(name), timeout=0.4)
        assert answer.status_code == 503
    except (requests.ConnectionError, requests.ReadTimeout):
        assert effect in ("drop", "reset", "slow")
    assert served.ask("GET", f"{MAPS}/{name}").ok is work_done


def test_a_cut_answer_of_a_cloud_has_still_started_an_operation(served):
    before = served.ask("GET", "/simulation/operations").json()
    served.add("api", api="eks", effect="reset", work_done=True, times=1)
    with pytest.raises(requests.ConnectionError):
        served.ask("POST", f"{EKS}/update-config", {"scalingConfig": {"desiredSize": 5}})
    after = served.ask("GET", "/simulation/operations").json()
    assert [operation["to"] for operation in after[len(before) :]] == [5]


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (PODS, {"kind": "Status", "reason": "TooManyRequests", "code": 429}),
        (EKS, {"x-amzn-errortype": "ThrottlingException"}),
        (GKE, {"status": "RESOURCE_EXHAUSTED", "code": 429}),
        (AKS, {"code": "TooManyRequests"}),
        (UP, {"status": "error", "errorType": "internal"}),
    ],
)
def test_an_error_has_the_form_of_the_api_that_was_asked(served, path, seen):
    served.add("api", effect="error", status=429, retry_after_s=7)
    answer = served.ask("GET", path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    body = answer.json()
    assert (
        seen.items()
        <= (body.get("error") if isinstance(body.get("error"), dict) else body | dict(answer.headers)).items()
    )
    if path == PODS:
        assert body["details"] == {"retryAfterSeconds": 7}


def test_a_proxy_answers_with_its_own_page(served):
    served.add("api", api="prometheus", effect="html")
    answer = served.ask("GET", UP)
    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert "<title>502 Bad Gateway</title>" in answer.text


def test_a_rule_strikes_only_what_it_names(served):
    served.add("api", api="kubernetes", cluster="eu-eks", method="get", path=r"/pods\?limit=", effect="error")
    assert served.ask("GET", f"{PODS}?limit=1").status_code == 500
    for method, path in (
        ("GET", PODS),
        ("GET", UP),
        ("GET", f"{PODS.replace('eu-eks', 'us-gke')}?limit=1"),
        ("POST", f"{PODS}?limit=1"),
    ):
        assert served.ask(method, path, {} if method == "POST" else None).status_code != 500


@pytest.mark.parametrize(("cluster", "status"), [("eu-eks", 500), ("us-gke", 200)])
def test_a_rule_for_a_cluster_knows_it_in_the_paths_of_its_cloud(served, cluster, status):
    served.add("api", api="any", cluster=cluster, effect="error")
    assert served.ask("GET", EKS).status_code == status
    assert served.ask("GET", GKE).status_code == {200: 500, 500: 200}[status]


def test_a_rule_ends_after_its_times(served):
    fault = served.add("api", effect="error", times=2)
    assert [served.ask("GET", PODS).status_code for _ in range(3)] == [500, 500, 200]
    assert served.struck(fault) == 2


def test_the_controls_are_never_struck(served):
    served.add("api", effect="reset")
    assert served.ask("GET", "/simulation").ok
    assert served.ask("GET", "/faults").ok
