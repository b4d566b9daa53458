"""Federated training and the cascade: the figures that need no agents; or JSON with --json.

Run: `python tests/benchmarks/bench_federation.py [--quick] [--seeds N] [--first SEED] [--json]`; one thread.

- digits: 20 devices, Dirichlet 0.5, 50 rounds, as `continuum federate simulate` runs it. Seeds 0 ... N - 1; what was
  chosen (rate, momentum) was chosen on seeds 100-109. Mean and worst seed. `centralised` is the best of three rates on
  the held-back rows. ai4i: the same, by tool, with CONTINUUM_DATA.
- aggregate: 1,000 clients x 1M float32 from a memory map of 4 GB, just written; CPU seconds, and what each rule
  allocates at the most, in models of 4 MB (the map's pages are the system's).
- cascade: edge = softmax on 4x4-pooled pixels (C = 30, chosen on seeds 100-111), cloud = RBF-SVM, costs 1 and 10. The
  threshold is from 5-fold predictions of three quarters of the rows; drop and costs are of the last quarter, which
  nothing has seen.
- Flower's figures are those of our notes (flwr 1.41.0, 4 SuperNodes, offline); `bench_flower.py` measures some here.
"""

import one_thread  # noqa: F401, I001

import argparse
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.svm import SVC

from tasks.federation.decide.aggregate import RULES, Stand, norms_of
from tasks.federation.files import read_dataset
from tasks.federation.simulation import simulate
from tasks.federation.world import Asked
from tasks.inference.decide.threshold import Predictions, decide_threshold

ATTACKED = {"attack": "sign-flip", "hostile_share": 0.2, "assumed_hostile": 0.2}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "softmax, fraction 0.3": ({}, "gap <= 2.5 pt (1.5)"),
    "MLP, fraction 1.0": ({"model": "mlp", "fraction": 1.0}, "gap <= 1.5 pt (0.8)"),
    "softmax, 30 % dropout": ({"dropout": 0.3}, "final >= 93 %"),
    "softmax, 20 % sign-flip, 20 % assumed": (ATTACKED, "last 5 >= 92 % (93), drop <= 2 pt"),
    "softmax, 20 % sign-flip, none assumed": ({**ATTACKED, "assumed_hostile": 0.0}, ""),
    "softmax, average instead of momentum": ({"step": "average"}, ""),
    "MLP, 20 % sign-flip, 20 % assumed": ({**ATTACKED, "model": "mlp"}, ""),
}
FLOWER = (("CPU-s per client-round", "7.3"), ("memory of an idle node", "143 MB"), ("a round of softmax", "35-40 s"),
          ("FedAvg, 20 % sign-flip x5, last 5", "34.6 %"), ("FedAvg / MultiKrum / TrimmedAvg, 20 x 1M",
                                                           "0.21 / 1.7 / 3.2 s"))  # fmt: skip


def digits(seeds: range, dataset: str) -> dict[str, Any]:
    """Each case over the seeds: means, and the worst seed of what has a must."""
    found, data = {}, read_dataset(dataset, "", [])
    for name, (words, must) in CASES.items():
        begin = time.process_time()
        ends = [simulate(data, Asked(seed=seed, **words), lambda *_: None, lambda _: None) for seed in seeds]
        records = [end.to_record() for end in ends]
        gaps = [each["accuracy"]["centralised"] - each["accuracy"]["federated"] for each in records]
        finals, lasts = [each["accuracy"]["federated"] for each in records], [each["last5_mean"] for each in records]
        found[name] = {
            "must": must, "centralised": mean_of(records, "centralised"), "federated": float(np.mean(finals)),
            "federated_min": min(finals), "local": mean_of(records, "local"), "gap": float(np.mean(gaps)),
            "gap_max": max(gaps), "last5": float(np.mean(lasts)), "last5_min": min(lasts),
            "drop_max": max(each["worst_accepted_drop"] for each in records),
            "bytes_up": records[0]["bytes_up"], "cpu_s": (time.process_time() - begin) / len(seeds),
        }  # fmt: skip
    return found


def mean_of(records: list[dict[str, Any]], name: str) -> float:
    """Mean accuracy of one way to train."""
    return float(np.mean([each["accuracy"][name] for each in records]))


def aggregate(clients: int, size: int) -> dict[str, Any]:
    """CPU seconds of each rule on updates from a memory map, and the models in memory at the most (tracemalloc)."""
    found: dict[str, Any] = {"clients": clients, "size": size}
    base = np.random.default_rng(0).normal(size=size).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        updates = np.memmap(Path(folder) / "updates", np.float32, "w+", shape=(clients, size))
        for client in range(clients):
            updates[client] = np.roll(base, client * 9973) * np.float32(1 + client / clients)
        norms, found["norms_cpu_s"] = timed(lambda: norms_of(updates))
        for rule, decide in RULES.items():
            stand = Stand(np.ones(clients), norms, clients // 10)
            tracemalloc.start()
            _, seconds = timed(lambda decide=decide, stand=stand: decide(updates, stand))
            found[rule] = {"cpu_s": seconds, "models": tracemalloc.get_traced_memory()[1] / (4 * size)}
            tracemalloc.stop()
    return found


def cascade(seeds: range) -> dict[str, Any]:
    """A threshold learnt on three quarters of digits, and what it gives on the last one."""
    pixels, labels = load_digits(return_X_y=True)
    pooled = pixels.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(pixels), -1) / 16
    told = np.array([_one_cascade(pixels, pooled, labels, seed) for seed in seeds])
    names = ("edge", "cloud", "accuracy", "random", "cost_ratio", "drop")
    found = {name: float(column.mean()) for name, column in zip(names, told.T, strict=True)}
    return found | {"cost_ratio_max": float(told[:, 4].max()), "within_1pt": float((told[:, 5] <= 0.01).mean()),
                    "drop_sd": float(told[:, 5].std())}  # fmt: skip


def _one_cascade(pixels: Any, pooled: Any, labels: Any, seed: int) -> tuple[float, ...]:
    known, fresh = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=seed)
    edge, cloud = LogisticRegression(C=30, max_iter=2000), SVC()
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    at_edge = cross_val_predict(edge, pooled[known], labels[known], cv=folds, method="predict_proba")
    at_cloud = cross_val_predict(cloud, pixels[known], labels[known], cv=folds)
    held = Predictions(at_edge.max(axis=1), at_edge.argmax(axis=1) == labels[known], at_cloud == labels[known],
                       np.ones(len(known)), np.full(len(known), 10.0))  # fmt: skip
    threshold = decide_threshold(held, 0.01).threshold
    chances = edge.fit(pooled[known], labels[known]).predict_proba(pooled[fresh])
    near = chances.argmax(axis=1) == labels[fresh]
    far = cloud.fit(pixels[known], labels[known]).predict(pixels[fresh]) == labels[fresh]
    up = chances.max(axis=1) < threshold
    reached, ratio = np.where(up, far, near).mean(), up.mean()
    return (near.mean(), far.mean(), reached, ratio * far.mean() + (1 - ratio) * near.mean(), 0.1 + ratio,
            far.mean() - reached)  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Its answer, and the CPU seconds that it took."""
    begin = time.process_time()
    return work(), time.process_time() - begin


def measure(seeds: range, quick: bool) -> dict[str, Any]:
    """Everything that the data at hand allow."""
    found: dict[str, Any] = {"seeds": len(seeds), "digits": digits(seeds, "digits")}
    if os.environ.get("CONTINUUM_DATA"):
        found["ai4i"] = digits(seeds[:5], "ai4i")
    found["aggregate"] = aggregate(100, 100_000) if quick else aggregate(1000, 1_000_000)
    found["cascade"] = cascade(seeds)
    return found


def _show(found: dict[str, Any]) -> None:
    console = Console(width=150)
    for name in ("digits", "ai4i"):
        if name in found:
            _show_cases(console, name, found)
    each = found["aggregate"]
    table = Table("rule", "CPU s", "models in memory", title=f"{each['clients']:,} clients x {each['size']:,} float32 "
                  f"from a memory map; norms {each['norms_cpu_s']:.1f} CPU s beside (must: mean 2 s, 3 models; "
                  "trimmed mean 20 s, stretch 10)")  # fmt: skip
    for rule in RULES:
        table.add_row(rule, f"{each[rule]['cpu_s']:.2f}", f"{each[rule]['models']:.2f}")
    console.print(table)
    told = found["cascade"]
    console.print(f"cascade: edge {told['edge']:.1%}, cloud {told['cloud']:.1%}, cascade {told['accuracy']:.1%} "
                  f"({told['drop']:.2%} under the cloud, sd {told['drop_sd']:.2%}; {told['within_1pt']:.0%} of the "
                  f"seeds within 1 pt on 450 rows) at {told['cost_ratio']:.1%} of the cloud's cost (must 45 %, worst "
                  f"{told['cost_ratio_max']:.1%}), random {told['random']:.1%}: "
                  f"{told['accuracy'] - told['random']:+.1%} (must 5 pt)")  # fmt: skip
    table = Table("Flower, from our notes", "", title="not measured here")
    for row in FLOWER:
        table.add_row(*row)
    console.print(table)


def _show_cases(console: Console, name: str, found: dict[str, Any]) -> None:
    table = Table(name, "must (stretch)", "central", "federated (min)", "local", "gap pt (max)", "last 5 (min)",
                  "worst drop", "bytes up", "CPU s", title=f"{found['seeds']} seeds, 5 of ai4i")  # fmt: skip
    for case, row in found[name].items():
        table.add_row(case, row["must"] if name == "digits" else "", f"{row['centralised']:.1%}",
                      f"{row['federated']:.1%} ({row['federated_min']:.1%})", f"{row['local']:.1%}",
                      f"{100 * row['gap']:.2f} ({100 * row['gap_max']:.2f})",
                      f"{row['last5']:.1%} ({row['last5_min']:.1%})", f"{row['drop_max']:.3f}", f"{row['bytes_up']:,}",
                      f"{row['cpu_s']:.1f}")  # fmt: skip
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 clients x 100,000 instead of 1,000 x 1M")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(range(asked.first, asked.first + asked.seeds), asked.quick)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)


if __name__ == "__main__":
    main()
