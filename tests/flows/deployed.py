"""Runs of deployments as a worker would carry them out, in this process: they suspend, are answered, and go on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow


class Deployed:
    """A run of a flow's deployment."""

    def __init__(self, flow: Flow[..., Any], **parameters: Any) -> None:
        self._flow, self._parameters = flow, parameters
        with get_client(sync_client=True) as client:
            deployment = client.create_deployment(client.create_flow_from_name(flow.name), flow.name)
            self.id: UUID = client.create_flow_run_from_deployment(deployment).id

    def go_on(self) -> Any:
        """Carry it out from the top; what it returns."""
        with get_client(sync_client=True) as client:
            return run_flow(self._flow, flow_run=client.read_flow_run(self.id), parameters=self._parameters)

    def until_it_asks(self) -> str:
        """Carry it out until it suspends itself; the words above its form."""
        with pytest.raises(Pause):
            self.go_on()
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(self.id)
            assert run.state is not None
            keyset = run.state.state_details.run_input_keyset
            assert keyset is not None
            return str(client.read_flow_run_input(self.id, keyset["description"]))

    def answer(self, **form: Any) -> None:
        """Fill the form in and resume the run."""
        with get_client(sync_client=True) as client:
            result = client.resume_flow_run(
                self.id, run_input={"approve": True, "leave_out": "", "note": "", "name": "ada"} | form)  # fmt: skip
        assert str(result.status.value) == "ACCEPT", result
