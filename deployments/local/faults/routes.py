"""`/faults`: break the simulated fleet, see what is broken, mend it. No real fleet has it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.errors import InvalidInput
from blocks.series import utc
from deployments.local.faults.kinds import KINDS
from deployments.local.faults.schedule import Faults


class Campaign(BaseModel):
    """Several faults, all of them accepted or none; `seed` is for those that name none."""

    model_config = ConfigDict(extra="forbid")

    seed: int | None = None
    faults: list[Any] = Field(min_length=1)


def routes(faults: Faults) -> list[Route]:
    """The API; errors of our tree are answered by the app that it is a part of."""
    api = _Api(faults)
    return [
        Route("/faults", api.show, methods=["GET"]),
        Route("/faults", api.add, methods=["POST"]),
        Route("/faults", api.lift_all, methods=["DELETE"]),
        Route("/faults/kinds", api.kinds, methods=["GET"]),
        Route("/faults/{id}", api.lift, methods=["DELETE"]),
    ]


class _Api:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    async def kinds(self, _: Request) -> Response:
        return JSONResponse([kind.as_json() for kind in KINDS.values()])

    async def show(self, _: Request) -> Response:
        by_state: dict[str, list[Any]] = {"scheduled": [], "active": [], "ended": []}
        for fault in self.faults:
            by_state[fault.state].append(fault.as_json())
        time = utc(self.faults.clock.now()).isoformat()
        return JSONResponse({"time": time, **by_state, "campaign": self.faults.campaign()})

    async def add(self, request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            raise InvalidInput("the body is not JSON", where="faults", fix='send {"kind": ...}') from None
        if not (isinstance(body, dict) and "faults" in body):
            return JSONResponse(self.faults.add([body])[0].as_json(), 201)
        try:
            campaign = Campaign.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"{field}: {first['msg']}", where="faults", fix="send seed and faults") from None
        made = self.faults.add(campaign.faults, campaign.seed)
        return JSONResponse({"faults": [fault.as_json() for fault in made]}, 201)

    async def lift(self, request: Request) -> Response:
        return JSONResponse(self.faults.lift(request.path_params["id"]).as_json())

    async def lift_all(self, _: Request) -> Response:
        return JSONResponse({"faults": [fault.as_json() for fault in self.faults.lift_all()]})
