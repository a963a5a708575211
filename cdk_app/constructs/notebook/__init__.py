"""Notebook instances, for the server and for a data's owner."""
