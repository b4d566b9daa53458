"""Placing workloads on sites."""
