"""The inventory in a real Prefect server: one server for all of these."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from blocks.errors import InvalidInput, NotFound, Unreachable
from blocks.fleet import Cluster, Fleet
from blocks.inventory import FleetInventory, load_stored_fleet, resolve_secrets, save_fleet

pytestmark = pytest.mark.server

POOL = {"name": "p", "instance_type": "i", "min_nodes": 1, "max_nodes": 2, "node_cpu": 1, "node_memory": "1Gi"}


def cluster(name: str, token: str) -> dict[str, object]:
    access = {"server": f"https://{name}", "token": token}
    return {"name": name, "site": "s", "provider": "k3s", "node_pools": [POOL], "kubernetes": access}


FLEET = Fleet.model_validate(
    {
        "name": "f",
        "metrics": {"url": "http://p", "token": "${TOKEN}"},
        "sites": [{"name": "s", "tier": "far-edge", "latitude": 1, "longitude": 1}],
        "clusters": [cluster("a", "hunter2"), cluster("b", "secret:edge-token")],
    }
)


@pytest.fixture(scope="module", autouse=True)
def _prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


def test_a_saved_fleet_is_loaded_as_it_was_secrets_included() -> None:
    save_fleet(FLEET)
    assert load_stored_fleet() == FLEET
    assert FleetInventory.load("default").fleet() == FLEET


def test_saving_again_replaces_what_was_there() -> None:
    save_fleet(FLEET, "twice")
    save_fleet(FLEET.model_copy(update={"name": "other"}), "twice")
    assert load_stored_fleet("twice").name == "other"


def test_it_loads_inside_of_an_event_loop_too() -> None:
    save_fleet(FLEET, "looped")

    async def load() -> Fleet:
        return load_stored_fleet("looped")

    assert asyncio.run(load()) == FLEET


def test_the_server_shows_references_and_masks_what_was_typed_in() -> None:
    save_fleet(FLEET, "seen")
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name("seen", "continuum-fleet", include_secrets=False)
    assert "hunter2" not in str(document.data)
    assert document.data["inventory"]["metrics"]["token"] == "${TOKEN}"
    assert document.data["inventory"]["clusters"][1]["kubernetes"]["token"] == "secret:edge-token"
    assert "hunter2" not in repr(FleetInventory.load("seen"))


def test_a_secret_block_is_read_as_text_even_where_it_is_a_number() -> None:
    Secret(value="12345").save("edge-token", overwrite=True)
    token = resolve_secrets(FLEET.clusters[1]).kubernetes.token
    assert token is not None
    assert token.get_secret_value() == "12345"


def test_a_missing_block_is_named_with_what_to_do() -> None:
    with pytest.raises(
        NotFound, match=r"block nowhere: there is no such Prefect block.*continuum fleet save FILE --name"
    ):
        load_stored_fleet("nowhere")
    lost = Cluster.model_validate(cluster("b", "secret:gone"))
    with pytest.raises(NotFound, match="cluster b kubernetes token secret:gone"):
        resolve_secrets(lost)


def test_a_name_that_prefect_would_not_take_is_refused_before_it_is_asked() -> None:
    with pytest.raises(InvalidInput, match="is no name of a Prefect block"):
        save_fleet(FLEET, "My Fleet")


def test_an_inventory_that_was_broken_in_the_ui_is_refused_with_its_field() -> None:
    FleetInventory(inventory={"name": "f"}).save("broken", overwrite=True)
    with pytest.raises(InvalidInput, match="block broken metrics: is missing"):
        load_stored_fleet("broken")


def test_a_server_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    def refuse(*_: object, **__: object) -> None:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(FleetInventory, "load", refuse)
    with pytest.raises(Unreachable, match="the Prefect server does not answer"):
        load_stored_fleet()
