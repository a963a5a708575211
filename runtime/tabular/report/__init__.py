"""The built-in app's own sections of the console and of the report."""
