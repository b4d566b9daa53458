"""Over HTTPS: the hub is who the agent's file says, the agent shows a certificate, and requests are taken by TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from blocks.errors import Unreachable
from deployments.edge.agent import Agent, server_tls
from deployments.edge.config import ServeSettings, read_config
from deployments.edge.http import Response
from deployments.local.tls import certificate
from tests.deployments.edge.small_hub import configuration, running

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def tls_of(folder: Path, *, asks: Path | None = None) -> ssl.SSLContext:
    """A server's side; `asks` is the authority of the client certificates that it wants."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks)
    return context


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of the hub's certificate and of the edge's, each its own authority."""
    for name in ("hub", "edge"):
        (tmp_path / name).mkdir()
    return tmp_path / "hub", tmp_path / "edge"


def agent_of(hub, folder: Path, lines: str) -> Agent:
    path = configuration(hub, folder)
    path.write_text(path.read_text().replace("[hub]", f"[hub]\n{lines}"))
    return Agent(read_config(path))


def test_a_version_comes_over_https_with_a_client_certificate(places, tmp_path):
    theirs, ours = places
    with running(tls_of(theirs, asks=certificate(ours)[0])) as hub:
        digest = hub.publish("1")
        shown = "".join(
            f'{name} = "{file}"\n' for name, file in zip(("certificate", "key"), certificate(ours), strict=True)
        )
        agent = agent_of(hub, tmp_path / "a", f'ca = "{certificate(theirs)[0]}"\n{shown}')
        agent.converge(agent.hub())
        assert agent.models.get("digits").digest == digest
        agent.close()


def test_a_hub_that_another_authority_vouches_for_is_not_spoken_to(places, tmp_path):
    theirs, ours = places
    with running(tls_of(theirs)) as hub:
        agent = agent_of(hub, tmp_path / "a", f'ca = "{certificate(ours)[0]}"')
        with pytest.raises(Unreachable, match="ca"):
            agent.converge(agent.hub())
        assert not hub.asked
        agent.close()


def test_a_hub_that_asks_for_a_certificate_gets_nothing_without_one(places, tmp_path):
    theirs, ours = places
    with running(tls_of(theirs, asks=certificate(ours)[0])) as hub:
        agent = agent_of(hub, tmp_path / "a", f'ca = "{certificate(theirs)[0]}"')
        with pytest.raises(Unreachable):
            agent.converge(agent.hub())
        assert not hub.asked
        agent.close()


def test_requests_are_taken_by_tls(places, serve):
    theirs, _ = places
    file, key = map(str, certificate(theirs))
    listening = serve(lambda _: Response(200), tls=server_tls(ServeSettings(certificate=file, key=key)))

    async def ask() -> bytes:
        context = ssl.create_default_context(cafile=file)
        reader, writer = await asyncio.open_connection(listening.host, listening.port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        return await reader.read()

    assert listening.run(ask()).startswith(b"HTTP/1.1 200 OK")
