"""Several models that answer as one: one after another, fused, or looking again in tiles."""
