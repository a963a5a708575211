"""Buckets, keys, and the bundle in the account's asset bucket."""
