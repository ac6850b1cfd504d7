"""Trust: the table of every photo, what is doubtful about it, and a page to look at."""
