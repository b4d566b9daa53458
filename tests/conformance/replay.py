"""Replays conformance transcripts against any Kubernetes API server, step by step."""

from __future__ import annotations

import json
import random
import re
import string
import threading
import time
from dataclasses import dataclass
from typing import Any

import kubernetes as k8s
import requests

from tests.conformance.patterns import at, broken_asserts, differences, holds

Json = dict[str, Any]

_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
POLL_S = 0.05


@dataclass(frozen=True)
class Access:
    """How to reach an API server.

    Parameters
    ----------
    base: its URL, path prefix included.
    token: bearer token of the usual credentials; "" where a client certificate stands for them.
    authority, certificate: PEM files as requests takes them.
    """

    base: str
    token: str
    authority: str | bool = True
    certificate: tuple[str, str] | None = None


def access_of(kubeconfig: str) -> Access:
    """How the current context of a kubeconfig reaches its cluster."""
    loaded = k8s.client.Configuration()
    k8s.config.load_kube_config(kubeconfig, client_configuration=loaded)
    token = next(iter(loaded.api_key.values()), "").removeprefix("Bearer ")
    authority = (loaded.ssl_ca_cert or True) if loaded.verify_ssl else False
    pair = (loaded.cert_file, loaded.key_file) if loaded.cert_file else None
    return Access(loaded.host, token, authority, pair)


class Background:
    """A watch that runs beside the steps. It ends with the server: closing it here would wait for its next line."""

    def __init__(self, response: requests.Response) -> None:
        self.events: list[Json] = []
        self._response = response
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._response.iter_lines(chunk_size=None):
                if line:
                    self.events.append(json.loads(line))
        except (requests.RequestException, ValueError, AttributeError):
            return


class Replay:
    """One scenario under way."""

    def __init__(self, access: Access) -> None:
        self._base, self._token = access.base, access.token
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify, self._certificate = access.authority, access.certificate
        run = "".join(random.choices(string.ascii_lowercase + string.digits, k=5))
        self._known = {"run": run, "ns": f"conf-{run}"}
        self._watches: dict[str, Background] = {}

    def run(self, scenario: Json) -> dict[str, list[str]]:
        """What went wrong, by step; steps that passed have no faults."""
        outcome = {}
        for step in scenario["steps"]:
            try:
                outcome[step["id"]] = self._step(step)
            except (requests.RequestException, KeyError, ValueError, TypeError) as error:
                outcome[step["id"]] = [f"{type(error).__name__}: {error}"]
        for request in scenario.get("cleanup", ()):
            self._send(self._filled(request)).close()
        return outcome

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda match: str(self._known[match[1]]), value)
        if isinstance(value, list):
            return [self._filled(entry) for entry in value]
        if isinstance(value, dict):
            return {self._filled(key): self._filled(entry) for key, entry in value.items()}
        return value

    def _send(self, request: Json, *, stream: bool = False) -> requests.Response:
        headers = {
            "Accept": request.get("accept", "application/json"),
            "User-Agent": "conformance/1",
            **request.get("headers", {}),
        }
        usual = request.get("auth") is None
        token = self._token if usual else request["auth"].replace("none", "")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        body = request.get("raw_body")
        if "body" in request:
            body = json.dumps(request["body"])
        if body is not None or request["method"] in ("POST", "PUT", "PATCH"):
            headers["Content-Type"] = request.get("content_type", "application/json")
        return self._session.request(
            request["method"], self._base + request["path"], params=request.get("query"),
            data=body.encode() if body is not None else None, headers=headers, stream=stream, timeout=120,
            cert=self._certificate if usual else None,
        )  # fmt: skip

    def _step(self, step: Json) -> list[str]:
        if "join" in step:
            return self._join(step)
        if "background" in step:
            request = self._filled(step["request"])
            response = self._send(request, stream=True)
            self._watches[step["background"]] = Background(response)
            return _status_faults(step["response"], response)
        if not step.get("poll"):
            return self._once(step)
        end = time.monotonic() + step["poll"]["timeout_s"]
        while (faults := self._once(step)) and time.monotonic() < end:
            time.sleep(step["poll"].get("interval_s", POLL_S))
        return faults

    def _once(self, step: Json) -> list[str]:
        request, wanted = self._filled(step["request"]), step["response"]
        start = time.monotonic()
        response = self._send(request)
        took = time.monotonic() - start
        faults = _status_faults(wanted, response)
        body = _body(response)
        if step.get("stream"):
            if response.ok and "events" in wanted:
                events = [json.loads(line) for line in response.text.splitlines() if line]
                body = {"events": events}
                faults += self._stream_faults(step, events, took)
            elif "body" in wanted:
                faults += differences(self._filled(wanted["body"]), body)
        elif "body" in wanted:
            faults += differences(self._filled(wanted["body"]), body)
        faults += broken_asserts(self._filled(step.get("assert", [])), body)
        if not faults:
            for name, path in step.get("capture", {}).items():
                self._known[name] = at(body, self._filled(path))
        return faults

    def _stream_faults(self, step: Json, events: list[Json], took: float) -> list[str]:
        faults = _event_faults(self._filled(step["response"]["events"]), events, step.get("mode", "exact"))
        low, high = step.get("ends_within_s", (0, float("inf")))
        return faults if low <= took <= high else [*faults, f"the stream took {took:.1f} s, not {low} to {high}"]

    def _join(self, step: Json) -> list[str]:
        watch = self._watches[step["join"]]
        wanted, end = self._filled(step["response"]["events"]), time.monotonic() + step["timeout_s"]
        while True:
            events = [event for event in list(watch.events) if event["type"] != "BOOKMARK"]
            faults = _event_faults(wanted, events, step.get("mode", "exact"))
            if not faults or time.monotonic() > end:
                break
            time.sleep(POLL_S)
        for rule in step.get("never", ()):
            if any(all(holds(check, event) for check in rule["when"]) for event in events):
                faults.append(f"never: {rule['why']}")
        return faults


def _body(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _status_faults(wanted: Json, response: requests.Response) -> list[str]:
    allowed = wanted.get("status_in") or [wanted["status"]]
    return [] if response.status_code in allowed else [f"status {response.status_code} instead of {allowed}"]


def _event_faults(wanted: list[Json], events: list[Json], mode: str) -> list[str]:
    if mode == "exact":
        return differences(wanted, events, "events")
    position = 0
    for index, pattern in enumerate(wanted):
        while position < len(events) and differences(pattern, events[position]):
            position += 1
        if position == len(events):
            return [f"events: the {index + 1}. of {len(wanted)} did not come: {pattern!r}"]
        position += 1
    return []
