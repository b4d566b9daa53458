from __future__ import annotations

import logging
from urllib.parse import parse_qs

import pytest

from blocks.aws import aws_client
from blocks.errors import (
    CloudRefused,
    Conflict,
    NotConfigured,
    NotFound,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from blocks.fleet import CloudAccess, Cluster
from blocks.node_pools import connect
from blocks.node_pools.eks import EksNodePools

NODE = {"instance_type": "m5.xlarge", "node_cpu": 4, "node_memory": "16Gi"}


def cluster(**cloud) -> Cluster:
    pools = [{"name": "web", "min_nodes": 2, "max_nodes": 20, **NODE}]
    return Cluster(name="eu", site="s", provider="eks", cloud={"region": "eu-central-1", **cloud}, node_pools=pools)


def group(**more):
    sizes = {"minSize": 2, "maxSize": 20, "desiredSize": 5}
    return {"nodegroup": {"nodegroupName": "web", "status": "ACTIVE", "scalingConfig": sizes, **more}}


@pytest.fixture
def pools(server, monkeypatch) -> EksNodePools:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    server.answers(server.as_json(group()))
    return connect(cluster(endpoint_url=server.url))


def refusal(server, code, status):
    return server.as_json({"message": "the words"}, status, **{"x-amzn-ErrorType": code})


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ResourceInUseException", 409, Conflict),
        ("InvalidRequestException", 400, Conflict),
        ("InvalidParameterException", 400, CloudRefused),
        ("ResourceLimitExceededException", 400, CloudRefused),
        ("ResourceNotFoundException", 404, NotFound),
        ("AccessDeniedException", 403, Unauthorized),
        ("ThrottlingException", 429, Throttled),
        ("ServerException", 500, Unreachable),
        ("SomethingNewException", 403, Unauthorized),
    ],
)
def test_each_code_of_aws_is_one_kind_of_error(server, pools, code, status, kind) -> None:
    server.answers(refusal(server, code, status))
    with pytest.raises(kind, match=r"pool eu/web: .*the words") as caught:
        pools.describe("web")
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_page_of_html_is_an_error_of_ours(server, pools, status) -> None:
    server.answers(server.as_html(status))
    with pytest.raises((Unreachable, NotFound)):
        pools.describe("web")


def test_a_lost_answer_to_a_write_is_asked_again_with_the_same_token(server, pools) -> None:
    update = server.as_json({"update": {"id": "u1", "status": "InProgress"}})
    server.answers(server.as_json(group()), server.as_html(503), update)
    assert pools.set_desired("web", 8, token="intent-1").id == "u1"
    first, second = (asked.json() for asked in server.asked[1:])
    expected = {"scalingConfig": {"desiredSize": 8}, "clientRequestToken": "intent-1"}
    assert first == second == expected


def test_an_answer_that_never_comes_is_timed_out(server, pools, monkeypatch) -> None:
    import threading

    held = threading.Event()
    monkeypatch.setattr("blocks.aws.READ_TIMEOUT_S", 0.1)
    slow = connect(cluster(endpoint_url=server.url))
    server.answers(held)
    with pytest.raises(TimedOut, match="before repeating"):
        slow.describe("web")
    held.set()


def test_a_closed_port_is_unreachable_and_not_timed_out(pools) -> None:
    down = connect(cluster(endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(Unreachable) as caught:
        down.describe("web")
    assert type(caught.value) is Unreachable


def test_bounds_alone_leave_the_desired_size_out_unless_they_force_it(server, pools) -> None:
    update = server.as_json({"update": {"id": "u1", "status": "InProgress"}})
    for bounds in ((3, 20), (6, 20)):
        server.answers(server.as_json(group()), update)
        pools.set_bounds("web", *bounds)
    sent = [asked.json()["scalingConfig"] for asked in server.asked if asked.method == "POST"]
    assert sent == [{"minSize": 3, "maxSize": 20}, {"minSize": 6, "maxSize": 20, "desiredSize": 6}]


def test_marks_of_other_tools_are_reported(server, pools) -> None:
    server.answers(server.as_json(group(tags={"argocd.argoproj.io/instance": "infra"})))
    assert pools.describe("web").owner == "argo-cd"
    server.answers(server.as_json(group(labels={"continuum.io/hands-off": "true"})))
    assert pools.describe("web").hands_off


def test_an_update_that_failed_carries_the_reason(server, pools) -> None:
    errors = [{"errorCode": "IpNotAvailable", "errorMessage": "subnet full"}]
    server.answers(server.as_json({"update": {"id": "u1", "status": "Failed", "errors": errors}}))
    from blocks.node_pools import Operation

    found = pools.operation(Operation("u1", "web", "running"))
    assert (found.state, found.error) == ("failed", "IpNotAvailable: subnet full")


def test_real_credentials_never_travel_over_plain_http_nor_show_in_logs(server, monkeypatch, caplog) -> None:
    caplog.set_level(logging.DEBUG, "blocks")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    server.answers(server.as_json(group()))
    connect(cluster(endpoint_url=server.url)).describe("web")
    assert "AKIAREAL" not in server.asked[0].headers["authorization"]
    assert "hunter2" not in caplog.text


def test_a_missing_region_or_profile_is_said_to_be_so(monkeypatch, tmp_path) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for cloud in ({"region": None}, {"profile": "nobody"}):
        with pytest.raises(NotConfigured, match="cluster eu"):
            connect(cluster(**cloud))


def assumed(asked):
    """What STS answers: credentials that carry the name of the role."""
    role = parse_qs(asked.body.decode())["RoleArn"][0].rsplit("/", 1)[1]
    words = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
    <AccessKeyId>ASIA{role}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
    return 200, {"Content-Type": "text/xml"}, words.encode()


def test_clients_of_two_roles_have_credentials_of_their_own_and_read_no_description_of_aws_twice(
    server, monkeypatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    server.handler = assumed
    places = [CloudAccess(region="eu-central-1", role_arn=f"arn:aws:iam::1:role/{role}") for role in ("one", "two")]
    clients = [aws_client("eks", places[0], "here")]

    def keys():
        return [client._request_signer._credentials.get_frozen_credentials().access_key for client in clients]

    assert keys() == ["ASIAone"]
    monkeypatch.setattr("botocore.loaders.JSONFileLoader.load_file", lambda *_: pytest.fail("it was read again"))
    clients.append(aws_client("eks", places[1], "here"))
    assert keys() == ["ASIAone", "ASIAtwo"]
