"""For the time of a change: the names that are now in detectors, folders and photos."""

from tests.kit.detectors import OTHERS, VOCABULARY, WANTED, FakeDetector, fake_boxes
from tests.kit.folders import (
    assert_one_row_each,
    assert_same,
    crop,
    files_of,
    leftovers,
    product,
    rows_of,
    untouched,
)
from tests.kit.photos import (
    photo_bytes,
    picture,
    write_boxes,
    write_damaged,
    write_photo,
    write_photos,
)

__all__ = [
    "OTHERS",
    "VOCABULARY",
    "WANTED",
    "FakeDetector",
    "assert_one_row_each",
    "assert_same",
    "crop",
    "fake_boxes",
    "files_of",
    "leftovers",
    "photo_bytes",
    "picture",
    "product",
    "rows_of",
    "untouched",
    "write_boxes",
    "write_damaged",
    "write_photo",
    "write_photos",
]
