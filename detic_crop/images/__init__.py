"""Pixels: decode, crop, encode. No journal, no detectors."""
