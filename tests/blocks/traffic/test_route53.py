"""Weighted records over a real socket: a server that keeps records as Route 53's XML tells them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from blocks.errors import Conflict, NotFound, Refused, Unauthorized
from blocks.fleet import CloudAccess
from blocks.traffic.route53 import Route53Route
from tests.blocks.conftest import Asked, Server

SPACE = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"'
HEAD = {"Content-Type": "text/xml"}
ADDRESSES = {"munich": "192.0.2.1", "dallas": "192.0.2.2", "osaka": "192.0.2.3"}


class Zone:
    """One hosted zone with weighted A records of one name, and one record more."""

    def __init__(self, weights: dict[str, int], per_page: int = 100) -> None:
        self.weights, self.per_page, self.batches = dict(weights), per_page, list[str]()

    def __call__(self, asked: Asked) -> Any:
        if asked.method == "POST":
            body = asked.body.decode()
            self.batches.append(body)
            for change in re.findall(r"<Change>.*?</Change>", body, re.DOTALL):
                assert "<Action>UPSERT</Action>" in change
                (name,) = re.findall(r"<SetIdentifier>(.*?)</SetIdentifier>", change)
                assert ADDRESSES[name] in change
                assert "<TTL>20</TTL>" in change
                self.weights[name] = int(re.findall(r"<Weight>(.*?)</Weight>", change)[0])
            info = "<Id>/change/C1</Id><Status>PENDING</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt>"
            kind = "ChangeResourceRecordSetsResponse"
            return 200, HEAD, f"<{kind} {SPACE}><ChangeInfo>{info}</ChangeInfo></{kind}>".encode()
        names = sorted(self.weights)
        first = names.index(asked.query["identifier"]) if "identifier" in asked.query else 0
        page, rest = names[first : first + self.per_page], names[first + self.per_page :]
        records = "".join(_record(name, self.weights[name]) for name in page)
        more = "<IsTruncated>false</IsTruncated>"
        if rest:
            more = (
                f"<IsTruncated>true</IsTruncated><NextRecordName>shop.example.</NextRecordName>"
                f"<NextRecordType>A</NextRecordType><NextRecordIdentifier>{rest[0]}</NextRecordIdentifier>"
            )
        else:
            records += "<ResourceRecordSet><Name>z.example.</Name><Type>A</Type></ResourceRecordSet>"
        told = (f"<ListResourceRecordSetsResponse {SPACE}><ResourceRecordSets>{records}</ResourceRecordSets>"
                f"{more}<MaxItems>100</MaxItems></ListResourceRecordSetsResponse>")  # fmt: skip
        return 200, HEAD, told.encode()


def _record(name: str, weight: int) -> str:
    value = f"<ResourceRecords><ResourceRecord><Value>{ADDRESSES[name]}</Value></ResourceRecord></ResourceRecords>"
    return (f"<ResourceRecordSet><Name>shop.example.</Name><Type>A</Type><SetIdentifier>{name}</SetIdentifier>"
            f"<Weight>{weight}</Weight><TTL>20</TTL>{value}</ResourceRecordSet>")  # fmt: skip


def route(server: Server, record: str = "Shop.example") -> Route53Route:
    return Route53Route.connect(CloudAccess(endpoint_url=server.url), "Z1", record, "A")


def test_weights_are_written_in_one_batch_and_read_back(server: Server) -> None:
    server.handler = zone = Zone({"munich": 1, "dallas": 1})
    state = route(server).read()
    assert (state.weights, state.ttl_s) == ({"munich": 1, "dallas": 1}, 20)
    route(server).write({"munich": 80, "dallas": 20}, None, state.version)
    assert route(server).read().weights == {"munich": 80, "dallas": 20}
    assert len(zone.batches) == 1


def test_records_on_several_pages_are_all_read(server: Server) -> None:
    server.handler = Zone({"munich": 1, "dallas": 2, "osaka": 3}, per_page=1)
    assert route(server).read().weights == {"munich": 1, "dallas": 2, "osaka": 3}


def test_weights_that_stay_are_not_sent(server: Server) -> None:
    server.handler = zone = Zone({"munich": 80, "dallas": 20})
    route(server).write({"munich": 80, "dallas": 20}, None, route(server).read().version)
    assert zone.batches == []


def test_a_change_by_others_since_is_refused(server: Server) -> None:
    server.handler = zone = Zone({"munich": 1, "dallas": 1})
    version = route(server).read().version
    zone.weights["dallas"] = 7
    with pytest.raises(Conflict, match="somebody wrote it"):
        route(server).write({"munich": 80, "dallas": 20}, None, version)
    assert zone.batches == []


@pytest.mark.parametrize("weights", [{"munich": 0, "dallas": 0}, {"munich": 1}, {"munich": 256, "dallas": 0}])
def test_weights_that_nobody_could_serve_by_are_refused(server: Server, weights: dict[str, int]) -> None:
    server.handler = zone = Zone({"munich": 1, "dallas": 1})
    with pytest.raises(Refused):
        route(server).write(weights, None, route(server).read().version)
    assert zone.batches == []


def test_no_such_record_is_told(server: Server) -> None:
    server.handler = Zone({"munich": 1})
    with pytest.raises(NotFound, match="no such records"):
        route(server, "other.example").read()


def test_a_right_that_lacks_is_told(server: Server) -> None:
    told = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error>"
    server.handler = lambda _: (403, HEAD, f"<ErrorResponse {SPACE}>{told}</ErrorResponse>".encode())
    with pytest.raises(Unauthorized, match=r"AccessDenied.*grant route53:ListResourceRecordSets"):
        route(server).read()
