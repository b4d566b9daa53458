"""The same reader against a real Prometheus, where Debian's package is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest

from blocks.errors import InvalidInput, Unreachable
from blocks.fleet import Metrics
from blocks.prometheus import PrometheusSource, increase

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="no prometheus and promtool on this machine"
)

STEP_S = 60
POINTS = 23_000  # more than two requests' worth
GAP = range(5_000, 5_060)  # one hour without samples, longer than the look-back
RESET = 12_000


@pytest.fixture(scope="module")
def start_s() -> int:
    return (int(time.time()) // 7200 - 1) * 7200 - POINTS * STEP_S


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, start_s: int) -> Iterator[PrometheusSource]:
    folder = tmp_path_factory.mktemp("prometheus")
    lines = ["# TYPE cores gauge"]
    lines += [
        f'cores{{cluster="eu",node_pool="web"}} {index} {start_s + index * STEP_S}'
        for index in range(POINTS)
        if index not in GAP
    ]
    lines += [f'cores{{cluster="eu",node_pool="late"}} NaN {start_s + (POINTS - 1) * STEP_S}']
    lines += ["# TYPE served counter"]
    lines += [f"served_total {(index % RESET) * 10} {start_s + index * STEP_S}" for index in range(POINTS)]
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    (folder / "prometheus.yml").write_text("{}\n")
    backfill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=744h"]
    subprocess.run([*backfill, "history.txt", "data"], cwd=folder, check=True, capture_output=True, timeout=60)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    arguments = [
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=365d",
        "--log.level=error",
    ]
    process = subprocess.Popen(["prometheus", "--config.file=prometheus.yml", *arguments], cwd=folder)
    made = PrometheusSource.from_metrics(Metrics(url=f"http://127.0.0.1:{port}"))
    try:
        _wait_until_ready(made, process)
        yield made
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(source: PrometheusSource, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            source.now()
            return
        except Unreachable:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_now_is_near_this_machines_clock(source) -> None:
    assert abs(source.now().timestamp() - time.time()) < 5


def test_a_range_beyond_the_servers_limit_is_read_whole_and_its_gap_is_missing(source, start_s) -> None:
    found = source.matrix("cores", start_s, start_s + POINTS * STEP_S, STEP_S, label="{cluster}/{node_pool}")
    assert found.unique_id == ("eu/late", "eu/web")
    web = found.values[1]
    expected = np.arange(POINTS, dtype=np.float32)
    missing = np.flatnonzero(np.isnan(web))
    # The server carries the last value forward for its look-back of 5 minutes; the rest of the hour is missing.
    assert set(missing) == set(GAP[4:]) or set(missing) == set(GAP[5:])
    known = np.setdiff1d(np.arange(POINTS), GAP)
    np.testing.assert_array_equal(web[known], expected[known])
    assert np.isnan(found.values[0]).all()


def test_one_request_for_as_much_is_what_the_server_refuses(source, start_s, monkeypatch) -> None:
    monkeypatch.setattr("blocks.prometheus.MAX_POINTS", 20_000)
    with pytest.raises(InvalidInput, match="11,000"):
        source.range("cores", start_s, start_s + 15_000 * STEP_S, STEP_S)


def test_a_counter_that_was_reset_never_grows_by_a_negative_amount(source, start_s) -> None:
    found = source.matrix("served_total", start_s, start_s + POINTS * STEP_S, STEP_S)
    grown = increase(found.values)[0, 1:]
    assert grown[RESET - 1] == 0
    assert np.delete(grown, RESET - 1).tolist() == [10.0] * (POINTS - 2)


def test_a_query_that_does_not_parse_is_the_askers_fault_in_the_servers_words(source) -> None:
    with pytest.raises(InvalidInput, match="parse error"):
        source.instant("sum by (")
