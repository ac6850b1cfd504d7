"""The pictures of the audit.html that there is: they stay when photos are no longer where they were."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from detic_crop.errors import PhotoError
from detic_crop.folder.records import Record
from detic_crop.images.headers import read_header
from detic_crop.report.html.thumbnails import CROP_SIDE, PHOTO_SIDE, crop_stamp, photo_stamp

_TOLERANCE = 2  # px, of a side that was rounded twice

_ARTICLE = re.compile(r'<article class="[^"]*" id="(p[0-9a-f]{12})">(.*?)</article>', re.DOTALL)
_SIZE = re.compile(r"<figcaption>(\d+) × (\d+)</figcaption>")


def _picture(kind: str) -> re.Pattern[str]:
    data = r'<img [^>]*src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)">'
    return re.compile(rf'<figure class="{kind}"(?: data-of="([0-9a-f]+)")?>(?:<div[^>]*>|<a [^>]*>)?{data}')


_PHOTO, _CROP = _picture("photo"), _picture("crop")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an entry of the page held: (stamp, base64) each; pages of early versions have no stamps."""

    size: tuple[int, int] | None
    photo: tuple[str, str] | None
    crop: tuple[str, str] | None


class EarlierPictures:
    """Pictures by photo, read when the first one is asked for. Safe from several threads.

    Args:
        read_page: gives the bytes of audit.html; empty where there is none.
    """

    def __init__(self, read_page: Callable[[], bytes]) -> None:
        self._read_page = read_page
        self._entries: dict[str, _Entry] | None = None
        self._lock = threading.Lock()

    def photo(self, anchor: str, record: Record) -> bytes | None:
        """The JPEG of a photo, if the page has it and it is of this very photo."""
        entry = self._entry(anchor)
        size = (record.width, record.height)
        if entry is None or entry.size != size:
            return None
        return _same(entry.photo, photo_stamp(record), size, PHOTO_SIDE)

    def crop(self, anchor: str, record: Record) -> bytes | None:
        """The JPEG of a crop, if the page has it and it is of this very crop."""
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
    """A kept picture as it is; None when it is of something else, or no such picture at all."""
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
