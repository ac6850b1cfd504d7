"""The `hf:ID_OR_FOLDER` detector: object detectors as the library transformers writes and reads them."""
