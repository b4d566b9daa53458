"""Forecasting the demand of node pools."""
