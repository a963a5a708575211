"""Differential privacy and secure aggregation: what both ends share of them."""
