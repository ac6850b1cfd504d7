"""Cut-outs of a photo in full resolution, for whoever zooms into it: tiles of a pyramid.

A tile has at most `TILE` px a side; it shows the photo as it is, or 2, 4 or 8 times smaller. The pixels of a
photo are decoded once and kept while its tiles are asked for.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.geometry import PixelBox
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import changed_photo
from detic_crop.images.crop import resize_exactly
from detic_crop.images.encode import encode
from detic_crop.images.partial import REDUCTIONS
from detic_crop.photos.location import Location
from detic_crop.report.html.thumbnails import open_photo
from detic_crop.system.memory_budget import Loan, MemoryBudget

TILE = 512
"""px a side of a tile; those at the right and lower edge are smaller."""
MOST_PHOTOS = 2
"""Photos whose pixels are kept: the one that is looked at, and the one before."""
MOST_BYTES = 512 << 20
"""Bytes of pixels that are kept; of the newest photo any number for which there is memory."""
_QUALITY = 92
_LONGEST_NUMBER = 6  # digits


def path_number(text: str) -> int:
    """Return a number of an address.

    Raises:
        ValueError: it is none, or longer than any that means something.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER):
        raise ValueError("expected a number")
    return int(text)


class Tile(NamedTuple):
    """Which part of a photo a tile shows.

    Attributes:
        reduction: photo pixels per pixel of the tile, in each direction.
        column: number of the tile from the left, from 0.
        row: number of the tile from the top, from 0.
    """

    reduction: int
    column: int
    row: int

    @classmethod
    def parse(cls, *numbers: str) -> Tile:
        """Return the tile that three numbers of an address name.

        Raises:
            ValueError: they name none.
        """
        tile = cls(*map(path_number, numbers))
        if tile.reduction not in REDUCTIONS:
            raise ValueError(f"expected a reduction of {', '.join(map(str, REDUCTIONS))}")
        return tile

    def region(self, resolution_wh: tuple[int, int]) -> PixelBox:
        """Return its part of a photo of that size: left, top, right, bottom in photo pixels.

        Raises:
            ValueError: it lies outside.
        """
        width, height = resolution_wh
        side = TILE * self.reduction
        left, top = self.column * side, self.row * side
        if left >= width or top >= height:
            raise ValueError(f"expected a tile inside {width}×{height} px")
        return left, top, min(left + side, width), min(top + side, height)

    def jpeg(self, image: NDArray[np.uint8]) -> bytes:
        """Return its JPEG.

        Args:
            image: (H, W, 3) uint8, BGR, upright: all of the photo.

        Raises:
            ValueError: it lies outside.
        """
        left, top, right, bottom = self.region((image.shape[1], image.shape[0]))
        part = image[top:bottom, left:right]
        if self.reduction > 1:
            across, down = (-(-side // self.reduction) for side in (right - left, bottom - top))
            part = resize_exactly(part, across, down)
        return encode(part, "jpg", _QUALITY)


class _Kept(NamedTuple):
    """Pixels of a photo, and the memory that is borrowed for them."""

    image: NDArray[np.uint8]
    loan: Loan | None


class DecodedPhotos:
    """Pixels of the photos that were asked for last; each is decoded once, however many ask for it.

    The kept pixels go as soon as somebody else has to wait for memory of the same budget.

    Args:
        memory: where memory is borrowed, also for what is kept.
    """

    def __init__(self, memory: MemoryBudget) -> None:
        self._memory = memory
        self._kept: dict[object, _Kept] = {}  # the newest last
        self._coming: dict[object, Future[NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()
        # One photo at a time: whoever steps through many starts no heap of work.
        self._turn = threading.Lock()
        memory.when_short = self.forget

    def pixels(self, record: Record, location: Location, version: int) -> NDArray[np.uint8]:
        """Return the upright pixels of a photo, which must still be the one that the run saw.

        Args:
            record: its record.
            location: where it is.
            version: tells apart what was there at different times.

        Returns:
            (H, W, 3) uint8, BGR; not to be written to.

        Raises:
            PhotoError: it cannot be read or decoded, or is another photo now.
        """
        key = record, location, version
        with self._lock:
            if key in self._kept:
                self._kept[key] = self._kept.pop(key)
                return self._kept[key].image
            coming = self._coming.get(key)
            if coming is None:
                mine = self._coming[key] = Future()
        if coming is not None:
            return coming.result()
        try:
            with self._turn:
                self._make_room()
                kept = self._decode(record, location)
        except BaseException as error:
            with self._lock:
                del self._coming[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._coming[key]
            while self._kept and self.kept_bytes + kept.image.nbytes > MOST_BYTES:
                self._drop_oldest()
            self._kept[key] = kept
        mine.set_result(kept.image)
        if self._memory.is_short:  # somebody began to wait before it was kept
            self.forget()
        return kept.image

    def forget(self) -> None:
        """Drop all that is kept."""
        with self._lock:
            while self._kept:
                self._drop_oldest()

    @property
    def kept_bytes(self) -> int:
        """Bytes of the pixels that are kept."""
        return sum(kept.image.nbytes for kept in self._kept.values())

    def _decode(self, record: Record, location: Location) -> _Kept:
        photo = open_photo(record, location, self._memory)
        try:
            if record.checksum not in (None, photo.checksum):
                raise changed_photo()
            photo.vouch()  # the run has found out whether it is damaged
            image = photo.decode().image
            if image.shape[:2] != (record.height, record.width):
                raise changed_photo()
        except BaseException:
            photo.give_back()
            raise
        if photo.loan is not None:
            photo.loan.keep(image.nbytes)
        return _Kept(image, photo.loan)

    def _make_room(self) -> None:
        """Drop what is not kept beside one more photo."""
        with self._lock:
            while len(self._kept) >= MOST_PHOTOS:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        kept = self._kept.pop(next(iter(self._kept)))
        if kept.loan is not None:
            kept.loan.give_back()
