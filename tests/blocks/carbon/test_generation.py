"""ENTSO-E and EIA, against answers written after their documentation, on a local server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from blocks.carbon.generation import G_PER_KWH, Eia, Entsoe
from blocks.errors import ContinuumError, InvalidInput, NotConfigured, NotFound, Unauthorized, Unreachable

START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
KEY = SecretStr("hunter2")
NAMESPACE = "urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0"


def series(code: str, *points: tuple[int, float], consumed: bool = False, minutes: int = 60) -> str:
    domain = "out" if consumed else "in"
    told = "".join(f"<Point><position>{at}</position><quantity>{many}</quantity></Point>" for at, many in points)
    return (
        f"<TimeSeries><{domain}BiddingZone_Domain.mRID>10YX</{domain}BiddingZone_Domain.mRID><curveType>A03</curveType>"
        f"<MktPSRType><psrType>{code}</psrType></MktPSRType><Period><timeInterval><start>2026-03-01T00:00Z</start>"
        f"<end>2026-03-01T02:00Z</end></timeInterval><resolution>PT{minutes}M</resolution>{told}</Period></TimeSeries>"
    )


def document(*parts: str) -> tuple[int, dict[str, str], bytes]:
    body = f'<?xml version="1.0"?><GL_MarketDocument xmlns="{NAMESPACE}">{"".join(parts)}</GL_MarketDocument>'
    return 200, {"Content-Type": "text/xml"}, body.encode()


def test_entsoe_is_generation_by_type_times_its_grams_and_a_point_left_out_repeats_the_last(server) -> None:
    server.answers(document(
        series("B16", (1, 0), (5, 30), minutes=15), series("B04", (1, 10)), series("B10", (1, 900)),
        series("B14", (1, 500), consumed=True), series("B02", (1, -3), (2, 30)),
    ))  # fmt: skip
    told = Entsoe(KEY, server.url).series("10YX", START, START + 7200)
    second = (120 * G_PER_KWH["solar"] + 10 * G_PER_KWH["gas"] + 30 * G_PER_KWH["coal"]) / 160
    assert told.g_per_kwh.tolist() == pytest.approx([G_PER_KWH["gas"], second])
    assert (told.start_s, told.step_s, told.method, told.signal) == (START, 3600, "estimated", "average")
    asked = server.asked[0].query
    assert (asked["documentType"], asked["processType"], asked["in_Domain"]) == ("A75", "A16", "10YX")
    assert (asked["periodStart"], asked["periodEnd"]) == ("202603010000", "202603010200")


def test_entsoe_without_data_is_not_found_and_no_xml_is_named(server) -> None:
    name = b"Acknowledgement_MarketDocument"
    body = b'<%s xmlns="urn:x"><Reason><code>999</code></Reason></%s>' % (name, name)
    server.answers((200, {}, body))
    with pytest.raises(NotFound, match="it has nothing of that zone and time"):
        Entsoe(KEY, server.url).series("10YX", START, START + 3600)
    for bad in (b"<html>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"<TimeSeries>"):
        server.answers((200, {}, bad))
        with pytest.raises(Unreachable, match="an answer that is not ENTSO-E's"):
            Entsoe(KEY, server.url).series("10YX", START, START + 3600)


def eia(*rows: tuple[str, str, str | None], total: int | None = None) -> dict:
    data = [{"period": at, "respondent": "CISO", "fueltype": fuel, "value": value, "value-units": "megawatthours"}
            for at, fuel, value in rows]  # fmt: skip
    return {"response": {"total": str(len(data) if total is None else total), "data": data}}


def test_eia_names_hours_by_their_end(server) -> None:
    rows = (("2026-03-01T01", "NG", "60"), ("2026-03-01T01", "SUN", "-1"), ("2026-03-01T02", "NUC", "50"),
            ("2026-03-01T01", "NUC", "40"), ("2026-03-01T02", "COL", "50"), ("2026-03-01T02", "BAT", "70"),
            ("2026-03-01T02", "WAT", None))  # fmt: skip
    server.answers(server.as_json(eia(*rows)))
    told = Eia(KEY, server.url).series("CISO", START, START + 7200)
    assert told.g_per_kwh.tolist() == pytest.approx([0.6 * 490 + 0.4 * 12, 0.5 * 12 + 0.5 * 820])
    asked = server.asked[0].query
    assert (asked["start"], asked["end"]) == ("2026-03-01T01", "2026-03-01T02")
    assert (asked["facets[respondent][]"], asked["api_key"]) == ("CISO", "hunter2")


def test_an_answer_that_is_cut_is_refused_and_a_gap_too(server) -> None:
    server.answers(server.as_json(eia(("2026-03-01T01", "NG", "60"), total=9000)))
    with pytest.raises(InvalidInput, match="9000 rows"):
        Eia(KEY, server.url).series("CISO", START, START + 3600)
    server.answers(server.as_json(eia(("2026-03-01T01", "NG", "60"), ("2026-03-01T03", "NG", "60"))))
    with pytest.raises(InvalidInput, match="no step of 60 min"):
        Eia(KEY, server.url).series("CISO", START, START + 3 * 3600)


@pytest.mark.parametrize("kind", [Entsoe, Eia])
@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (503, Unreachable)])
def test_a_refusal_never_shows_the_key(server, kind, status: int, error: type[ContinuumError]) -> None:
    server.answers(server.as_json({"error": "no"}, status))
    with pytest.raises(error) as refusal:
        kind(KEY, server.url).series("CISO", START, START + 3600)
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(NotConfigured, match="no key"):
        kind(SecretStr(""), server.url)
