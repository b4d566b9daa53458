"""Whatever a client sends, the answer is a Status and the controllers go on."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.local.kubernetes.schemas import TYPES, Schema, parse
from tests.deployments.local.kubernetes.api import JSON_PATCH, STRATEGIC, Api, Json
from tests.deployments.local.kubernetes.test_kinds import LEAST, STORED, place

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "s": st.sampled_from(["", "a", "x/y", "In", "Exists", "Always", "10.96.0.1", "None", "0"]),
    "i": st.sampled_from([-1, 0, 1, 5, 2**40]), "b": st.booleans(), "n": st.sampled_from([0, 1.5]),
    "q": st.sampled_from(["1", "0", "-1", "100m", "1Gi"]), "is": st.sampled_from([0, 1, -1, "25%", "x", "0%"]),
    "t": st.just("2027-01-01T00:00:00Z"), "mt": st.just("2027-01-01T00:00:00.000000Z"), "y": st.just("eA=="),
}  # fmt: skip
JUNK: st.SearchStrategy[Any] = st.sampled_from([None, 0, -1, 1.5, True, "", "x", [], {}, [None], [{}], {"a": None}])


def values(schema: Schema, depth: int = 5) -> st.SearchStrategy[Any]:
    """Values of a type, some of them nonsense that still has its shape."""
    if schema.form == "struct" and depth:
        fields = {name: values(below, depth - 1) for name, below in schema.fields.items()}
        return st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
        )
    if schema.form == "list" and depth:
        return st.lists(values(schema.items, depth - 1), max_size=2)
    if schema.form == "map" and depth:
        return st.dictionaries(st.sampled_from(["a", "cpu", "x/y", ""]), values(schema.items, depth - 1), max_size=2)
    if schema.form in ("struct", "map"):
        return st.just({})
    return JUNK if schema.form == "*" else st.just([]) if schema.form == "list" else SCALARS[schema.form.rstrip("0")]


def merged(base: Any, more: Any) -> Any:
    """One object over another."""
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}
    return more


API = Api()


@settings(max_examples=40)
@given(st.data())
def test_an_object_of_any_content_is_made_and_changed_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(STORED))
    fields = {name: parse(text.split(":", 1)[1]) for text in TYPES[kind.kind].split() if (name := text.split(":")[0])}
    field = data.draw(st.sampled_from(sorted(set(fields) - {"metadata"}) or ["metadata"]))
    base: Json = {"metadata": {"name": "f"}, **LEAST.get(kind.plural, {})}
    body = merged(base, {field: data.draw(values(fields[field]))})
    made = API("POST", place(kind), body)
    assert made.code in (201, 400, 403, 404, 409, 413, 422), made.raw
    path = f"{place(kind)}/{base['metadata']['name']}"
    change = {field: data.draw(values(fields[field]))}
    for form in ("application/merge-patch+json", STRATEGIC):
        assert API.patch(path, change, form).code in (200, 400, 403, 404, 409, 413, 422)
    assert API.patch(path, change, subresource="status").code in (200, 400, 403, 404, 409, 413, 422)
    applied = API.apply(path, {"kind": kind.kind, "apiVersion": kind.api_version, **change})
    assert applied.code in (200, 201, 400, 403, 404, 409, 422, 500)
    API.advance(3)
    API("DELETE", path, gracePeriodSeconds="0")
    API.patch(path, {"metadata": {"finalizers": None}})
    API.advance(61)


@settings(max_examples=40)
@given(st.recursive(JUNK, lambda inner: st.dictionaries(st.sampled_from(
    ["metadata", "name", "labels", "spec", "replicas", "template", "containers", "$patch",
     "$setElementOrder/containers",
     "$retainKeys", "$deleteFromPrimitiveList/finalizers", "kind", "ownerReferences", "uid", "deleteOptions", "target",
     "preconditions", "resourceAttributes", "managedFields", "finalizers"]), inner, max_size=3), max_leaves=8),
    st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]))  # fmt: skip
def test_a_body_of_any_shape_gets_a_status(body: Any, method: str) -> None:
    spec = LEAST["deployments"]["spec"]
    root = "/apis/apps/v1/namespaces/default/deployments"
    API("POST", root, {"metadata": {"name": "web"}, "spec": spec})
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    paths = {"POST": [root, reviews, "/api/v1/namespaces/default/pods/p/eviction",
                      "/api/v1/namespaces/default/serviceaccounts/default/token"]}  # fmt: skip
    for path in paths.get(method, [f"{root}/web", f"{root}/web/status", f"{root}/web/scale"]):
        for form in (
            ("application/merge-patch+json", STRATEGIC, JSON_PATCH) if method == "PATCH" else ("application/json",)
        ):
            answer = API(method, path, body, kind=form, fieldManager="m")
            assert answer.code < 500, (path, form, answer.raw)
    API.advance(1)


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries({
    "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
    "path": st.sampled_from(["", "/", "/spec", "/spec/replicas", "/spec/template/spec/containers/0",
                             "/metadata/labels/a~1b",
                             "/spec/template/spec/containers/-", "/spec/template/spec/containers/00", "x",
                             "/spec/replicas/x"]),
}, optional={"value": JUNK, "from": st.sampled_from(["", "/spec", "/spec/replicas", "/metadata", "/nothing"])}),
    max_size=4))  # fmt: skip
@example([{"op": "add", "path": "/spec/template/spec/containers/0", "value": None}])
def test_a_json_patch_of_any_operations_gets_a_status(operations: list[Json]) -> None:
    root = "/apis/apps/v1/namespaces/default/deployments"
    API("POST", root, {"metadata": {"name": "web"}, "spec": LEAST["deployments"]["spec"]})
    assert API.patch(f"{root}/web", operations, JSON_PATCH).code in (200, 400, 409, 422)
    API.advance(1)
