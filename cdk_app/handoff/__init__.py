"""What a client deploys without CDK or Python: a folder with its template, its bundle and how to use them."""
