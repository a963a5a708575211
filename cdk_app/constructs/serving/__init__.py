"""A registered model put to use in its account: a serverless endpoint, or what a batch transform needs."""
