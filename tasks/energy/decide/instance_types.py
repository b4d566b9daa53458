"""What a cloud's instance type is made of, read from its name: CPU family, vCPUs, memory, GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from blocks.errors import InvalidInput
from tasks.energy.decide.power import Machine

# CPU family by series. Sources: the clouds' pages on instance types, and the CPU names in Teads' table.
_AWS: Mapping[str, str] = {
    "c3": "ivybridge", "m3": "sandybridge", "r3": "ivybridge", "i2": "ivybridge", "g2": "sandybridge",
    "c4": "haswell", "m4": "broadwell", "r4": "broadwell", "t2": "haswell", "d2": "haswell", "x1": "haswell",
    "x1e": "haswell", "h1": "broadwell", "i3": "broadwell", "g3": "broadwell", "p2": "broadwell", "p3": "broadwell",
    "c5": "skylake", "c5d": "skylake", "c5n": "skylake", "m5": "skylake", "m5d": "skylake", "r5": "skylake",
    "t3": "skylake", "i3en": "skylake", "z1d": "skylake", "p3dn": "skylake",
    "m5n": "cascadelake", "m5dn": "cascadelake", "m5zn": "cascadelake", "r5n": "cascadelake", "r5dn": "cascadelake",
    "r5d": "cascadelake", "r5b": "cascadelake", "g4dn": "cascadelake", "p4d": "cascadelake", "d3": "cascadelake",
    "d3en": "cascadelake",
    "m5a": "epyc-gen1", "m5ad": "epyc-gen1", "r5a": "epyc-gen1", "r5ad": "epyc-gen1", "t3a": "epyc-gen1",
    "c5a": "epyc-gen2", "c5ad": "epyc-gen2", "g5": "epyc-gen2",
    "c6i": "icelake", "m6i": "icelake", "r6i": "icelake", "c6id": "icelake", "m6id": "icelake", "r6id": "icelake",
    "c6in": "icelake", "i4i": "icelake",
    "c6a": "epyc-gen3", "m6a": "epyc-gen3", "r6a": "epyc-gen3", "c7a": "epyc", "m7a": "epyc", "r7a": "epyc",
    # not in the table: Sapphire Rapids is taken for the family before it, Graviton for EPYC gen 2 (as Cloud Carbon
    # Footprint takes it)
    "c7i": "icelake", "m7i": "icelake", "r7i": "icelake",
    "a1": "epyc-gen2", "t4g": "epyc-gen2", "c6g": "epyc-gen2", "m6g": "epyc-gen2", "r6g": "epyc-gen2",
    "c6gd": "epyc-gen2", "m6gd": "epyc-gen2", "r6gd": "epyc-gen2", "c6gn": "epyc-gen2", "x2gd": "epyc-gen2",
    "c7g": "epyc-gen2", "m7g": "epyc-gen2", "r7g": "epyc-gen2",
}  # fmt: skip
_GCP: Mapping[str, str] = {
    "n1": "skylake", "e2": "skylake", "n2": "cascadelake", "c2": "cascadelake", "n2d": "epyc-gen2",
    "c2d": "epyc-gen3", "t2d": "epyc-gen3", "c3d": "epyc",
    "c3": "icelake",  # Sapphire Rapids, as above
}  # fmt: skip
_AZURE: Mapping[str, str] = {
    "": "haswell", "v2": "haswell", "v3": "broadwell", "v4": "cascadelake", "v5": "icelake",
    "a_v3": "epyc-gen1", "a_v4": "epyc-gen2", "a_v5": "epyc-gen3", "p_v5": "epyc-gen2",
}  # fmt: skip
_GIB_PER_VCPU = {"c": 2.0, "m": 4.0, "r": 8.0, "t": 4.0, "x": 16.0, "i": 8.0, "z": 8.0, "a": 2.0, "d": 8.0, "g": 4.0,
                 "p": 8.0, "h": 4.0,
                 # series unlike others of their letter
                 "c5n": 2.625, "d3en": 4.0, "g2": 1.875, "g3": 7.625, "p2": 15.25, "p4d": 12.0, "x1e": 30.5,
                 }  # fmt: skip
_THREADS = {"c4.8xlarge": 36.0, "d2.8xlarge": 36.0}  # more than their size tells
_GCP_GIB = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}
_AZURE_GIB = {"D": 4.0, "E": 8.0, "F": 2.0, "B": 4.0, "M": 28.0}
_SMALL = {"nano": (2, 0.5), "micro": (2, 1.0), "small": (2, 2.0), "medium": (2, 4.0), "large": (2, 8.0)}  # T series
_SIZES = {"medium": 1.0, "large": 2.0, "xlarge": 4.0}
_SMALL_T2 = {"nano": (1, 0.5), "micro": (1, 1.0), "small": (1, 2.0)}
# W of one GPU at most, by the makers' data sheets; and how many come with a type, where it is not one.
_AWS_GPU = {"g4dn": 70.0, "g5": 150.0, "p3": 300.0, "p3dn": 300.0, "p4d": 400.0, "p2": 150.0, "g3": 150.0, "g2": 225.0}
_AWS_GPUS = {
    "g4dn.12xlarge": 4, "g5.12xlarge": 4, "g5.24xlarge": 4, "g5.48xlarge": 8, "p3.8xlarge": 4,
    "p3.16xlarge": 8, "p3dn.24xlarge": 8, "p4d.24xlarge": 8, "p2.8xlarge": 8, "p2.16xlarge": 16, "g3.8xlarge": 2,
    "g3.16xlarge": 4, "g2.8xlarge": 4,
}  # fmt: skip


def machine_of(instance_type: str, pue: float = 1.0) -> Machine:
    """What an AWS, GCP or Azure instance type is made of; memory by the usual GiB a vCPU of its series.

    Types with accelerators of which no watts are known here (g4ad, inf1, f1; GCP's a2, g2) are not known either.

    Raises
    ------
    InvalidInput: no such type is known.

    >>> machine_of("m5.2xlarge") == Machine("skylake", threads=8.0, memory_gib=32.0)
    True
    >>> machine_of("n2-standard-4").threads, machine_of("Standard_E16as_v5").cpu_family
    (4.0, 'epyc-gen3')
    """
    for read in (_aws, _gcp, _azure):
        if (found := read(instance_type, pue)) is not None:
            return found
    raise InvalidInput("no such instance type is known", where=f"instance type {instance_type}",
                       fix="give --cpu-family and --threads, and --memory-gib")  # fmt: skip


def _aws(name: str, pue: float) -> Machine | None:
    name = name.removeprefix("db.").removeprefix("cache.")
    series, dot, size = name.partition(".")
    if not dot or series not in _AWS:
        return None
    gpus = float(_AWS_GPUS.get(name, 1 if series in _AWS_GPU else 0))
    more = {"gpus": gpus, "gpu_tdp_w": _AWS_GPU.get(series, 0.0), "pue": pue}
    if series.startswith("t") and size in _SMALL:
        threads, memory = (_SMALL_T2 if series == "t2" else {}).get(size, _SMALL[size])
        return Machine(_AWS[series], float(threads), memory, **more)
    if matched := re.fullmatch(r"(\d+)xlarge", size):
        threads_of = 4.0 * int(matched[1])
    elif size in _SIZES:
        threads_of = _SIZES[size]
    else:
        return None
    memory = threads_of * _GIB_PER_VCPU.get(series, _GIB_PER_VCPU[series[0]])
    return Machine(_AWS[series], _THREADS.get(name, threads_of), memory, **more)


def _gcp(name: str, pue: float) -> Machine | None:
    matched = re.fullmatch(r"([a-z]\d[a-z]?)-(standard|highmem|highcpu)-(\d+)", name)
    if not matched or matched[1] not in _GCP:
        return None
    return Machine(_GCP[matched[1]], float(matched[3]), float(matched[3]) * _GCP_GIB[matched[2]], pue=pue)


def _azure(name: str, pue: float) -> Machine | None:
    matched = re.fullmatch(r"Standard_([DEFBM])(\d+)([a-z]*)(?:_(v\d))?", name)
    if not matched:
        return None
    letter, threads, marks, version = matched[1], float(matched[2]), matched[3], matched[4] or ""
    maker = "a" if "a" in marks else "p" if "p" in marks else ""
    family = _AZURE.get(f"{maker}_{version}" if maker else version)
    return None if family is None else Machine(family, threads, threads * _AZURE_GIB[letter], pue=pue)
