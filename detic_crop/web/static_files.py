"""The files of a page that are the same for everybody: its HTML, scripts and style sheets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from detic_crop.web.answers import not_found

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class StaticFiles:
    """Answers with the files in the folder `static` of a package, which it reads once.

    Args:
        package: name of the package.
        index: name of the page itself, which has an address of its own.
        shared: further files, by name, that pages share.
    """

    def __init__(self, package: str, index: str, shared: Mapping[str, bytes]) -> None:
        folder = resources.files(package).joinpath("static")
        self._files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        self._files |= shared
        self._index = index

    async def index(self, request: Request) -> Response:
        """Answer with the page."""
        return Response(self._files[self._index], media_type="text/html; charset=utf-8")

    async def file(self, request: Request) -> Response:
        """Answer with the file `name`; the page itself is none of them."""
        name = request.path_params["name"]
        media_type = _TYPES.get(os.path.splitext(name)[1])
        if media_type is None or name not in self._files:
            return not_found()
        return Response(self._files[name], media_type=media_type)
