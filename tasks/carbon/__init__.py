"""Carbon-aware scheduling: when and where flexible work is cleanest."""
