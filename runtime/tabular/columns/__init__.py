"""Typed columns: what a schema says of them, how their cells are read, checked for rare ones and encoded."""
