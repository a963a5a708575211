"""The built-in app's ClientApp: what the owner's account computes on its rows."""
