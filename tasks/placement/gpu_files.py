"""Lists of GPU nodes and pods as CSV, plain or .gz, with the columns of Alibaba's openb trace: checked row by row."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blocks.errors import InvalidInput
from tasks.placement.decide.gpu_fragments import MILLI
from tasks.placement.decide.gpus import GpuNodes, GpuPods

NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
MOST_GPUS = 64  # of a node or a pod: beyond it a column was mixed up
MOST = 10**12  # of thousandths of a CPU, of MiB: sums stay exact


@dataclass
class Checked:
    """Rows that were read. `refused`: a line for each row left out, and why."""

    rows: list[list[int | str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def read_nodes(path: Path) -> tuple[GpuNodes, list[str]]:
    """Nodes of a file, and a line for each row that was left out: columns `NODE_COLUMNS`, others are ignored.

    Raises
    ------
    InvalidInput: the file cannot be read, lacks a column, or no row is left.
    """
    found = _read(path, NODE_COLUMNS, _node)
    name, cpu, memory, gpus, model = zip(*found.rows, strict=True)
    nodes = GpuNodes(tuple(map(str, name)), np.array(cpu), np.array(memory), np.array(gpus), tuple(map(str, model)))
    return nodes, found.refused


def read_pods(path: Path) -> tuple[GpuPods, list[str]]:
    """Pods of a file, and a line for each row that was left out: columns `POD_COLUMNS` and, if there, `gpu_spec`.

    Raises
    ------
    InvalidInput: the file cannot be read, lacks a column, or no row is left.
    """
    found = _read(path, POD_COLUMNS, _pod)
    name, cpu, memory, num_gpu, gpu_milli, spec = zip(*found.rows, strict=True)
    pods = GpuPods(
        tuple(map(str, name)), np.array(cpu), np.array(memory), np.array(num_gpu), np.array(gpu_milli),
        tuple(map(str, spec)),
    )  # fmt: skip
    return pods, found.refused


def _read(path: Path, columns: tuple[str, ...], check: Callable[[dict[str, str]], list[int | str]]) -> Checked:
    text = _text(path)
    lines = csv.DictReader(io.StringIO(text, newline=""))
    found, seen = Checked(), set[str]()
    try:
        absent = [name for name in columns if name not in (lines.fieldnames or ())]
        if absent:
            raise InvalidInput(f"column {absent[0]} is not there", where=str(path),
                               fix=f"give a header row with {', '.join(columns)}")  # fmt: skip
        for cells in lines:
            try:
                row = check({name: (value or "").strip() for name, value in cells.items() if isinstance(name, str)})
                if row[0] in seen:
                    raise ValueError(f"{columns[0]} {row[0]} was there before")
            except ValueError as error:
                found.refused.append(f"{path} line {lines.line_num}: {error}: row left out")
                continue
            seen.add(str(row[0]))
            found.rows.append(row)
    except csv.Error as error:
        raise InvalidInput(f"line {lines.line_num} is no CSV ({error})", where=str(path),
                           fix="write it as comma-separated text") from error  # fmt: skip
    if not found.rows:
        why = found.refused[0] if found.refused else "it has none"
        raise InvalidInput(f"no usable row ({why})", where=str(path), fix=f"give rows of {', '.join(columns)}")
    return found


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"it cannot be read ({reason})", where=str(path),
                           fix="give a CSV file in UTF-8, plain or gzipped") from error  # fmt: skip


def _node(cells: dict[str, str]) -> list[int | str]:
    gpus = _whole(cells, "gpu", MOST_GPUS)
    return [_named(cells, "sn"), _whole(cells, "cpu_milli"), _whole(cells, "memory_mib"), gpus, cells["model"]]


def _pod(cells: dict[str, str]) -> list[int | str]:
    num_gpu = _whole(cells, "num_gpu", MOST_GPUS)
    gpu_milli = _whole(cells, "gpu_milli", MILLI) if num_gpu or cells["gpu_milli"] else 0
    if num_gpu and not gpu_milli:
        raise ValueError(f"gpu_milli is 0 though num_gpu is {num_gpu}")
    if num_gpu > 1 and gpu_milli != MILLI:
        raise ValueError(f"{num_gpu} GPUs are whole ones, gpu_milli {gpu_milli} is not {MILLI}")
    models = "|".join(sorted({model.strip() for model in cells.get("gpu_spec", "").split("|")} - {""}))
    return [
        _named(cells, "name"), _whole(cells, "cpu_milli"), _whole(cells, "memory_mib"), num_gpu,
        gpu_milli if num_gpu else 0, models,
    ]  # fmt: skip


def _named(cells: dict[str, str], column: str) -> str:
    if not cells[column]:
        raise ValueError(f"{column} is empty")
    return cells[column]


def _whole(cells: dict[str, str], column: str, most: int = MOST) -> int:
    """A whole number of a cell, 0 to `most`; a float without a fraction is one."""
    try:
        value = float(cells[column])
    except ValueError:
        raise ValueError(f"{column} {cells[column]!r} is no number") from None
    if not 0 <= value <= most or value != int(value):
        raise ValueError(f"{column} {cells[column]} is no whole number from 0 to {most}")
    return int(value)
