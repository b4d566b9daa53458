"""What a cloud says its services emitted for us, beside what we make of its clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blocks.emissions import CloudEmissions, Place


@dataclass(frozen=True)
class Reconciled:
    """Theirs beside ours, of the months that lie wholly in the period.

    Attributes
    ----------
    covered_ratio: share of the period that these months are. theirs_*, ours_*: g CO2e; ours of the whole period, the
    making of machines included, as theirs have it. ours None: no cluster of ours is there; ours_market_g also where no
    contract's factor is known. difference_ratio: ours over theirs, less 1; only where theirs cover the whole period.
    """

    place: Place
    covered_ratio: float
    theirs_location_g: float
    theirs_market_g: float
    ours_location_g: float | None
    ours_market_g: float | None
    versions: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def difference_ratio(self) -> float | None:
        """See the class."""
        if self.ours_location_g is None or self.covered_ratio < 1 or self.theirs_location_g <= 0:
            return None
        return self.ours_location_g / self.theirs_location_g - 1


def decide_reconciliation(
    provided: Sequence[CloudEmissions], ours: Mapping[Place, tuple[float, float | None]], begin_s: int, end_s: int
) -> list[Reconciled]:
    """A row a provider and region that either side knows, sorted; a month that reaches out of the period is left out.

    Parameters
    ----------
    ours: location and market, g CO2e of the period, by provider and region.

    >>> month = CloudEmissions("aws", "eu-central-1", 0, 100, 8.0, 4.0, "v3", "export.csv")
    >>> row, = decide_reconciliation([month], {("aws", "eu-central-1"): (10.0, None)}, 0, 100)
    >>> row.difference_ratio, row.covered_ratio
    (0.25, 1.0)
    """
    inside = [each for each in provided if begin_s <= each.begin_s < each.end_s <= end_s]
    rows = []
    for place in sorted({each.place for each in inside}):
        mine = [each for each in inside if each.place == place]
        spans = {(each.begin_s, each.end_s) for each in mine}
        location, market = ours.get(place, (None, None))
        rows.append(Reconciled(
            place, sum(end - begin for begin, end in spans) / (end_s - begin_s),
            sum(each.location_g for each in mine), sum(each.market_g for each in mine), location, market,
            tuple(sorted({each.version for each in mine if each.version})),
            tuple(sorted({each.source for each in mine})),
        ))  # fmt: skip
    return rows
