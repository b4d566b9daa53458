"""Node pools as their clusters show them."""
