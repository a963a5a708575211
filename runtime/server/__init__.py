"""The server account's side of a run."""
