"""Versions of models brought to edges: canary, waves, checks between them, and back where a check fails."""
