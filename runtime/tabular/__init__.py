"""The built-in Flower app: binary classification of a table of numbers, at both ends."""
