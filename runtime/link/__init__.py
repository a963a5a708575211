"""Flower's Grid over one gRPC stream per client, with mutual TLS."""
