"""Review: the verdicts on disk, the rows in memory, and the local page over both."""
