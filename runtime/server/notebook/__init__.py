"""What a run on the server's notebook need not be told: its stack told the notebook."""
