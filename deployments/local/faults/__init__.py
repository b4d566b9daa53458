"""Faults of the simulated fleet: what can be broken, when it is broken, and what clients see of it."""
