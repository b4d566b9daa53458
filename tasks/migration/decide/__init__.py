"""Which workloads pay to move, and what each policy would have cost. Pure."""
