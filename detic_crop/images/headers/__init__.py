"""What a photo's bytes say about themselves, before any pixel is decoded: a module for each format."""
