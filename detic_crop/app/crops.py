"""`POST /crop`: one photo in, its crop and its row out; nothing of it comes to a disk."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from detic_crop.app.asked import checked
from detic_crop.app.endpoint import Endpoint, query_of_request
from detic_crop.app.operations import ErrorLine
from detic_crop.app.refusals import RefusedError
from detic_crop.commands.crop_posted import CroppedPhoto
from detic_crop.config import SETTINGS, CropConfig, Setting
from detic_crop.web.answers import body_of, json_answer

MOST_BYTES = 50_000_000
"""Of one photo."""
_MOST_AT_ONCE = 64  # photos that come, wait or are worked on
_MOST_BYTES_AT_ONCE = 400_000_000
_LONGEST_BODY = 120.0  # seconds in which a photo must have come
_LONGEST = 180.0  # seconds from then to its crop
_SOON = 2  # seconds after which it is worth trying again
_MOST_HEADER = 6_000  # bytes of a row in a header
_LONGEST_NAME = 500
_NOT_HERE = ("out_format", "metadata")

CROP_SETTINGS: Mapping[str, Setting] = {
    name: setting for name, setting in SETTINGS[CropConfig].items() if name not in _NOT_HERE
}
"""Settings that may stand in the address."""

_KINDS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class AnimalView(msgspec.Struct):
    """One animal of a photo, with ``animals=all``.

    Attributes:
        row: its row, as in animals.csv.
        crop: its crop, base64; null if it has none.
    """

    row: dict[str, str]
    crop: str | None


class CropView(msgspec.Struct):
    """What became of a photo.

    Attributes:
        row: its row, as in audit.csv, but for what compares it with other photos.
        type: media type of the crops.
        crop: its crop, base64, of the largest animal if there are several; null with ``not_found=skip`` where
            there is none.
        animals: every animal, with ``animals=all``.
    """

    row: dict[str, str]
    type: str
    crop: str | None
    animals: list[AnimalView]


class FailedPhoto(msgspec.Struct):
    """A photo that cannot be used: why, and its row."""

    error: ErrorLine
    row: dict[str, str]


class CropEndpoint(Endpoint):
    """Answers with the crop of the photo that is the body."""

    _at_once = 0
    _bytes = 0

    async def answered(self, request: Request) -> Response:
        """Return the crop and the row, or the crop with the row in a header; see `Endpoint`."""
        query = query_of_request(request)
        name = query.pop("image", "photo")
        if not 0 < len(name) <= _LONGEST_NAME:
            raise RefusedError(400, "bad_query", f"expected a name of 1 to {_LONGEST_NAME} signs as image")
        config = CropConfig(**checked(self.service.roots, CROP_SETTINGS, query))
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if not kind.startswith("image/") and kind != "application/octet-stream":
            raise RefusedError(
                415, "bad_type", "expected a photo as body, with Content-Type: image/jpeg or so"
            )
        async with self._place(_stated(request)):
            data = await body_of(request, MOST_BYTES, "a photo", _LONGEST_BODY)
            if not data:
                raise RefusedError(400, "empty_body", "expected a photo as body, got nothing")
            cropped = await self._cropped(data, name, config)
            del data
        if cropped.reason:
            line = ErrorLine(cropped.reason, cropped.row["error"])
            return json_answer(msgspec.to_builtins(FailedPhoto(line, cropped.row)), 422)
        media_type = _KINDS[config.format]
        if _wants_picture(request):
            return _picture(cropped, media_type)
        return json_answer(msgspec.to_builtins(_view(cropped, media_type)))

    async def _cropped(self, data: bytes, name: str, config: CropConfig) -> CroppedPhoto:
        # In a thread of its own: it may load a detector, which must keep nobody else waiting.
        begun = await asyncio.to_thread(self.service.cropper.submit, data, name, config)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(begun), _LONGEST)
        except TimeoutError:
            why = f"the photo was not done within {_LONGEST:g} s; try again later, or a smaller one"
            raise RefusedError(503, "too_slow", why, _SOON) from None

    @contextlib.asynccontextmanager
    async def _place(self, size: int) -> AsyncIterator[None]:
        """Have a photo of so many bytes in memory meanwhile.

        Raises:
            RefusedError: it is too large, or there are too many.
        """
        if size > MOST_BYTES:
            raise RefusedError(
                413, "too_large", f"expected a photo of at most {MOST_BYTES:,} bytes, got {size:,}"
            )
        if self._at_once >= _MOST_AT_ONCE or self._bytes + size > _MOST_BYTES_AT_ONCE:
            raise RefusedError(503, "busy", f"{self._at_once} photos are waiting; try again soon", _SOON)
        self._at_once += 1
        self._bytes += size
        try:
            yield
        finally:
            self._at_once -= 1
            self._bytes -= size


def _stated(request: Request) -> int:
    """Return the bytes that the body will have; the most there may be, where nobody says."""
    text = request.headers.get("content-length", "")
    return int(text[:20]) if text.isascii() and text.isdecimal() else MOST_BYTES


def _wants_picture(request: Request) -> bool:
    """Return whether the client takes pictures, and JSON only if all else is taken."""
    accepted = request.headers.get("accept", "").lower()
    return "image/" in accepted and "application/json" not in accepted


def _picture(cropped: CroppedPhoto, media_type: str) -> Response:
    row = json.dumps(cropped.row, separators=(",", ":"))  # ASCII, and no line feed
    if len(row) > _MOST_HEADER:
        row = json.dumps({name: cell[:100] for name, cell in cropped.row.items()}, separators=(",", ":"))
    headers = {"X-Detic-Crop-Row": row[:_MOST_HEADER]}
    if cropped.crop is None:
        return Response(None, 204, headers)
    return Response(cropped.crop, 200, headers, media_type)


def _view(cropped: CroppedPhoto, media_type: str) -> CropView:
    animals = [AnimalView(row, _text(crop)) for row, crop in cropped.animals]
    return CropView(cropped.row, media_type, _text(cropped.crop), animals)


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def no_document(call: Any) -> None:
    """Stand for what `CropEndpoint` does itself."""
    raise AssertionError("a photo is no document")
