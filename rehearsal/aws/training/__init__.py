"""SageMaker's training jobs: the API, and an executor that runs each job for real."""
