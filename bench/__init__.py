"""Side-by-side measurements; docs/performance.md says what each found."""
