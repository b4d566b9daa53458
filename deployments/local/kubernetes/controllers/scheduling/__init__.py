"""How the scheduler decides: what a pod wants, what a node offers, filters, scores, preemption, words."""
