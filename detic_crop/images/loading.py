"""Load a picture with one of Pillow's readers, as far as its file goes."""

from __future__ import annotations

from PIL import Image, ImageFile, TiffImagePlugin


def load_rows(photo: ImageFile.ImageFile) -> bool:
    """Decode an opened picture; if the decoder fails on the way, keep the rows that it has finished.

    Returns:
        Whether nothing was missing.
    """
    if isinstance(photo, TiffImagePlugin.TiffImageFile):
        # Given its memory beforehand, the TIFF reader does not ask Pillow's global limit on the size.
        photo.im = Image.new(photo.mode, photo.size).im
    try:
        photo.load()
    except OSError:
        photo.tile = []
        photo.load()
        return False
    return True
