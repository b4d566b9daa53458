"""Nouns: the fleet's vocabulary, and one file for each outside system."""
