"""What is shipped to the accounts: the link, the model code, the client and the server."""
