"""Whole federations on loopback. A package, because it shares helpers."""
