"""Scaling node pools ahead of demand."""
