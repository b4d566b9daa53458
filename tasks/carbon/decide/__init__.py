"""Start times, forecasts and capacity: pure functions on arrays."""
