"""The command line `fedstack`: every step from a rehearsal to a model in use."""
