"""The state machine that starts a client's job, and watches it."""
