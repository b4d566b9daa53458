from __future__ import annotations

import datetime
import http.server
import ipaddress
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from blocks.errors import (
    Conflict,
    InvalidInput,
    NotConfigured,
    NotFound,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from blocks.http import BearerAuth, credentials, fetch_json, retry_policy, session

SECRET = "hunter2-very-secret"


def quick(**options: Any) -> requests.Session:
    return session(retry=retry_policy(backoff_s=0), **options)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (422, InvalidInput),
        (429, Throttled),
        (500, Unreachable),
        (504, TimedOut),
    ],
)
def test_each_status_is_one_kind_of_error_and_keeps_the_servers_words(server, status, kind) -> None:
    server.answers(server.as_json({"message": "because of the moon"}, status))
    with pytest.raises(kind, match="because of the moon") as caught:
        fetch_json(quick(), "POST", server.url, where="metrics")
    assert type(caught.value) is kind
    assert caught.value.where == "metrics"


def test_a_get_is_tried_again_until_the_server_is_back(server) -> None:
    server.answers(server.as_html(503), server.as_html(502), server.as_json({"fine": 1}))
    assert fetch_json(quick(), "GET", server.url, where="metrics") == {"fine": 1}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_that_may_change_something_is_sent_once(server, method) -> None:
    server.answers(server.as_html(503))
    with pytest.raises(Unreachable):
        fetch_json(quick(), method, server.url, where="metrics")
    assert len(server.asked) == 1


def test_a_page_of_a_proxy_with_status_200_is_unreachable_and_named(server) -> None:
    server.answers(server.as_html(200))
    with pytest.raises(Unreachable, match="Proxy sign-in"):
        fetch_json(quick(), "GET", server.url, where="metrics")


def test_an_answer_that_comes_too_late_is_timed_out_and_says_to_look_first(server) -> None:
    held = threading.Event()
    server.answers(held)
    with pytest.raises(TimedOut, match="before repeating"):
        fetch_json(quick(timeout_s=0.1), "POST", server.url, where="metrics")
    with pytest.raises(TimedOut):
        fetch_json(quick(timeout_s=0.1), "GET", server.url, where="metrics")
    held.set()
    assert [asked.method for asked in server.asked] == ["POST", "GET", "GET"]


def test_a_closed_port_and_a_broken_connection_are_unreachable_but_not_timed_out(server) -> None:
    server.answers(None)
    for url in (server.url, "http://127.0.0.1:1/"):
        with pytest.raises(Unreachable) as caught:
            fetch_json(quick(), "POST", url, where="metrics")
        assert type(caught.value) is Unreachable
        assert caught.value.retryable


def test_a_malformed_url_is_the_callers_fault() -> None:
    with pytest.raises(InvalidInput):
        fetch_json(quick(), "GET", "prometheus:9090/x", where="metrics")


def test_throttling_tells_how_long_to_wait(server) -> None:
    server.answers((429, {"Retry-After": "7"}, b""))
    with pytest.raises(Throttled) as caught:
        fetch_json(quick(), "POST", server.url, where="metrics")
    assert caught.value.retry_after_s == 7


def test_bearer_and_basic_credentials_reach_the_server(server, monkeypatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", SECRET)
    bearer = credentials(token=SecretStr("${METRICS_TOKEN}"), where="metrics")
    basic = credentials(username="me", password=SecretStr("pw"), where="metrics")
    for auth in (bearer, basic):
        fetch_json(quick(auth=auth), "GET", server.url, where="metrics")
    assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {SECRET}", "Basic bWU6cHc="]


def test_no_credentials_are_taken_from_netrc(server, monkeypatch, tmp_path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    fetch_json(quick(), "GET", server.url, where="metrics")
    assert "authorization" not in server.asked[0].headers


def test_credentials_stay_at_home_when_a_redirect_leaves_the_host(server) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.answers((302, {"Location": elsewhere + "/next"}, b""), server.as_json({}))
    fetch_json(quick(auth=BearerAuth(SECRET)), "GET", server.url, where="metrics")
    assert ["authorization" in asked.headers for asked in server.asked] == [True, False]


@pytest.mark.parametrize("reference", ["secret:metrics-token", "${METRICS_TOKEN_THAT_IS_UNSET}"])
def test_an_unresolved_secret_is_refused_before_anything_is_sent(reference) -> None:
    with pytest.raises(NotConfigured):
        credentials(token=SecretStr(reference), where="metrics")


def test_a_secret_shows_in_no_repr_log_or_error_even_when_the_server_echoes_it(server, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    server.handler = lambda asked: server.as_json({"message": f"bad {asked.headers['authorization']}"}, 403)
    auth = BearerAuth(SECRET)
    http = quick(auth=auth)
    with pytest.raises(Unauthorized) as caught:
        fetch_json(http, "GET", server.url, where="metrics")
    assert "bad Bearer ***" in str(caught.value)
    assert SECRET not in f"{caught.value!r} {auth!r} {http!r} {caplog.text}"
    assert caught.value.__cause__ is None


def test_a_proxy_of_the_environment_is_used_except_for_this_machine(server, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    fetch_json(quick(), "GET", "http://prometheus.invalid/x", where="metrics")
    assert server.asked[0].headers["host"] == "prometheus.invalid"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    fetch_json(quick(), "GET", server.url, where="metrics")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URL of an HTTPS server and the file of the CA that signed it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + pem)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    https = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    https.socket = context.wrap_socket(https.socket, server_side=True)
    threading.Thread(target=https.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"https://127.0.0.1:{https.server_address[1]}", str(folder / "ca.pem")
    https.shutdown()
    https.server_close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_given_ca_wins_over_the_one_in_the_environment(tls, monkeypatch, tmp_path) -> None:
    url, ca_file = tls
    other = tmp_path / "other.pem"
    other.write_bytes(Path(requests.certs.where()).read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert fetch_json(quick(ca_file=ca_file), "GET", url, where="metrics") == {}
    assert fetch_json(quick(verify_tls=False), "GET", url, where="metrics") == {}


def test_an_untrusted_certificate_is_said_so_and_not_tried_again_later(tls) -> None:
    with pytest.raises(Unreachable, match="ca_file") as caught:
        fetch_json(quick(), "GET", tls[0], where="metrics")
    assert not caught.value.retryable


def test_the_environments_ca_still_serves_where_none_is_given(tls, monkeypatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls[1])
    assert fetch_json(quick(), "GET", tls[0], where="metrics") == {}


def test_a_missing_ca_file_is_named() -> None:
    with pytest.raises(NotConfigured, match="nowhere"):
        session(ca_file="/nowhere.pem")
