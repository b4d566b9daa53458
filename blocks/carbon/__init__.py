"""Carbon intensity of electricity: one capability, many sources, each saying how it knows."""

from blocks.carbon.hourly_files import HourlyFiles, HourlyTable, read_hourly
from blocks.carbon.series import (
    METHODS,
    SIGNALS,
    CarbonForecaster,
    CarbonSeries,
    CarbonSource,
    Method,
    Signal,
    best_series,
)
from blocks.carbon.typical_day import TypicalDay

__all__ = [
    "METHODS", "SIGNALS", "CarbonForecaster", "CarbonSeries", "CarbonSource", "HourlyFiles", "HourlyTable", "Method",
    "Signal", "TypicalDay", "best_series", "read_hourly",
]  # fmt: skip
