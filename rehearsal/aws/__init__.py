"""AWS on this machine: moto for most services, ours for CloudFormation, IAM's decisions and training jobs."""
