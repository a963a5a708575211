"""One stack per file; each reads as the list of what its account will contain."""
