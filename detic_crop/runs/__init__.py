"""The job: which photos, in what order, what was done, and how to go on after an interruption."""
