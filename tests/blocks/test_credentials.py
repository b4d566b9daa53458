"""Secrets are resolved late and shown nowhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from blocks.credentials import MASK, join_secrets, public_data, resolve_secrets, secret_text, split_secrets
from blocks.errors import NotConfigured
from blocks.fleet import Cluster, Fleet, Metrics
from blocks.fleet_checks import secret_kind
from blocks.fleet_file import check_text
from blocks.fleet_words import translate

POOL = {"name": "p", "instance_type": "i", "min_nodes": 1, "max_nodes": 2, "node_cpu": 1, "node_memory": "1Gi"}


def fleet_with(token: str | None, password: str | None, cluster_token: str | None) -> dict[str, object]:
    """A fleet's data with secrets in every place that can hold one."""
    metrics = {"url": "http://p", "username": "me", "password": password}
    access = {"server": "https://a", "token": cluster_token}
    cluster = {"name": "a", "site": "s", "provider": "k3s", "node_pools": [POOL], "kubernetes": access}
    return {
        "name": "f",
        "metrics": {"url": "http://p", "token": token},
        "sites": [{"name": "s", "tier": "far-edge", "latitude": 1, "longitude": 1}],
        "clusters": [cluster | {"metrics": metrics}],
    }


# Marked, so that no secret is by chance a part of what is rightly shown.
marked = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(lambda text: f"Zq{text}qZ")
literals = marked.filter(lambda text: secret_kind(text) == "literal")


@settings(max_examples=40)
@given(literals, literals, literals)
def test_no_secret_is_in_anything_that_shows_a_fleet(token: str, password: str, cluster_token: str) -> None:
    fleet = Fleet.model_validate(fleet_with(token, password, cluster_token))
    resolved = resolve_secrets(fleet.clusters[0])
    shown = [repr(fleet), str(fleet), fleet.model_dump_json(), str(fleet.model_dump()), json.dumps(public_data(fleet))]
    shown += [repr(resolved), str(resolved), resolved.model_dump_json()]
    assert not [text for text in shown if "Zq" in text]


@settings(max_examples=60)
@given(
    marked,
    st.sampled_from(["token", "tokn", "password", "url", "ca_file: x, token", "&a token", "verify_tls: 3, token"]),
)
def test_no_secret_is_in_a_problem_even_where_the_file_is_wrong(secret: str, key: str) -> None:
    # A key is shown: it names the field. Text that breaks out of its quotes may become one.
    for typed in (
        json.dumps(secret, ensure_ascii=False),
        secret,
        f"*{secret}",
        f"!{secret}",
        f"[{secret}]",
        f"{{{secret}: 1}}",
    ):
        value = f"http://me:{secret}@p" if key == "url" else typed
        text = f"name: f\nmetrics: {{url: 'http://p', {key}: {value}}}\nsites: 3\n"
        assert not [
            str(problem)
            for problem in check_text(text, "f").problems
            if "Zq" in str(problem) and "key" not in problem.problem
        ]


@settings(max_examples=40)
@given(*[st.none() | literals | st.sampled_from(["${TOKEN}", "secret:block"])] * 3)
def test_split_and_join_are_inverse_and_only_literals_are_taken_out(
    token: str | None, password: str | None, cluster_token: str | None
) -> None:
    fleet = Fleet.model_validate(fleet_with(token, password, cluster_token))
    data, taken = split_secrets(fleet)
    assert sorted(taken.values()) == sorted(text for text in (token, password, cluster_token) if text and "Zq" in text)
    assert Fleet.model_validate(join_secrets(json.loads(json.dumps(data)), taken)) == fleet


def test_an_environment_variable_is_read_when_the_secret_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SecretStr("${FLEET_TOKEN}")
    monkeypatch.delenv("FLEET_TOKEN", raising=False)
    with pytest.raises(NotConfigured, match="metrics token: environment variable FLEET_TOKEN is not set"):
        secret_text(secret, where="metrics token")
    monkeypatch.setenv("FLEET_TOKEN", "hunter2")
    assert secret_text(secret, where="metrics token") == "hunter2"


def test_a_block_is_read_by_the_reader_that_is_given_and_by_no_other() -> None:
    secret = SecretStr("secret:my-block")
    assert secret_text(secret, where="here", read_block=lambda name, where: f"{name} at {where}") == "my-block at here"
    with pytest.raises(NotConfigured, match="the Prefect block `my-block` cannot be read here"):
        secret_text(secret, where="here")


def test_a_resolved_secret_is_used_as_it_is_even_where_it_looks_like_a_reference() -> None:
    metrics = Metrics(url="http://p", token=SecretStr("secret:one"))
    once = resolve_secrets(metrics, read_block=lambda _name, _where: "${NOT_A_VARIABLE}")
    assert resolve_secrets(once) == once
    assert secret_text(once.token, where="") == "${NOT_A_VARIABLE}"


def test_a_cluster_is_resolved_with_its_access_and_its_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    cluster = Cluster.model_validate(fleet_with(None, "secret:two", "${ONE}")["clusters"][0])  # type: ignore[index]
    resolved = resolve_secrets(cluster, read_block=lambda _name, where: where)
    assert resolved.kubernetes.token is not None
    assert resolved.kubernetes.token.get_secret_value() == "1"
    assert resolved.metrics is not None
    assert resolved.metrics.password is not None
    assert resolved.metrics.password.get_secret_value() == "cluster a metrics password"
    assert cluster.kubernetes.token is not None
    assert cluster.kubernetes.token.get_secret_value() == "${ONE}"


def test_the_mask_of_a_lost_secret_is_no_secret() -> None:
    with pytest.raises(NotConfigured):
        secret_text(SecretStr(MASK), where="here")


def test_whatever_is_wrong_with_a_secret_its_text_is_not_told() -> None:
    detail = {"type": "int_parsing", "loc": ("metrics", "token"), "msg": "", "input": "hunter2"}
    (found,) = translate([detail], [])  # type: ignore[list-item]
    assert found.path == ("metrics", "token")
    assert "hunter2" not in str(found)


def test_keys_of_carbon_services_are_masked_and_joined_again_and_references_stay() -> None:
    services = [{"kind": "eia", "token": "typed"}, {"kind": "entsoe", "token": "${KEY}"}]
    fleet = Fleet.model_validate(fleet_with(None, None, None) | {"carbon": services})
    data, taken = split_secrets(fleet)
    assert [each["token"] for each in data["carbon"]] == [MASK, "${KEY}"]
    assert list(taken.values()) == ["typed"]
    assert [each["token"] for each in join_secrets(data, taken)["carbon"]] == ["typed", "${KEY}"]
