"""A client's training job, pinned whole."""
