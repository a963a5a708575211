"""Roles, each with its reasons, and the account's signing key."""
