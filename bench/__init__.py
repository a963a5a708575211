"""Measurements beside the product; never part of the tests."""
