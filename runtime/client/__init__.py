"""The client account's training job: the session with the server, and the privacy policy around the app."""
