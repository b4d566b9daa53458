"""The offline default: the carried table of typical days, 81 zones, no weather in it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from blocks.carbon.series import CarbonSeries, Signal
from blocks.tables import CARBON_YEARS, carbon_profile

HOUR_S = 3600


class TypicalDay:
    """Mean intensity by month and UTC hour, any year; Electricity Maps, ODbL (blocks/tables/carbon/NOTICE)."""

    signal: Signal = "average"

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The hours that touch [start, end).

        Raises
        ------
        NotFound: no such zone; the nearest are named.
        """
        profile = carbon_profile(zone).mean_g_per_kwh
        first, last = start_s // HOUR_S, -(-end_s // HOUR_S)
        hours = [datetime.fromtimestamp(hour * HOUR_S, UTC) for hour in range(first, last)]
        values = np.array([profile[each.month - 1, each.hour] for each in hours])
        return CarbonSeries(zone, first * HOUR_S, HOUR_S, values, "average", "typical day",
                            f"typical day of {CARBON_YEARS}, Electricity Maps, ODbL 1.0")  # fmt: skip
