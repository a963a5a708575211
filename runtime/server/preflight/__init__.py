"""What is looked at before a job is paid for; here, what only the server's notebook can try."""
