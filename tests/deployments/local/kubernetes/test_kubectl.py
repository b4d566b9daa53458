"""The real kubectl against a simulated cluster, command by command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.server import TOKEN, VIEWER, Server

Json = dict[str, Any]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


class Kubectl:
    """kubectl with a home of its own, against one server."""

    def __init__(self, server: Server, home: Path) -> None:
        self._url, self._home = server.url, home

    def start(self, *words: str, token: str = TOKEN) -> subprocess.Popen[str]:
        """A command under way."""
        address = self._url.replace("http://", f"http://kubectl:{token}@")
        command = ["kubectl", f"--server={address}", "--request-timeout=20s", *words]
        environment = {**os.environ, "HOME": str(self._home), "KUBECONFIG": str(self._home / "none")}
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)  # fmt: skip

    def run(self, *words: str, manifest: Json | None = None, token: str = TOKEN) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command."""
        running = self.start(*words, *(("-f", "-") if manifest else ()), token=token)
        out, err = running.communicate(json.dumps(manifest) if manifest else None, timeout=60)
        return running.returncode, out, err

    def __call__(self, *words: str, manifest: Json | None = None) -> str:
        """What a command that works prints."""
        code, out, err = self.run(*words, manifest=manifest)
        assert code == 0, err
        return out

    def rows(self, *words: str) -> list[list[str]]:
        """A table's lines, in words."""
        return [line.split() for line in self(*words).splitlines()]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A cluster with metrics-server, two nodes that run and a Deployment `web` of two pods."""
    server = Server(metrics_server=True).opened()
    found = Kubectl(server, tmp_path_factory.mktemp("kubectl"))
    for manifest in (node("n1"), node("n2")):
        found("apply", manifest=manifest)
    found("wait", "--for=condition=Ready", "node", "--all", "--timeout=20s")
    found("apply", manifest=web(2))
    found("rollout", "status", "deployment/web", "--timeout=20s")
    yield found
    server.close()


def node(name: str) -> Json:
    room = {"cpu": "8", "memory": "16Gi", "pods": "50"}
    metadata = {"name": name, "labels": {"continuum.io/simulated-kubelet": "true"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"capacity": room, "allocatable": room}}


def web(replicas: int, name: str = "web", image: str = "web:1") -> Json:
    labels = {"app": name}
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}  # fmt: skip


USED = [["n1", "220m"], ["n2", "220m"]]
"""A fiftieth of eight cores, and a pod's 60m."""


def table(kubectl: Kubectl, *words: str) -> list[list[str]]:
    """A table's lines, in words; none while the command fails."""
    return [line.split() for line in kubectl.run(*words)[1].splitlines()]


def test_get_prints_the_real_columns_and_wide_ones(kubectl: Kubectl) -> None:
    assert kubectl.rows("get", "deployment", "web")[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert kubectl.rows("get", "pods", "-l", "app=web", "-o", "wide")[0][:7] == [
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE",
    ]  # fmt: skip
    assert "CONTAINER-RUNTIME" in kubectl.rows("get", "nodes", "-o", "wide")[0]
    assert kubectl("get", "node", "n1", "-o", "jsonpath={.status.capacity.cpu}") == "8"
    assert "deployment.apps/web" in kubectl("get", "all", "-A")


def test_get_with_a_watch_prints_a_row_for_every_change(kubectl: Kubectl) -> None:
    watch = kubectl.start("get", "nodes", "-w")
    assert watch.stdout is not None
    while not (line := watch.stdout.readline()).startswith("n2"):
        assert line
    kubectl("cordon", "n2")
    assert watch.stdout.readline().split()[:2] == ["n2", "Ready,SchedulingDisabled"]
    kubectl("uncordon", "n2")
    watch.terminate()
    watch.communicate(timeout=10)


def test_top_prints_what_nodes_pods_and_containers_use(kubectl: Kubectl) -> None:
    pods = ("top", "pods", "-l", "app=web", "--containers")
    found = next(rows for _ in range(200) if len(rows := table(kubectl, *pods)) == 3)  # the first sample takes 15 s
    assert [words[1:] for words in found] == [["NAME", "CPU(cores)", "MEMORY(bytes)"], *[["main", "60m", "44Mi"]] * 2]
    assert [words[:2] for words in table(kubectl, "top", "nodes")] == [["NAME", "CPU(cores)"], *USED]


def test_a_rollout_is_followed_paused_undone_and_told(kubectl: Kubectl) -> None:
    kubectl("apply", manifest=web(2, "roll"))
    kubectl("set", "image", "deployment/roll", "main=web:2")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/roll", "--timeout=30s")
    assert kubectl.rows("rollout", "history", "deployment/roll")[2:4] == [["1", "<none>"], ["2", "<none>"]]
    kubectl("rollout", "undo", "deployment/roll")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deployment", "roll", "-o", image) == "web:1"
    assert "paused" in kubectl("rollout", "pause", "deployment/roll")
    assert "resumed" in kubectl("rollout", "resume", "deployment/roll")
    assert "restarted" in kubectl("rollout", "restart", "deployment/roll")
    kubectl("delete", "deployment", "roll")


def test_apply_creates_leaves_changes_and_shows_differences(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", manifest=web(1, "applied"))
    assert "unchanged" in kubectl("apply", manifest=web(1, "applied"))
    code, shown, _ = kubectl.run("diff", manifest=web(1, "applied", "web:2"))
    assert code == 1
    assert "web:2" in shown
    assert "configured" in kubectl("apply", manifest=web(1, "applied", "web:2"))
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", manifest=web(1, "applied"))
    assert "deleted" in kubectl("delete", "deployment", "applied")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deployment", "made", "--image=i:1", "--replicas=0"), "deployment.apps/made"),
        (("job", "made", "--image=i:1"), "job.batch/made"),
        (("cronjob", "made", "--image=i:1", "--schedule=0 0 1 1 *"), "cronjob.batch/made"),
        (("secret", "generic", "made", "--from-literal=a=b"), "secret/made"),
        (("configmap", "made", "--from-literal=a=b"), "configmap/made"),
        (("service", "clusterip", "made", "--tcp=80:8080"), "service/made"),
        (("role", "made", "--verb=get", "--resource=pods"), "role.rbac.authorization.k8s.io/made"),
        (("rolebinding", "made", "--role=made", "--user=u"), "rolebinding.rbac.authorization.k8s.io/made"),
        (("poddisruptionbudget", "made", "--selector=app=made", "--min-available=50%"),
         "poddisruptionbudget.policy/made"),
        (("priorityclass", "made", "--value=-1"), "priorityclass.scheduling.k8s.io/made"),
    ],
)  # fmt: skip
def test_create_sends_bodies_that_are_understood(kubectl: Kubectl, words: tuple[str, ...], said: str) -> None:
    assert kubectl("create", *words) == f"{said} created\n"
    assert "made" in kubectl("delete", said)


def test_autoscale_and_describe_show_a_working_autoscaler(kubectl: Kubectl) -> None:
    kubectl("autoscale", "deployment", "web", "--min=2", "--max=4", "--cpu-percent=90")
    kubectl("wait", "--for=condition=ScalingActive", "hpa/web", "--timeout=20s")
    assert kubectl.rows("get", "hpa", "web")[1][:6] == ["web", "Deployment/web", "cpu:", "60%/90%", "2", "4"]
    shown = kubectl("describe", "hpa", "web")
    assert "resource cpu on pods  (as a percentage of request):  60% (60m) / 90%" in shown
    assert "ValidMetricFound" in shown
    kubectl("delete", "hpa", "web")


def test_describe_tells_of_nodes_pods_and_workloads(kubectl: Kubectl) -> None:
    assert "Non-terminated Pods" in kubectl("describe", "node", "n1")
    assert "Controlled By:  ReplicaSet/web-" in kubectl("describe", "pods", "-l", "app=web")
    assert "2 desired" in kubectl("describe", "deployment", "web")
    assert "Available" in kubectl("describe", "deployment", "web")


def test_drain_waits_for_a_budget_and_goes_on_without_it(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "held", "--image=i:1", "--replicas=4")
    kubectl("rollout", "status", "deployment/held", "--timeout=20s")
    kubectl("create", "pdb", "held", "--selector=app=held", "--min-available=4")
    full = kubectl("get", "pods", "-l", "app=held", "-o", "jsonpath={.items[0].spec.nodeName}")
    code, _, refused = kubectl.run("drain", full, "--pod-selector=app=held", "--timeout=1s")
    assert code == 1
    assert "would violate the pod's disruption budget" in refused
    kubectl("delete", "pdb", "held")
    assert f"node/{full} drained" in kubectl("drain", full, "--timeout=20s")
    assert kubectl.rows("get", "node", full)[1][1] == "Ready,SchedulingDisabled"
    kubectl("uncordon", full)
    kubectl("delete", "deployment", "held")


def test_labels_annotations_taints_and_patches_are_written(kubectl: Kubectl) -> None:
    kubectl("label", "node", "n2", "tier=gold")
    kubectl("annotate", "node", "n2", "note=x")
    kubectl("taint", "node", "n2", "k=v:PreferNoSchedule")
    path = "jsonpath={.metadata.labels.tier} {.metadata.annotations.note} {.spec.taints[0].effect}"
    assert kubectl("get", "node", "n2", "-o", path) == "gold x PreferNoSchedule"
    kubectl("taint", "node", "n2", "k-")
    kubectl("patch", "deployment", "web", "-p", '{"metadata": {"labels": {"a": "b"}}}')
    assert "web" in kubectl("get", "deployment", "-l", "a=b")
    assert "scaled" in kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("scale", "deployment", "web", "--replicas=2")


def test_rights_are_told_and_a_viewer_is_refused(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    assert "continuum:admin" in kubectl("auth", "whoami")
    code, listed_rights, _ = kubectl.run("auth", "can-i", "--list", token=VIEWER)
    assert code == 0
    assert "metrics.k8s.io" in listed_rights
    code, _, refused = kubectl.run("delete", "pods", "--all", token=VIEWER)
    assert code == 1
    assert "Forbidden" in refused


def test_a_custom_resource_shows_its_own_columns(kubectl: Kubectl) -> None:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"size": {"type": "integer", "description": "How big it is."}}}}}}  # fmt: skip
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "additionalPrinterColumns": columns}
    names = {"plural": "ponds", "singular": "pond", "kind": "Pond"}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    kubectl("apply", manifest={"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                               "metadata": {"name": "ponds.example.com"}, "spec": spec})  # fmt: skip
    kubectl("wait", "--for=condition=Established", "crd/ponds.example.com", "--timeout=10s")
    kubectl("apply", manifest={"apiVersion": "example.com/v1", "kind": "Pond", "metadata": {"name": "p"},
                               "spec": {"size": 3}})  # fmt: skip
    assert kubectl.rows("get", "ponds") == [["NAME", "SIZE"], ["p", "3"]]


def test_what_the_server_is_and_serves_is_told(kubectl: Kubectl) -> None:
    assert "is running at" in kubectl("cluster-info")
    assert "metrics.k8s.io/v1beta1" in kubectl("api-versions")
    assert ["nodes", "metrics.k8s.io/v1beta1", "false", "NodeMetrics"] in kubectl.rows("api-resources")
    assert "service/web" in kubectl("expose", "deployment", "web", "--port=80")
