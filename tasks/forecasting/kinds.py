"""The kinds of demand that are forecast, and how their numbers are shown."""

from __future__ import annotations

# A kind is the end of a series' name `cluster/pool/kind`, and a query of the inventory's `metrics`.
KINDS = ("cpu_cores", "memory_bytes")

# The word for the resource, the unit it is shown in, and what one such unit is.
SHOWN = {"cpu_cores": ("CPU", "cores", 1.0), "memory_bytes": ("memory", "GiB", float(2**30))}


def kind_of(name: str) -> str:
    """Kind of demand of a series.

    >>> kind_of("eu-eks/web/cpu_cores")
    'cpu_cores'
    """
    return name.rsplit("/", 1)[1]
