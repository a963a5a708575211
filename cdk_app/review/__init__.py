"""What a client's template allows, in sentences, and whether that is within a committed boundary."""
