"""Everything an output folder knows about itself."""
