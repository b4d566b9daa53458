"""Energy: what machines draw, by model or meter."""
