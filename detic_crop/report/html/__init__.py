"""audit.html."""
