"""Weighted records of Amazon Route 53 through boto3: one batch of UPSERTs, all records or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from blocks.aws import Fixes, aws_client, aws_errors
from blocks.errors import CloudRefused, Conflict, NotFound, Refused, Throttled, Unauthorized
from blocks.fleet import CloudAccess
from blocks.traffic import RouteState, Session, check_weights, keeps_nobody

MOST = 255  # of a record's weight
FIXES: Fixes = {
    CloudRefused: "correct the records as the message says",
    NotFound: "check the hosted zone's id, and the account under `dns:`",
    Throttled: "ask less often; another change of the zone is under way",
    Unauthorized: "grant route53:ListResourceRecordSets and route53:ChangeResourceRecordSets, or renew the credentials",
}


class Route53Route:
    """A `WeightedRoute` of the records of one name and type. The API has no precondition: we compare just before."""

    def __init__(self, client: Any, hosted_zone: str, record: str, record_type: str) -> None:
        self._client, self._zone, self._type = client, hosted_zone, record_type
        self._record = record.rstrip(".").lower() + "."
        self.where = f"record {record} {record_type} of hosted zone {hosted_zone}"

    @classmethod
    def connect(cls, access: CloudAccess, hosted_zone: str, record: str, record_type: str) -> Self:
        """By the SDK's own credential chain, profile and assumed role; with stand-in keys over plain http."""
        where = f"hosted zone {hosted_zone}"
        with aws_errors(where, FIXES):
            return cls(aws_client("route53", access, where), hosted_zone, record, record_type)

    def read(self) -> RouteState:
        """See `WeightedRoute.read`."""
        return self._state(self._records())

    def write(self, weights: Mapping[str, int], session: Session | None, if_match: str) -> None:
        """See `WeightedRoute.write`. What else a record holds is sent back as it was read."""
        if session is not None:
            raise keeps_nobody(self.where)
        records = self._records()
        if self._state(records).version != if_match:
            raise Conflict("somebody wrote it since it was read", where=self.where, fix="the next pass decides anew")
        check_weights(weights, self._state(records).weights, self.where)
        if max(weights.values()) > MOST:
            raise Refused(f"a weight is above {MOST}", where=self.where, fix="give shares in per cent")
        changes = [{"Action": "UPSERT", "ResourceRecordSet": each | {"Weight": weights[each["SetIdentifier"]]}}
                   for each in records if each["Weight"] != weights[each["SetIdentifier"]]]  # fmt: skip
        if changes:
            batch = {"Comment": "continuum", "Changes": changes}
            with aws_errors(self.where, FIXES):
                self._client.change_resource_record_sets(HostedZoneId=self._zone, ChangeBatch=batch)

    def _records(self) -> list[dict[str, Any]]:
        """The records of our name and type, weighted ones all."""
        found: list[dict[str, Any]] = []
        start = {"StartRecordName": self._record, "StartRecordType": self._type}
        with aws_errors(self.where, FIXES):
            while True:
                page = self._client.list_resource_record_sets(HostedZoneId=self._zone, **start)
                names = [(each["Name"].lower(), each["Type"]) for each in page["ResourceRecordSets"]]
                mine = [each for each, name in zip(page["ResourceRecordSets"], names, strict=True)
                        if name == (self._record, self._type)]  # fmt: skip
                found += mine
                if not page["IsTruncated"] or len(mine) < len(names):
                    break
                start = {"StartRecordName": page["NextRecordName"], "StartRecordType": page["NextRecordType"]}
                start |= (
                    {"StartRecordIdentifier": page["NextRecordIdentifier"]} if "NextRecordIdentifier" in page else {}
                )
        if not found:
            raise NotFound("there are no such records", where=self.where, fix="check the name, the type and the zone")
        if any("Weight" not in each for each in found):
            raise Refused(
                "its records are not weighted", where=self.where, fix="give each a SetIdentifier and a Weight"
            )
        return found

    def _state(self, records: list[dict[str, Any]]) -> RouteState:
        told = json.dumps(sorted(records, key=lambda each: str(each["SetIdentifier"])), sort_keys=True)
        kept = [int(each["TTL"]) for each in records if "TTL" in each]
        return RouteState({each["SetIdentifier"]: int(each["Weight"]) for each in records},
                          hashlib.sha256(told.encode()).hexdigest()[:16], max(kept, default=None))  # fmt: skip
