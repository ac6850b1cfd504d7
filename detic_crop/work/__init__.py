"""Photos to recorded crops."""
