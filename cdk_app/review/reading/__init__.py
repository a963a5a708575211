"""What a template says: its functions resolved, its policies read, its parts told by their use."""
