"""CloudFront through a named point of presence; what is to go is invalidated in the whole distribution."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from blocks.aws import Fixes, aws_errors
from blocks.caches import unwarmable
from blocks.caches.over_http import HttpCache
from blocks.errors import CloudRefused, NotConfigured, NotFound, Unauthorized

POP_HEADER = "x-amz-cf-pop"
FIXES: Fixes = {
    CloudRefused: "correct the request as the message says; a distribution has a quota of invalidations in progress",
    NotFound: "check the distribution's id",
    Unauthorized: "grant cloudfront:CreateInvalidation, or renew the credentials",
}


class CloudFront(HttpCache):
    """A `CacheSite` at one point of presence.

    CloudFront has no call to fill a cache: an object is asked for through a server of that point of presence, under the
    distribution's name (as aws-cloudfront-extensions' prewarming does). Which one answered is read from its
    `X-Amz-Cf-Pop`; from another place an answer warms nothing that was asked for, and is not counted.

    Parameters
    ----------
    pop: how the names of the point of presence begin, FRA or FRA56-P1; "" for whichever answers.
    distribution: its id, for invalidations, with `client` of boto3.
    """

    def __init__(
        self, name: str, url: str, *, host: str = "", pop: str = "", distribution: str = "", client: Any = None
    ) -> None:
        super().__init__(name, "cloudfront", url, host=host)
        self._pop, self._distribution, self._client = pop.upper(), distribution, client

    def why_not(self, status: int, headers: Mapping[str, str]) -> str:
        """See `HttpCache.why_not`; also where another point of presence answered."""
        answered = headers.get(POP_HEADER, "not named")
        wrong = self._pop and not answered.upper().startswith(self._pop)
        return f"point of presence {answered}" if wrong else unwarmable(status, headers)

    async def purge(self, item: str) -> None:
        """See `CacheSite.purge`; an invalidation takes it out of every point of presence, and is billed by path."""
        if not (self._distribution and self._client):
            raise NotConfigured(
                "no distribution is named", where=self.where, fix="give its id in column `distribution`"
            )
        batch = {"Paths": {"Quantity": 1, "Items": [item if item.startswith("/") else f"/{item}"]},
                 "CallerReference": uuid4().hex}  # fmt: skip

        def call() -> None:
            with aws_errors(self.where, FIXES):
                self._client.create_invalidation(DistributionId=self._distribution, InvalidationBatch=batch)

        await asyncio.to_thread(call)

    async def close(self) -> None:
        """See `CacheSite.close`."""
        await super().close()
        if self._client:
            self._client.close()
