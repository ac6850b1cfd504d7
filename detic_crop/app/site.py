"""What the addresses of the app answer: the page, and the API below ``/api/v1``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from detic_crop.app.crops import CropEndpoint
from detic_crop.app.endpoint import Endpoint
from detic_crop.app.openapi import BASE
from detic_crop.app.reviews import PLACE
from detic_crop.app.routes import OPERATIONS
from detic_crop.app.service import Service
from detic_crop.report.html.rendering import COLOURS, style
from detic_crop.web.answers import error_answer, not_found
from detic_crop.wording import utf8

BODIES = ("image/*",)
"""Types that are taken, beside JSON."""
_ENDPOINTS: Mapping[str, type[Endpoint]] = {"document": Endpoint, "photo": CropEndpoint}
_STATIC_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def make_site(service: Service) -> Starlette:
    """Return the ASGI application; a guard goes around it."""
    static = _Static()
    routes = [
        Route("/", static.index, methods=["GET"]),
        Route("/static/{name}", static.file, methods=["GET"]),
        *(Route(BASE + path, each, methods=each.methods) for path, each in _addresses(service).items()),
        Mount(PLACE.rstrip("/"), _Rest(service)),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _at_fault})


def _addresses(service: Service) -> dict[str, _Address]:
    """Return the addresses of the API, by path."""
    found: dict[str, _Address] = {}
    for each in OPERATIONS:
        address = found.setdefault(each.path, _Address())
        address.endpoints[each.method] = _ENDPOINTS[each.takes](each, service)
    return found


class _Address:
    """Hands a request to the operation of its method."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    @property
    def methods(self) -> list[str]:
        """Those that it answers."""
        return list(self.endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self.endpoints[method](scope, receive, send)


class _Rest:
    """Hands what lies below a folder of addresses to the review pages, with its whole path."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._service.reviews(scope, receive, send)


class _Static:
    """The files of the page."""

    def __init__(self) -> None:
        folder = resources.files("detic_crop.app").joinpath("static")
        self._files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        self._files[COLOURS] = utf8(style(COLOURS))

    async def index(self, request: Request) -> Response:
        return Response(self._files["app.html"], media_type="text/html; charset=utf-8")

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        media_type = _STATIC_TYPES.get(os.path.splitext(name)[1])
        if media_type is None or name not in self._files:
            return not_found()
        return Response(self._files[name], media_type=media_type)


async def _refused(request: Request, error: Exception) -> Response:
    """Return the answer to an address or a method that there is not."""
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing at this address", 405: "this address takes another method"}
    codes = {404: "not_found", 405: "wrong_method"}
    status = error.status_code
    headers = dict(error.headers or {})
    return error_answer(status, codes.get(status, "refused"), said.get(status, str(error.detail)), headers)


async def _at_fault(request: Request, error: Exception) -> Response:
    """Return the answer where we made a mistake; the guard says which, in the terminal."""
    return error_answer(500, "our_mistake", "this could not be answered; the terminal says why")
