"""Each part of a template against the boundary; what is beyond it becomes a problem."""
