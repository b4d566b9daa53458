"""Federated training: rounds over devices whose rows stay where they are."""
