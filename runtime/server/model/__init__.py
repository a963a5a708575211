"""What the server's side adds to a model's command line: runs in MLflow."""
