"""Forecasting, pure: arrays in, arrays out; no I/O, no clock."""

from tasks.forecasting.decide.crossings import crossings
from tasks.forecasting.decide.engines import ENGINES, fit, forecast
from tasks.forecasting.decide.linear import LinearModel

__all__ = ["ENGINES", "LinearModel", "crossings", "fit", "forecast"]
