"""Stores that fetch nothing by themselves, Redis and S3-compatible buckets: we read the origin and put it there."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from blocks.aws import Fixes, aws_errors
from blocks.caches import Answer
from blocks.caches.over_http import HttpCache
from blocks.errors import CloudRefused, NotFound, OperationFailed, TimedOut, Unauthorized, Unreachable

TIMEOUT_S = 30.0
MOST_BYTES = 512 * 1024 * 1024  # of a string in Redis; what is larger is not read into memory for a bucket either
FIXES: Fixes = {
    CloudRefused: "correct the request as the message says",
    NotFound: "check the bucket's name and region",
    Unauthorized: "grant s3:GetObject, s3:PutObject and s3:DeleteObject, or renew the credentials",
}


class Shelf(Protocol):
    """Where bodies are put by key."""

    async def has(self, key: str) -> bool:
        """Whether something is kept under that key."""
        ...

    async def put(self, key: str, body: bytes, ttl_s: int) -> None:
        """Keep it; for `ttl_s` seconds where the shelf can forget by itself."""
        ...

    async def drop(self, key: str) -> None:
        """Forget it; nothing happens where it is not there."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class StoreSite:
    """A `CacheSite` on a shelf, filled from the origin's URL. Keys are the objects' names."""

    def __init__(self, name: str, shelf: Shelf, origin_url: str) -> None:
        self.name, self._shelf = name, shelf
        self._origin = HttpCache(f"origin of {name}", "cloudfront", origin_url)

    async def probe(self, item: str) -> bool:
        """See `CacheSite.probe`."""
        return await self._shelf.has(item)

    async def fetch(self, item: str, ttl_s: int) -> Answer:
        """See `CacheSite.fetch`; what is not for others is not put."""
        answer, body = await self._origin.read(item, MOST_BYTES)
        if not answer.unwarmable:
            await self._shelf.put(item, body, ttl_s)
        return answer

    async def purge(self, item: str) -> None:
        """See `CacheSite.purge`."""
        await self._shelf.drop(item)

    async def close(self) -> None:
        """See `CacheSite.close`."""
        await self._origin.close()
        await self._shelf.close()


class Redis:
    """A `Shelf` in Redis: four commands of its protocol (RESP 2, redis.io, protocol specification), one connection."""

    def __init__(self, host: str, port: int = 6379, *, password: str = "") -> None:
        self.where, self._address, self._password = f"redis {host}:{port}", (host, port), password
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def has(self, key: str) -> bool:
        """See `Shelf.has`."""
        return bool(await self._ask(b"EXISTS", key.encode()))

    async def put(self, key: str, body: bytes, ttl_s: int) -> None:
        """See `Shelf.put`."""
        await self._ask(b"SET", key.encode(), body, b"EX", str(ttl_s).encode())

    async def drop(self, key: str) -> None:
        """See `Shelf.drop`."""
        await self._ask(b"DEL", key.encode())

    async def close(self) -> None:
        """See `Shelf.close`."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, *words: bytes) -> int | str:
        async with self._lock:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    if self._streams is None:
                        self._streams = await asyncio.open_connection(*self._address)
                        if self._password:
                            await self._say(b"AUTH", self._password.encode())
                    return await self._say(*words)
            except TimeoutError:
                await self.close()
                raise TimedOut("no answer in time", where=self.where, fix="see whether it is overloaded") from None
            except (OSError, EOFError) as error:
                await self.close()
                raise Unreachable(f"no connection ({type(error).__name__})", where=self.where,
                                  fix="check the address and whether it is up") from None  # fmt: skip

    async def _say(self, *words: bytes) -> int | str:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        await writer.drain()
        line = (await reader.readuntil(b"\r\n"))[:-2]
        if line[:1] == b"-":
            told = line[1:].decode("utf-8", "replace")
            kind = Unauthorized if told.startswith(("NOAUTH", "WRONGPASS", "NOPERM")) else OperationFailed
            raise kind(
                told[:200], where=self.where, fix="mend what it says; OOM means that the plan is too large for it"
            )
        return int(line[1:]) if line[:1] == b":" else line[1:].decode()


class S3Bucket:
    """A `Shelf` in a bucket, below a folder if one is given.

    It does not forget by itself: give the bucket a lifecycle rule.
    """

    def __init__(self, client: Any, bucket: str, folder: str = "") -> None:
        self.where, self._client, self._bucket = f"bucket {bucket}", client, bucket
        self._folder = f"{folder.strip('/')}/".lstrip("/")

    async def has(self, key: str) -> bool:
        """See `Shelf.has`."""
        try:
            await self._ask("head_object", Key=self._path(key))
        except NotFound:
            return False
        return True

    async def put(self, key: str, body: bytes, ttl_s: int) -> None:
        """See `Shelf.put`."""
        await self._ask("put_object", Key=self._path(key), Body=body, CacheControl=f"max-age={ttl_s}")

    async def drop(self, key: str) -> None:
        """See `Shelf.drop`."""
        await self._ask("delete_object", Key=self._path(key))

    async def close(self) -> None:
        """See `Shelf.close`."""
        self._client.close()

    async def _ask(self, verb: str, **given: Any) -> Any:
        def call() -> Any:
            with aws_errors(self.where, FIXES):
                return getattr(self._client, verb)(Bucket=self._bucket, **given)

        return await asyncio.to_thread(call)

    def _path(self, key: str) -> str:
        """A key as a web server in front of the bucket finds it: without the first slash."""
        return self._folder + key.lstrip("/")
