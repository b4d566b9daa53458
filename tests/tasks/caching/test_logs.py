"""Access logs as people have them, and what is left out of them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blocks.errors import InvalidInput
from tasks.caching.logs import AccessLog, read_log

HEAD = "ts,site,object,bytes\n"
NGINX = '1.2.3.4 - - [26/Nov/2026:19:00:01 +0200] "{} {} HTTP/1.1" {} {} "-" "curl"\n'
FIELDS = (
    "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
    "cs-uri-query\n"
)


def read(folder: Path, content: str | bytes, name: str = "log.csv") -> AccessLog:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_log(path)


def rows(log: AccessLog) -> list[tuple[float, str, str, float]]:
    told = log.requests
    return [
        (at, log.sites[site], log.object_name(item), told.size[item])
        for at, site, item in zip(told.ts_s.tolist(), told.site.tolist(), told.object.tolist(), strict=True)
    ]


def test_columns_may_come_in_any_order_among_others_and_lines_in_any_order(tmp_path: Path) -> None:
    log = read(tmp_path, "object,x,TS,bytes,site\n/b,1,1767225601,7,fra\n/a,1,1767225600,5,ams\n")
    assert rows(log) == [(1767225600, "ams", "/a", 5), (1767225601, "fra", "/b", 7)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1767225600", 1767225600),
        ("1767225600.5", 1767225600.5),
        ("1767225600500", 1767225600.5),
        ("2026-01-01T00:00:00Z", 1767225600),
        ("2026-01-01 00:00:00", 1767225600),
        ("2026-01-01T02:00:00+02:00", 1767225600),
    ],
)
def test_a_time_is_a_number_or_iso_8601(tmp_path: Path, text: str, seconds: float) -> None:
    assert rows(read(tmp_path, f"{HEAD}{text},a,/x,1\n"))[0][0] == seconds


def test_a_byte_order_mark_windows_line_ends_and_quotes_do_no_harm(tmp_path: Path) -> None:
    log = read(tmp_path, b'\xef\xbb\xbfts,site,object,bytes\r\n1,a,"/x,""1""",10\r\n\r\n2,a,/y,5')
    assert rows(log) == [(1, "a", '/x,"1"', 10), (2, "a", "/y", 5)]
    assert not log.left_out


def test_lines_that_do_not_fit_are_named_counted_and_the_rest_is_used(tmp_path: Path) -> None:
    log = read(
        tmp_path,
        HEAD.encode() + b"1,a,/x,1\ngarbage\n2,a,/x,-1\n3,a,/x,NaN\n4,a,/x,1e300\nnan,a,/x,1\n"
        b"1e300,a,/x,1\n"
        b"-5,a,/x,1\n5,,/x,1\n6,a,,1\n7,a,\xff\xfe,1\n",
    )
    assert [each[0] for each in rows(log)] == [1, 7]
    assert dict(log.left_out) == {"ts is no time": 4, "bytes is no size": 3, "site is empty": 1, "object is empty": 1}
    assert f"{tmp_path}/log.csv:3: ts is no time" in log.first


def test_an_object_has_its_largest_size_and_a_byte_at_least(tmp_path: Path) -> None:
    log = read(tmp_path, HEAD + "1,a,/x,0\n2,a,/x,9\n3,a,/y,0\n")
    assert log.requests.size.tolist() == [9, 1]
    assert log.distinct_bytes == 10


def test_an_nginx_log_is_a_site_and_only_what_caches_answer_counts(tmp_path: Path) -> None:
    lines = NGINX.format("GET", "/a?x=1", 200, 123) + NGINX.format("POST", "/a", 200, 5) + "rubbish\n"
    lines += NGINX.format("GET", "/a", 404, 9) + NGINX.format("GET", "http://h/b", 304, "-")
    log = read(tmp_path, lines, "edge1.access.log")
    assert rows(log) == [(1795712401, "edge1", "/a?x=1", 123), (1795712401, "edge1", "http://h/b", 1)]
    assert (log.not_cacheable, sum(log.left_out.values())) == (2, 1)


def test_a_cloudfront_log_names_its_sites_itself(tmp_path: Path) -> None:
    line = "2026-01-01\t00:00:01\tFRA56-P1\t100\t1.1.1.1\t{}\th\t/a\t200\t{}\n"
    log = read(
        tmp_path, FIELDS + line.format("GET", "q=1") + "bad\n" + line.format("PUT", "-") + line.format("GET", "-")
    )
    assert rows(log) == [(1767225601, "FRA56-P1", "/a?q=1", 100), (1767225601, "FRA56-P1", "/a", 100)]
    assert (log.not_cacheable, sum(log.left_out.values())) == (1, 1)


def test_a_folder_is_read_as_one_log(tmp_path: Path) -> None:
    (tmp_path / "ams.log").write_text(NGINX.format("GET", "/a", 200, 1))
    (tmp_path / "fra.log.gz").write_bytes(gzip.compress(NGINX.format("GET", "/a", 200, 1).encode()))
    log = read_log(tmp_path)
    assert (sorted(log.sites), len(log.objects)) == (["ams", "fra"], 1)


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    when = [datetime(2026, 1, 1, tzinfo=UTC), None]
    pq.write_table(
        pa.table({"ts": when, "site": ["a", "b"], "object": ["/x", "/y"], "bytes": [5, 6]}), tmp_path / "l.parquet"
    )
    log = read_log(tmp_path / "l.parquet")
    assert rows(log) == [(1767225600, "a", "/x", 5)]
    assert dict(log.left_out) == {"ts is no time": 1}


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"", "l.csv", "no line of it is a request"),
        (b"a,b,c\n1,2,3\n", "l.csv", "no column `ts`"),
        (HEAD.encode(), "l.csv", "no line of it is a request"),
        (HEAD.encode() + b"x\ny\n", "l.csv", "l.csv:2: ts is no time"),
        (b"no gzip", "l.csv.gz", "cannot be read"),
        (gzip.compress(b"a" * 9999, mtime=0)[:30], "l.csv.gz", "cannot be read"),
        (b"PAR1", "l.parquet", "not a readable Parquet file"),
        (b"\0\r\xfe\n\0", "l.csv", "no column `ts`"),
        (b"#Fields: date time\n", "l.log", "no column"),
    ],
)
def test_what_is_no_log_is_one_line(tmp_path: Path, content: bytes, name: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read(tmp_path, content, name)
    assert told in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_log_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no log here"):
        read_log(tmp_path / "nowhere.csv")


def test_a_site_whose_clock_is_ahead_is_named(tmp_path: Path) -> None:
    days = [(1, "a"), (1.2, "b"), (1.3, "c"), (400, "d")]
    log = read(tmp_path, HEAD + "".join(f"{day * 86_400},{site},/x,1\n" for day, site in days))
    assert log.notes() == [
        "site d: its newest request is 398.8 days after most sites': see to its clock, or leave it out"
    ]
