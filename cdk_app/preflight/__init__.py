"""`python -m cdk_app.preflight`: what one side's credentials show before a job is paid for."""
