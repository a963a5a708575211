"""The strategies that the built-in app offers, FedNewton among them."""
