"""Pure decisions: popularity, plan, gate, and the caches that they are replayed through."""
