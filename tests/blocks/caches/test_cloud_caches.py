"""Buckets and invalidations against a server of AWS' own protocols, points of presence, and models of an edge site."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from blocks.aws import aws_client
from blocks.caches.cloudfront import CloudFront
from blocks.caches.models import ModelCache
from blocks.caches.stores import S3Bucket, StoreSite
from blocks.errors import ContinuumError, NotConfigured, NotFound
from blocks.fleet import CloudAccess


@pytest.fixture(scope="module")
def access() -> Iterator[CloudAccess]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield CloudAccess(endpoint_url=f"http://{host}:{port}", region="us-east-1")
    server.stop()


def test_a_bucket_is_filled_from_the_origin_and_asked_by_head(server: Any, access: CloudAccess) -> None:
    bodies = {"/a.mp4": ({}, b"film \0\r\n"), "/mine": ({"Cache-Control": "private"}, b"secret")}
    server.handler = lambda asked: (200, *bodies[asked.path])
    client = aws_client("s3", access, "here")
    client.create_bucket(Bucket="edge")

    async def go() -> list[Any]:
        site = StoreSite("munich", S3Bucket(aws_client("s3", access, "here"), "edge", "/films/"), server.url)
        told = [await site.probe("/a.mp4"), (await site.fetch("/a.mp4", 60)).size, await site.probe("/a.mp4")]
        kept = client.get_object(Bucket="edge", Key="films/a.mp4")
        told += [kept["Body"].read(), kept["CacheControl"]]
        told += [(await site.fetch("/mine", 60)).unwarmable, await site.probe("/mine")]
        await site.purge("/a.mp4")
        told.append(await site.probe("/a.mp4"))
        await site.close()
        return told

    assert asyncio.run(go()) == [
        False, 8, True, b"film \0\r\n", "max-age=60", "Cache-Control: private", False, False,
    ]  # fmt: skip


def test_a_bucket_that_is_not_there_is_refused_by_name(server: Any, access: CloudAccess) -> None:
    server.handler = lambda asked: (200, {}, b"x")

    async def go() -> None:
        site = StoreSite("munich", S3Bucket(aws_client("s3", access, "here"), "nowhere"), server.url)
        try:
            await site.fetch("/a", 60)
        finally:
            await site.close()

    with pytest.raises(NotFound, match="bucket nowhere"):
        asyncio.run(go())


def distribution(access: CloudAccess) -> str:
    told = aws_client("cloudfront", access, "here").create_distribution(DistributionConfig={
        "CallerReference": "1", "Comment": "", "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [{"Id": "o", "DomainName": "o.example", "CustomOriginConfig": {
            "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}}]},
        "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all", "MinTTL": 0,
                                 "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}}},
    })  # fmt: skip
    return str(told["Distribution"]["Id"])


def test_what_is_to_go_is_invalidated_by_its_path(access: CloudAccess) -> None:
    named = distribution(access)

    async def go() -> None:
        site = CloudFront(
            "fra", "http://127.0.0.1:1", distribution=named, client=aws_client("cloudfront", access, "here")
        )
        await site.purge("/films/a b.mp4")
        await site.close()

    asyncio.run(go())
    client = aws_client("cloudfront", access, "here")
    (made,) = client.list_invalidations(DistributionId=named)["InvalidationList"]["Items"]
    told = client.get_invalidation(DistributionId=named, Id=made["Id"])["Invalidation"]["InvalidationBatch"]
    assert told["Paths"]["Items"] == ["/films/a b.mp4"]


def test_an_unknown_distribution_and_none_are_refused(access: CloudAccess) -> None:
    async def go(site: CloudFront) -> None:
        try:
            await site.purge("/a")
        finally:
            await site.close()

    unknown = CloudFront("fra", "http://h", distribution="E1", client=aws_client("cloudfront", access, "here"))
    with pytest.raises(ContinuumError, match="cache fra"):
        asyncio.run(go(unknown))
    with pytest.raises(NotConfigured, match="no distribution is named"):
        asyncio.run(go(CloudFront("fra", "http://h")))


@pytest.mark.parametrize(
    ("pop", "answered", "why"),
    [
        ("FRA", {"X-Amz-Cf-Pop": "FRA56-P1"}, ""), ("fra56-p1", {"X-Amz-Cf-Pop": "FRA56-P1"}, ""),
        ("FRA", {"X-Amz-Cf-Pop": "AMS1-C1"}, "point of presence AMS1-C1"), ("", {}, ""),
        ("FRA", {}, "point of presence not named"),
    ],
)  # fmt: skip
def test_an_answer_of_another_point_of_presence_warms_nothing(
    server: Any, pop: str, answered: dict[str, str], why: str
) -> None:
    server.handler = lambda asked: (200, answered | {"X-Cache": "Miss from cloudfront"}, b"x")

    async def go() -> Any:
        site = CloudFront("fra", server.url, host="d1.cloudfront.net", pop=pop)
        told = await site.fetch("/a", 60)
        await site.close()
        return told

    told = asyncio.run(go())
    assert (told.unwarmable, told.hit) == (why, False)
    assert server.asked[-1].headers["host"] == "d1.cloudfront.net"


def test_a_model_is_loaded_once_is_ready_then_and_can_be_unloaded(server: Any) -> None:
    ready: set[str] = set()

    def answer(asked: Any) -> Any:
        *_, name, verb = asked.path.split("/")
        if name == "unknown":
            return server.as_json({"error": "no such model"}, 404)
        if verb == "load":
            ready.add(name)
        elif verb == "unload":
            ready.discard(name)
        return server.as_json({}, 200 if verb != "ready" or name in ready else 404)

    server.handler = answer

    async def go() -> list[Any]:
        site = ModelCache("munich", server.url)
        told = [await site.probe("m"), (await site.fetch("/m", 60)).unwarmable, await site.probe("m")]
        with pytest.raises(NotFound):
            await site.fetch("unknown", 60)
        await site.purge("unknown")
        await site.purge("m")
        told.append(await site.probe("m"))
        await site.close()
        return told

    assert asyncio.run(go()) == [False, "", True, False]
