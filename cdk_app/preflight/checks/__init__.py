"""The checks; each function yields problems, and notes of what it saw."""
