"""Pictures of the accounts, drawn from the synthesised templates and from nothing else."""
