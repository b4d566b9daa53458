"""The simulation's own API: what time it is there, how fast it runs, what the clouds did. No real fleet has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.errors import ContinuumError, InvalidInput, NotFound
from blocks.fleet import Cluster
from blocks.series import utc
from deployments.local.simulation import Simulation

PIECE_S = 300.0  # a long advance is played in pieces, and requests are answered in between


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


Shape = TypeVar("Shape", bound=_Body)


class Advance(_Body):
    """Play so many simulated seconds now."""

    seconds: float = Field(ge=0, le=366 * 86_400, allow_inf_nan=False)


class Speed(_Body):
    """Simulated seconds per wall second; 0 holds time still."""

    speed: float = Field(ge=0, le=100_000, allow_inf_nan=False)


def routes(simulation: Simulation) -> list[Route]:
    """The API; its errors are answered by `REFUSALS`."""
    control = _Control(simulation)
    return [
        Route("/simulation", control.show),
        Route("/simulation/operations", control.operations),
        Route("/simulation/advance", control.advance, methods=["POST"]),
        Route("/simulation/speed", control.set_speed, methods=["POST"]),
    ]


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404 if isinstance(error, NotFound) else 400)


REFUSALS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {ContinuumError: _refused}


class _Control:
    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    async def show(self, _: Request) -> Response:
        simulation = self.simulation
        return JSONResponse(
            {
                "simulated": True,
                "time": utc(simulation.clock.now()).isoformat(),
                "speed": simulation.clock.speed,
                "seed": simulation.seed,
                "clusters": [self._cluster(cluster) for cluster in simulation.fleet.clusters],
            }
        )

    async def operations(self, _: Request) -> Response:
        return JSONResponse(self.simulation.node_pools.log())

    async def advance(self, request: Request) -> Response:
        left_s = (await _body(request, Advance)).seconds
        while left_s > 0:
            piece_s = min(left_s, PIECE_S)
            self.simulation.clock.advance(piece_s)
            self.simulation.catch_up()
            left_s -= piece_s
            await asyncio.sleep(0)
        return await self.show(request)

    async def set_speed(self, request: Request) -> Response:
        self.simulation.clock.speed = (await _body(request, Speed)).speed
        return await self.show(request)

    def _cluster(self, cluster: Cluster) -> dict[str, Any]:
        pools = [self.simulation.node_pools.pool(cluster.name, pool.name) for pool in cluster.node_pools]
        return {
            "name": cluster.name,
            "provider": cluster.provider.value,
            "node_pools": [
                {
                    "name": pool.name,
                    **pool.settings(),
                    "ready": self.simulation.node_pools.ready(cluster.name, pool.name),
                }
                for pool in pools
            ],
        }


async def _body(request: Request, shape: type[Shape]) -> Shape:
    try:
        return shape.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise InvalidInput(
            first["msg"], where=f"{request.url.path} {field}", fix=f"send {', '.join(shape.model_fields)}"
        ) from None
