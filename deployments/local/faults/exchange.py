"""One request as a fault meets it: its client may give up, its connection may be cut, its answer may be held back."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.local.faults.rules import Asked

_NO_LINGER = struct.pack("ii", 1, 0)  # on, for 0 seconds: closing sends RST instead of FIN (socket(7))


class Exchange:
    """One request and its answer.

    Parameters
    ----------
    may_send: awaited before each part of the answer.
    """

    def __init__(
        self, asked: Asked, scope: Scope, receive: Receive, send: Send, may_send: Callable[[Exchange], Awaitable[None]]
    ) -> None:
        self.asked, self.scope, self.delay_s = asked, scope, 0.0
        self._receive, self._send, self._may_send = receive, send, may_send
        self._received: deque[Message] = deque()

    async def receive(self) -> Message:
        """The next part of the request, those that `wait` has read included."""
        return self._received.popleft() if self._received else await self._receive()

    async def send(self, message: Message) -> None:
        """Send a part of the answer, once it may be sent."""
        if self.delay_s:
            delay_s, self.delay_s = self.delay_s, 0.0
            await self.wait(asyncio.sleep(delay_s))
        await self._may_send(self)
        await self._send(message)

    async def wait(self, until: Coroutine[Any, Any, object], limit_s: float | None = None) -> bool:
        """Wait for something, for at most `limit_s` wall seconds; False when the client went away before."""
        gone, done = asyncio.ensure_future(self._gone()), asyncio.ensure_future(until)
        try:
            await asyncio.wait((gone, done), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            for task in (gone, done):
                task.cancel()
            await asyncio.gather(gone, done, return_exceptions=True)

    async def work(self, app: ASGIApp) -> None:
        """Let the request take effect, and lose its answer."""
        answered = asyncio.Event()

        async def lose(_: Message) -> None:
            answered.set()
            await asyncio.Event().wait()  # until it is cancelled

        working = asyncio.ensure_future(_as_coroutine(app(self.scope, self.receive, lose)))
        waiting = asyncio.ensure_future(answered.wait())
        try:
            await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)

    def cut(self) -> None:
        """Reset the connection, as a machine does that knows nothing of it; an in-process client has none."""
        if (transport := self._transport()) is None:
            return
        with suppress(OSError), socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    async def reset(self) -> None:
        """Reset the connection, and wait until the server has noticed."""
        if self._transport() is None:
            raise ConnectionResetError("a fault of the simulated fleet")
        self.cut()
        await self._gone()

    def _transport(self) -> Any:
        """That of uvicorn, whose bound method `send` is."""
        return getattr(getattr(self._send, "__self__", None), "transport", None)

    async def _gone(self) -> None:
        while (message := await self._receive())["type"] != "http.disconnect":
            self._received.append(message)
        self._received.append(message)


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
