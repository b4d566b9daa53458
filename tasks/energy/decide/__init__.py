"""Pure: what machines draw."""
