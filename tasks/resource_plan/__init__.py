"""A day of sizes for every node pool, planned ahead for people to read; nothing acts on it."""
