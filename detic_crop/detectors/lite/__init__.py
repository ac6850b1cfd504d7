"""The `lite` detector, which pip installs with this package."""
