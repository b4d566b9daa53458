"""Inference at the edge and in the cloud: which answer to trust, and when to ask further."""
