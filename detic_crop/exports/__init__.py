"""What other programs read, made from a finished folder; each export implements `base.Export`."""
