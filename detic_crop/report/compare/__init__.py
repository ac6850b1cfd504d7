"""Two sets of boxes of the same photos, held against each other and against the truth."""
