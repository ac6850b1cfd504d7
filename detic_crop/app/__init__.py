"""`detic-crop app`: one local page and a JSON API, from the folder of photos to the exported crops."""
