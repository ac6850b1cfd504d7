"""A person's verdicts on single photos."""
