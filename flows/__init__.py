"""Sentences: one file a flow; only the order of the steps."""
