"""Boosted trees: grown from histograms that are summed over silos, or collected from each (bagging)."""
