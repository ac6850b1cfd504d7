"""The pictures of the present audit.html, which are kept when photos are no longer where they were."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from detic_crop.errors import PhotoError
from detic_crop.folder.records import Record
from detic_crop.images.headers.read import read_header
from detic_crop.report.html.thumbnails import CROP_SIDE, PHOTO_SIDE, crop_stamp, photo_stamp

_TOLERANCE = 2  # px: a side that was rounded twice

_ARTICLE = re.compile(r'<article class="[^"]*" id="(p[0-9a-f]{12})">(.*?)</article>', re.DOTALL)
_SIZE = re.compile(r"<figcaption>(\d+) × (\d+)</figcaption>")


def _picture(kind: str) -> re.Pattern[str]:
    data = r'<img [^>]*src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)">'
    return re.compile(rf'<figure class="{kind}"(?: data-of="([0-9a-f]+)")?>(?:<div[^>]*>|<a [^>]*>)?{data}')


_PHOTO, _CROP = _picture("photo"), _picture("crop")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an entry of the page holds: (stamp, base64) of each picture; early versions wrote no stamps."""

    size: tuple[int, int] | None
    photo: tuple[str, str] | None
    crop: tuple[str, str] | None


class EarlierPictures:
    """The pictures of a page by photo; the page is read when the first one is asked for. Thread-safe.

    Args:
        read_page: function that returns the bytes of audit.html, none without one.
    """

    def __init__(self, read_page: Callable[[], bytes]) -> None:
        self._read_page = read_page
        self._entries: dict[str, _Entry] | None = None
        self._lock = threading.Lock()

    def photo(self, anchor: str, record: Record) -> bytes | None:
        """Return the JPEG of a photo; None unless the page has it and it shows this very photo."""
        entry = self._entry(anchor)
        size = (record.width, record.height)
        if entry is None or entry.size != size:
            return None
        return _same(entry.photo, photo_stamp(record), size, PHOTO_SIDE)

    def crop(self, anchor: str, record: Record) -> bytes | None:
        """Return the JPEG of a crop; None unless the page has it and it shows this very crop."""
        entry = self._entry(anchor)
        return None if entry is None else _same(entry.crop, crop_stamp(record), None, CROP_SIDE)

    def _entry(self, anchor: str) -> _Entry | None:
        with self._lock:
            if self._entries is None:
                html = self._read_page().decode("utf-8", "replace")
                self._entries = {found[1]: _parsed(found[2]) for found in _ARTICLE.finditer(html)}
            return self._entries.get(anchor)


def _parsed(article: str) -> _Entry:
    size, photo, crop = _SIZE.search(article), _PHOTO.search(article), _CROP.search(article)
    return _Entry(
        (int(size[1]), int(size[2])) if size else None,
        (photo[1] or "", photo[2]) if photo else None,
        (crop[1] or "", crop[2]) if crop else None,
    )


def _same(
    kept: tuple[str, str] | None, stamp: str, full_size: tuple[int, int] | None, side: int
) -> bytes | None:
    """Return the JPEG of a picture; None if it shows something else or is not such a picture."""
    if kept is None or kept[0] not in ("", stamp):
        return None
    try:
        jpeg = base64.b64decode(kept[1], validate=True)
        header = read_header(jpeg, "earlier.jpg")
    except (ValueError, PhotoError):
        return None
    width, height = full_size or (header.width, header.height)
    ratio = min(1.0, side / max(width, height, 1))
    expected = (width * ratio, height * ratio)
    fits = all(
        abs(is_ - should) <= _TOLERANCE
        for is_, should in zip((header.width, header.height), expected, strict=True)
    )
    return jpeg if jpeg.startswith(b"\xff\xd8\xff") and fits else None
