"""Runs that share one output folder, and how they are joined."""
