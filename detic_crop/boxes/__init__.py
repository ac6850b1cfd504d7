"""Pure box work: no files, no pixels, no torch."""
