"""Which photos belong together, and which fold each gets: numbers in arrays, nothing of files and tables."""
