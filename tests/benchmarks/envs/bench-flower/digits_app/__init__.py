"""Softmax regression on digits as a Flower app."""
