"""Forecasting, pure: arrays in, arrays out; no I/O, no clock."""

from tasks.forecasting.decide.calibration import Calibration
from tasks.forecasting.decide.crossings import crossings
from tasks.forecasting.decide.engines import ENGINES, GLOBAL_ENGINES, fit, forecast
from tasks.forecasting.decide.model import Model
from tasks.forecasting.decide.replays import calibrate

__all__ = ["ENGINES", "GLOBAL_ENGINES", "Calibration", "Model", "calibrate", "crossings", "fit", "forecast"]
