"""`continuum hub ...`: the service that edges speak to, who they are, and the versions that they may run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals

hub = typer.Typer(no_args_is_help=True, help="The service that edges speak to; its edges, and versions of models.")


def register(app: typer.Typer) -> None:
    """Add `continuum hub`."""
    app.add_typer(hub, name="hub")


@hub.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 0,
    host: Annotated[str, typer.Option(help="beyond the loopback TLS is needed")] = "127.0.0.1",
    certificate: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="serve HTTPS with this")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="of the certificate")] = None,
    client_ca: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="edges must show a certificate of "
                                                   "this authority, besides their token")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Serve the hub until Ctrl-C."""
    import uvicorn

    from blocks.models import Registry
    from blocks.store import Store
    from deployments.http_service import Tls, listening
    from deployments.hub import Hub, hub_server

    with refusals():
        if (certificate is None) != (key is None) or (client_ca and not certificate):
            raise InvalidInput("HTTPS needs a certificate and its key", where="--certificate", fix="give both files")
        tls = Tls(certificate, key, client_ca) if certificate and key else None
        store = Store.open()
        config = hub_server(Hub(store, Registry.open(store)), host=host, tls=tls)
        bound = listening(host, port, "hub")
    url = f"{'https' if tls else 'http'}://{host}:{bound.getsockname()[1]}"
    if as_json:
        print_json({"url": url})
        sys.stdout.flush()
    else:
        out.print(f"edges speak to {url}; Ctrl-C ends it", highlight=False, soft_wrap=True)
    uvicorn.Server(config).run([bound])


@hub.command()
def add(
    name: Annotated[str, typer.Argument(help="of the edge")],
    tier: Annotated[str, typer.Option(help="far-edge, near-edge, regional-edge or cloud-region")] = "far-edge",
    region: Annotated[str, typer.Option(help="roll-outs go from region to region")] = "",
    as_json: Json = False,
) -> None:
    """Let an edge speak to the hub; prints its token, once."""
    from blocks.store import Store
    from blocks.store.edges import NewEdge, add_edges

    with refusals():
        token = add_edges(Store.open(), [NewEdge(name, tier, region)])[name]
    if as_json:
        print_json({"name": name, "tier": tier, "region": region, "token": token})
        return
    err.print(f"The token of {name}, which is shown only now:", highlight=False, markup=False)
    out.print(token, highlight=False, soft_wrap=True)


@hub.command()
def edges(as_json: Json = False) -> None:
    """List the edges: when each was last heard of, and what it runs."""
    from blocks.store import Store
    from blocks.store.edges import edges_and_models

    with refusals():
        rows = edges_and_models(Store.open())
    if as_json:
        hidden = {"token_sha256"}
        print_json([edge.model_dump(exclude=hidden) | {"models": [each.model_dump(exclude={"edge"}) for each in models]}
                    for edge, models in rows])  # fmt: skip
        return
    if not rows:
        out.print("No edge is known yet: continuum hub add NAME")
        return
    table = Table("edge", "tier", "region", "last heard (UTC)", "models")
    for edge, models in rows:
        seen = f"{edge.seen_at:%m-%d %H:%M:%S}" if edge.seen_at else "never"
        name = f"{edge.name} (simulated)" if edge.simulated else edge.name
        table.add_row(name, edge.tier, edge.region, seen, ", ".join(_running(each) for each in models))
    out.print(table)


@hub.command()
def remove(name: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
    """Take an edge's token back; what it told stays recorded."""
    from blocks.store import Store
    from blocks.store.edges import remove_edge

    with refusals():
        remove_edge(Store.open(), name)
    _said({"removed": name}, f"{name} may speak to the hub no longer", as_json)


@hub.command()
def release(name: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
    """Let an edge that was set up anew begin its outbox anew."""
    from blocks.store import Store
    from blocks.store.edges import release_edge

    with refusals():
        release_edge(Store.open(), name)
    _said({"released": name}, f"{name} may begin its outbox anew", as_json)


@hub.command()
def publish(
    model: Annotated[str, typer.Argument()],
    version: Annotated[str, typer.Argument()],
    files: Annotated[list[Path], typer.Argument(help="of this version; names are kept, folders are not")],
    parent: Annotated[str, typer.Option(help="digest of the version that it was trained from")] = "",
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="confidence under which an answer goes to the "
                                                    "cloud")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Publish a version, signed; no edge runs it before `model-rollout` brings it there."""
    from blocks.models import Registry
    from blocks.store import Store

    with refusals():
        contents = {file.name: _read(file) for file in files}
        if len(contents) < len(files):
            raise InvalidInput("two files have the same name", where="FILES", fix="name every file once")
        found = Registry.open(Store.open()).publish(model, version, contents, parent=parent,
                                                    escalation_threshold=threshold)  # fmt: skip
    _said({"model": model, "version": version, "digest": found.digest}, f"{model} {version} is {found.digest}", as_json)


@hub.command()
def versions(model: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """List published versions, newest first."""
    from blocks.models import Registry
    from blocks.store import Store

    with refusals():
        rows = Registry.open(Store.open()).versions(model)
    if as_json:
        print_json(rows)
        return
    table = Table("model", "version", "digest", "bytes", "published (UTC)")
    for row in rows:
        table.add_row(row.model, row.version, row.digest[:12], f"{row.size_bytes:,}", f"{row.created_at:%m-%d %H:%M}")
    out.print(table if rows else "Nothing is published yet: continuum hub publish MODEL VERSION FILE")


@hub.command("public-key")
def public_key(as_json: Json = False) -> None:
    """Print the key for a file of `trusted_keys` of an edge."""
    from blocks.models import public_pem, signing_key

    with refusals():
        key = public_pem(signing_key()).strip()
    _said({"public_key": key}, key, as_json)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot be read ({error.strerror})", where=str(file), fix="give a readable file") from None


def _running(row: Any) -> str:
    if row.running == row.wanted:
        return f"{row.model} {row.running[:8]} {row.state}"
    return f"{row.model} {row.running[:8] or 'none'} {row.state}, wanted {row.wanted[:8] or 'none'}"


def _said(document: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        out.print(words, highlight=False, markup=False, soft_wrap=True)
