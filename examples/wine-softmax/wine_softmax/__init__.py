"""Softmax regression on three kinds of wine."""
