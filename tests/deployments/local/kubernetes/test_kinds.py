"""Every kind can be made, read, changed and deleted, with the defaults and rules of its own."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.local.kubernetes.kinds import BUILT_IN, Kind
from tests.deployments.local.kubernetes.api import Api, Json, deployment, pod_template

NETWORK, POD = "/apis/networking.k8s.io/v1/namespaces/default", "/api/v1/namespaces/default"
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
_SELECTED: Json = {"selector": {"matchLabels": {"app": "web"}}, "template": pod_template()}
_JOB: Json = {"template": {"spec": {**pod_template()["spec"], "restartPolicy": "Never"}}}
_SCALED: Json = {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}, "maxReplicas": 3}
_ROLE_REF: Json = {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"}
_SCHEMA = {"openAPIV3Schema": {"type": "object"}}

# The least that an object of a kind must say, by plural; everything else needs nothing but a name.
LEAST: dict[str, Json] = {
    "pods": {"spec": pod_template()["spec"]}, "services": {"spec": {"ports": [{"port": 80}]}},
    "deployments": {"spec": _SELECTED}, "replicasets": {"spec": _SELECTED}, "daemonsets": {"spec": _SELECTED},
    "statefulsets": {"spec": {**_SELECTED, "serviceName": "web"}}, "jobs": {"spec": _JOB},
    "cronjobs": {"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": _JOB}}},
    "horizontalpodautoscalers": {"spec": _SCALED},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "persistentvolumes": {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
                                   "hostPath": {"path": "/x"}}},
    "events": {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "R"},
    "endpointslices": {"addressType": "IPv4"}, "priorityclasses": {"value": 5},
    "ingresses": {"spec": {"defaultBackend": BACKEND}}, "ingressclasses": {"spec": {"controller": "example.com/c"}},
    "storageclasses": {"provisioner": "example.com/p"}, "rolebindings": {"roleRef": _ROLE_REF},
    "clusterrolebindings": {"roleRef": _ROLE_REF},
    "customresourcedefinitions": {"metadata": {"name": "xs.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "xs", "kind": "X"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": _SCHEMA}]}},
}  # fmt: skip
STORED = [kind for kind in BUILT_IN if "list" in kind.verbs and not kind.stored_as]


def place(kind: Kind) -> str:
    """The path of a kind's collection."""
    root = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
    return f"{root}/namespaces/default/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
def test_every_kind_can_be_made_listed_labelled_replaced_and_deleted(api: Api, kind: Kind) -> None:
    body = {"metadata": {"name": "x"}, **LEAST.get(kind.plural, {})}
    made = api("POST", place(kind), body)
    assert made.code == 201, made.raw
    name = made.body["metadata"]["name"]
    path = f"{place(kind)}/{name}"
    assert (made.body["kind"], made.body["apiVersion"]) == (kind.kind, kind.api_version)
    assert name in [entry["metadata"]["name"] for entry in api("GET", place(kind)).body["items"]]
    assert api.patch(path, {"metadata": {"labels": {"a": "b"}}}).body["metadata"]["labels"]["a"] == "b"
    present = api("GET", path).body
    assert api("PUT", path, present).code == 200
    table = api("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io").body
    assert [row["object"]["metadata"]["name"] for row in table["rows"]] == [name]
    assert api("DELETE", path).code == 200
    api.advance(60)
    assert api("GET", path).code == 404


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
def test_the_generation_of_a_kind_moves_with_its_spec_and_not_with_its_labels(api: Api, kind: Kind) -> None:
    made = api("POST", place(kind), {"metadata": {"name": "x"}, **LEAST.get(kind.plural, {})}).body["metadata"]
    labelled = api.patch(f"{place(kind)}/{made['name']}", {"metadata": {"labels": {"a": "b"}}}).body["metadata"]
    assert made.get("generation") == (1 if kind.generation else None)
    assert labelled.get("generation") == made.get("generation")


@pytest.mark.parametrize(
    ("plural", "change"),
    [
        ("deployments", {"metadata": {"annotations": {"a": "b"}}}),
        ("deployments", {"spec": {"paused": True}}),
        ("statefulsets", {"spec": {"replicas": 2}}),
        ("daemonsets", {"spec": {"minReadySeconds": 2}}),
        ("cronjobs", {"spec": {"suspend": True}}),
        ("jobs", {"spec": {"parallelism": 2}}),
        ("ingresses", {"spec": {"ingressClassName": "x"}}),
        ("networkpolicies", {"spec": {"ingress": [{}]}}),
        ("poddisruptionbudgets", {"spec": {"minAvailable": 1}}),
        ("endpointslices", {"endpoints": [{"addresses": ["10.0.0.1"]}]}),
    ],
)
def test_a_change_that_counts_raises_the_generation_by_one(api: Api, plural: str, change: Json) -> None:
    kind = next(entry for entry in STORED if entry.plural == plural)
    api("POST", place(kind), {"metadata": {"name": "x"}, **LEAST.get(plural, {})})
    assert api.patch(f"{place(kind)}/x", change).body["metadata"]["generation"] == 2


@pytest.mark.parametrize("plural", ["leases", "events", "roles", "endpoints", "limitranges", "configmaps", "pods"])
def test_a_put_creates_only_the_kinds_that_allow_it(api: Api, plural: str) -> None:
    kind = next(entry for entry in STORED if entry.plural == plural)
    answer = api("PUT", f"{place(kind)}/x", {"metadata": {"name": "x"}, **LEAST.get(plural, {})})
    assert answer.code == (201 if kind.created_by_put else 404)


def test_a_claim_is_bound_after_a_second_and_may_then_grow_but_not_shrink(api: Api) -> None:
    path = f"{POD}/persistentvolumeclaims"
    made = api("POST", path, {"metadata": {"name": "c"}, **LEAST["persistentvolumeclaims"]}).body
    assert made["status"] == {"phase": "Pending"}
    grown: Any = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert api.patch(f"{path}/c", grown).code == 422
    api.advance(2)
    bound = api("GET", f"{path}/c").body
    assert (bound["status"]["phase"], bound["status"]["capacity"]) == ("Bound", {"storage": "1Gi"})
    assert bound["spec"]["volumeName"] == f"pvc-{made['metadata']['uid']}"
    assert api.patch(f"{path}/c", grown).code == 200
    assert api("GET", f"{path}/c").body["status"]["capacity"] == {"storage": "2Gi"}
    assert api.patch(f"{path}/c", {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}).code == 422
    assert api.patch(f"{path}/c", {"spec": {"accessModes": ["ReadWriteMany"]}}).fields == ["spec"]


def test_a_claim_in_use_goes_only_after_its_pod(api: Api) -> None:
    path = f"{POD}/persistentvolumeclaims"
    api("POST", path, {"metadata": {"name": "c"}, **LEAST["persistentvolumeclaims"]})
    spec = {**pod_template()["spec"], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}
    api("POST", f"{POD}/pods", {"metadata": {"name": "p"}, "spec": spec})
    assert api("DELETE", f"{path}/c").body["metadata"]["deletionTimestamp"]
    assert api("GET", f"{path}/c").code == 200
    api("DELETE", f"{POD}/pods/p")
    assert api("GET", f"{path}/c").code == 404


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, ["spec"]),
        ({"defaultBackend": {}}, ["spec.defaultBackend"]),
        ({"rules": [{"host": "A_b"}]}, ["spec.rules[0].host"]),
        ({"rules": [{"http": {"paths": [{"path": "/", "backend": BACKEND}]}}]},
         ["spec.rules[0].http.paths[0].pathType"]),
        ({"rules": [{"http": {"paths": [{"path": "x", "pathType": "Prefix", "backend": BACKEND}]}}]},
         ["spec.rules[0].http.paths[0].path"]),
    ],
)  # fmt: skip
def test_an_ingress_that_makes_no_sense_is_refused(api: Api, spec: Json, fields: list[str]) -> None:
    answer = api("POST", f"{NETWORK}/ingresses", {"metadata": {"name": "x"}, "spec": spec})
    assert (answer.code, answer.fields) == (422, fields)


def test_a_network_policy_applies_to_the_directions_that_it_has_rules_for(api: Api) -> None:
    path = f"{NETWORK}/networkpolicies"
    types = [api("POST", path, {"metadata": {"name": name}, "spec": spec}).body["spec"]["policyTypes"]
             for name, spec in (("a", {}), ("b", {"egress": [{"ports": [{"port": 53}]}]}))]  # fmt: skip
    assert types == [["Ingress"], ["Ingress", "Egress"]]
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/24"]}}
    spec = {"ingress": [{"from": [block, {}]}]}
    refused = api("POST", path, {"metadata": {"name": "c"}, "spec": spec})
    assert refused.fields == ["spec.ingress[0].from[0].ipBlock.except[0]", "spec.ingress[0].from[1]"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [("1000m", "1"), ("0.5", "500m"), ("1500m", "1500m"), (2, "2"), ("0.5Gi", "512Mi"), ("2048Mi", "2Gi"),
     ("1000", "1k"), ("1e3", "1e3"), ("0.0000000001", "1n"), ("1.5Ki", "1536"), ("+1", "1")],
)  # fmt: skip
def test_quantities_come_back_in_their_canonical_form(api: Api, given: Any, shown: str) -> None:
    body = {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": given}}}
    assert api("POST", "/api/v1/nodes", body).body["status"]["capacity"] == {"cpu": shown}


def test_nested_defaults_are_those_of_the_server(api: Api) -> None:
    container = {
        "name": "m", "image": "i", "readinessProbe": {"httpGet": {"port": 80}},
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, {"name": "E", "value": ""}],
    }  # fmt: skip
    spec = {"containers": [container], "volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "c"}}],
            "hostNetwork": False, "nodeName": ""}  # fmt: skip
    made = api("POST", f"{POD}/pods", {"metadata": {"name": "p"}, "spec": spec}).body["spec"]
    assert made["containers"][0]["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
        "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip
    assert made["containers"][0]["env"] == [
        {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}, {"name": "E"},
    ]  # fmt: skip
    assert made["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "c", "defaultMode": 420}},
    ]
    assert "hostNetwork" not in made
    assert "nodeName" not in made


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"containers": [{"name": "m", "image": "i"}, {"name": "m", "image": "i"}]}, "containers[1].name"),
        ({"initContainers": [{"name": "m", "image": "i"}]}, "initContainers[0].name"),
        ({"containers": [{"name": "m", "image": "i", "ports": [{"containerPort": 99999}]}]},
         "containers[0].ports[0].containerPort"),
        ({"containers": [{"name": "m", "image": "i", "resources": {"requests": {"cpu": "-1"}}}]},
         "containers[0].resources.requests[cpu]"),
        ({"containers": [{"name": "m", "image": "i", "livenessProbe": {}}]}, "containers[0].livenessProbe"),
        ({"containers": [{"name": "m", "image": "i", "imagePullPolicy": "Often"}]}, "containers[0].imagePullPolicy"),
        ({"tolerations": [{"operator": "Equal"}]}, "tolerations[0].operator"),
        ({"nodeSelector": {"a b": "c"}}, "nodeSelector"),
        ({"terminationGracePeriodSeconds": -1}, "terminationGracePeriodSeconds"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, "volumes[1].name"),
        ({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
         "topologySpreadConstraints[0].maxSkew"),
    ],
)  # fmt: skip
def test_a_pod_template_that_cannot_run_is_refused_with_its_path(api: Api, change: Json, field: str) -> None:
    body = deployment()
    body["spec"]["template"]["spec"] |= change
    answer = api("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    assert (answer.code, answer.fields) == (422, [f"spec.template.spec.{field}"])


def test_a_pod_without_a_grace_period_can_be_annotated(api: Api) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "quick"},
           "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "m", "image": "i"}]}}  # fmt: skip
    assert api("POST", "/api/v1/namespaces/default/pods", pod).code == 201
    change = {"metadata": {"annotations": {"a": "b"}}}
    assert api.patch("/api/v1/namespaces/default/pods/quick", change).code == 200
