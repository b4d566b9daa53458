"""The fleet's scorecard: what all flows decided, promised and brought, on one page."""
