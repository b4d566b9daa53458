"""Workloads moved from one cluster to another."""
