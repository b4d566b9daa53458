"""Placement decided: pure functions, no clock, no I/O."""
