"""CloudFormation: templates, stacks, and tables of resource types; what these do not know is an error."""
