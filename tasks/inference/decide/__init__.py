"""Calibration, escalation, split and transfer: pure functions."""
