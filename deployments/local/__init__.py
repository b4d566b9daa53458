"""The simulated fleet: one process that serves what a real fleet serves."""
