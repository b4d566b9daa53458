"""Sentences: one file a flow; only the order of the steps."""

from blocks.tracing import trace_if_asked

trace_if_asked()
