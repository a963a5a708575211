"""The clients' training jobs: assumed roles, invitations, and the certificates that come back."""
