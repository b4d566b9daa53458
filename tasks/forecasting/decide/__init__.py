"""Forecasting, pure: arrays in, arrays out; no I/O, no clock."""

from tasks.forecasting.decide.calibration import Calibration
from tasks.forecasting.decide.crossings import crossings
from tasks.forecasting.decide.engines import ENGINES, GLOBAL_ENGINES, Model, calibrate, fit, forecast

__all__ = ["ENGINES", "GLOBAL_ENGINES", "Calibration", "Model", "calibrate", "crossings", "fit", "forecast"]
