"""Which photos there are, and where."""
