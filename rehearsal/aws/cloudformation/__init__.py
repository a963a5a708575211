"""CloudFormation: templates, stacks, and one handler per resource type; a type without one is an error."""
