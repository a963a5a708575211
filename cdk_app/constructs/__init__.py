"""The parts that stacks are made of, one per file; they take values, never the config object."""
