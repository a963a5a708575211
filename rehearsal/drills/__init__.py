"""`make drill`: named faults, each run for real and held against the verdict that it must end with."""
