"""One run from the first client that joins to the verdict, of whatever app."""
