"""Verbs: one folder a subject (observe, decide, act, report)."""
