"""A survival curve over silos."""
