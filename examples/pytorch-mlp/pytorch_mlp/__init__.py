"""A PyTorch network for the provider table."""
