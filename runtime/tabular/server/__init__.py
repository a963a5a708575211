"""The built-in app's ServerApp: prepare, play the rounds, finish."""
