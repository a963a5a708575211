"""What a person sees of a run: the console, report.json and the page made of it."""
