"""Object stores and web servers."""
