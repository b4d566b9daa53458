"""The models that an edge site's server holds ready, as a cache: filled by the repository's load, emptied by unload."""

from __future__ import annotations

import asyncio
import time

from blocks.caches import Answer
from blocks.errors import NotFound
from blocks.inference import InferenceEndpoint, client


class ModelCache:
    """A `CacheSite` in a server of the Open Inference Protocol; objects are names of models, without the first slash.

    One call at a time: servers load one after the other, and a second load only competes for their memory. How many
    bytes a model takes the protocol does not say: what is moved counts as 0.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name, self._http, self._lock = name, client(url), asyncio.Lock()
        self._endpoint = InferenceEndpoint(url, self._http)

    async def probe(self, item: str) -> bool:
        """See `CacheSite.probe`: whether the model takes requests."""
        async with self._lock:
            return await asyncio.to_thread(self._endpoint.ready, item.lstrip("/"))

    async def fetch(self, item: str, ttl_s: int) -> Answer:
        """See `CacheSite.fetch`: load it, and wait until it is ready; it stays until it is unloaded."""
        del ttl_s
        begin = time.monotonic()
        async with self._lock:
            await asyncio.to_thread(self._endpoint.load, item.lstrip("/"))
        return Answer(200, False, 0, time.monotonic() - begin)

    async def purge(self, item: str) -> None:
        """See `CacheSite.purge`."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._endpoint.unload, item.lstrip("/"))
            except NotFound:
                return

    async def close(self) -> None:
        """See `CacheSite.close`."""
        self._http.close()
