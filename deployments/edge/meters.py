"""What the agent counts, as Prometheus text and as totals for the hub: monotone, so that none counts double."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
Gauge = Callable[[], dict[str, float]]  # value by label set, e.g. {'model="m"': 1.0}


class Meters:
    """Counters, latencies by model, and gauges that are read when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str], float] = {}
        self._latencies: dict[str, list[int]] = {}
        self._gauges: dict[str, Gauge] = {}

    def count(self, name: str, labels: str = "", by: float = 1.0) -> None:
        """Add to a counter; `labels` as Prometheus writes them."""
        with self._lock:
            self._totals[name, labels] = self._totals.get((name, labels), 0.0) + by

    def count_request(self, model: str, status: int, seconds: float) -> None:
        """One inference: its status and how long it took."""
        with self._lock:
            key = "continuum_edge_requests_total", f'model="{model}",status="{status}"'
            self._totals[key] = self._totals.get(key, 0.0) + 1
            spent = "continuum_edge_request_seconds_sum", f'model="{model}"'
            self._totals[spent] = self._totals.get(spent, 0.0) + seconds
            counts = self._latencies.setdefault(model, [0] * (len(BUCKETS_S) + 1))
            counts[bisect_left(BUCKETS_S, seconds)] += 1

    def watch(self, name: str, gauge: Gauge) -> None:
        """Read a gauge whenever metrics are asked for."""
        self._gauges[name] = gauge

    def totals(self) -> dict[str, float]:
        """Every counter since the start, by name and labels."""
        with self._lock:
            return {f"{name}{{{labels}}}" if labels else name: value for (name, labels), value in self._totals.items()}

    def text(self) -> str:
        """In the text format of Prometheus, version 0.0.4."""
        lines = [f"{name} {value:g}" for name, value in sorted(self.totals().items())]
        with self._lock:
            latencies = {model: list(counts) for model, counts in self._latencies.items()}
        for model, counts in sorted(latencies.items()):
            below = 0
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
                below += count
                lines.append(f'continuum_edge_request_seconds_bucket{{model="{model}",le="{bound}"}} {below}')
            lines.append(f'continuum_edge_request_seconds_count{{model="{model}"}} {below}')
        for name, gauge in sorted(self._gauges.items()):
            lines += [f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}"
                      for labels, value in sorted(gauge().items())]  # fmt: skip
        return "\n".join(lines) + "\n"


def resident_bytes() -> float:
    """Memory of this process that is in RAM now; 0 where the system has no /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  no Path: this runs at every scrape
            return float(int(file.read().split()[1]) * 4096)
    except OSError:
        return 0.0
