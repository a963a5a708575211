"""The client account's training job."""
