"""Clouds' own carbon figures: AWS' API on a local server, exports as files; written after their documentation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from blocks.cloud_carbon import AwsSustainability, read_export
from blocks.errors import ContinuumError, InvalidInput, Unauthorized
from blocks.fleet import CloudAccess

MARCH, APRIL = (int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) for month in (3, 4))
AWS = ("usage_period_start,usage_period_end,region_code,product_code,model_version,total_mbm_emissions_value,"
       "total_mbm_emissions_unit,total_lbm_emissions_value,total_lbm_emissions_unit\n")  # fmt: skip


def page(region: str, location: float, token: str | None = None) -> dict:
    values = {"TOTAL_LBM_CARBON_EMISSIONS": {"Value": location, "Unit": "MTCO2e"},
              "TOTAL_MBM_CARBON_EMISSIONS": {"Value": 0.0, "Unit": "MTCO2e"}}  # fmt: skip
    row = {"TimePeriod": {"Start": MARCH, "End": APRIL}, "DimensionsValues": {"REGION": region},
           "ModelVersion": "v3.0", "EmissionsValues": values}  # fmt: skip
    return {"Results": [row]} | ({"NextToken": token} if token else {})


def test_aws_is_asked_page_by_page_for_months_by_region(server) -> None:
    server.answers(server.as_json(page("eu-central-1", 0.002, "more")), server.as_json(page("us-east-1", 0.003)))
    told = AwsSustainability(CloudAccess(endpoint_url=server.url)).emissions(MARCH, APRIL)
    assert [(each.region, each.location_g, each.market_g) for each in told] == [
        ("eu-central-1", 2000.0, 0.0), ("us-east-1", 3000.0, 0.0)]  # fmt: skip
    assert {(each.begin_s, each.end_s, each.version) for each in told} == {(MARCH, APRIL, "v3.0")}
    first, second = server.asked
    assert (first.path, first.json()["Granularity"], first.json()["GroupBy"]) == (
        "/v1/estimated-carbon-emissions", "MONTHLY", ["REGION"])  # fmt: skip
    assert second.json()["NextToken"] == "more"


def test_who_may_not_ask_is_told_what_to_allow(server) -> None:
    denied = {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}
    server.answers((403, denied, b'{"message": "no"}'))
    with pytest.raises(Unauthorized, match="allow sustainability:GetEstimatedCarbonEmissions"):
        AwsSustainability(CloudAccess(endpoint_url=server.url)).emissions(MARCH, APRIL)
    server.answers(server.as_html(200))
    with pytest.raises(ContinuumError):
        AwsSustainability(CloudAccess(endpoint_url=server.url)).emissions(MARCH, APRIL)


def test_an_aws_export_is_added_up_by_month_and_region(tmp_path: Path) -> None:
    rows = ("2026-03-01T00:00:00.000Z,x,eu-central-1,EC2,v3,0.5,MTCO2e,0.002,MTCO2e",
            "2026-03-01T00:00:00.000Z,x,eu-central-1,S3,v3,0,MTCO2e,0.001,MTCO2e",
            "2026-12-01T00:00:00.000Z,x,us-east-1,EC2,v3,0,MTCO2e,7,kgCO2e")  # fmt: skip
    (tmp_path / "aws.csv").write_text(AWS + "\n".join(rows))
    first, last = read_export(tmp_path / "aws.csv")
    assert (first.place, first.begin_s, first.end_s) == (("aws", "eu-central-1"), MARCH, APRIL)
    assert (first.location_g, first.market_g) == pytest.approx((3000.0, 5e5))
    assert last.location_g == 7000.0
    assert last.end_s == int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("dot", [".", "_"])
def test_a_bigquery_export_is_in_kilograms_whatever_joins_its_names(tmp_path: Path, dot: str) -> None:
    names = ("usage_month", f"location{dot}region", f"carbon_footprint_total_kgCO2e{dot}location_based",
             f"carbon_footprint_total_kgCO2e{dot}market_based", "carbon_model_version")  # fmt: skip
    (tmp_path / "gcp.csv").write_text(",".join(names) + "\n2026-03-01,europe-west3,1.5,0.5,11\n")
    (told,) = read_export(tmp_path / "gcp.csv")
    assert (told.place, told.location_g, told.market_g) == (("gcp", "europe-west3"), 1500.0, 500.0)


@pytest.mark.parametrize(("text", "words"), [
    ("a,b\n1,2\n", "no carbon export of AWS or GCP"),
    (AWS + "soon,x,eu,EC2,v3,0,MTCO2e,0,MTCO2e", ":2: `soon` is no month"),
    (AWS + "2026-03-01,x,eu,EC2,v3,,MTCO2e,0,MTCO2e", ":2: `` is no number"),
    (AWS + "2026-03-01,x,eu,EC2,v3,0,lb,0,lb", "the unit `lb` is not known"),
])  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        read_export(tmp_path / "x.csv")
    assert words in str(refusal.value)
