"""What the addresses of the app answer: the page, and the API below ``/api/v1``."""

from __future__ import annotations

from collections.abc import Mapping

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
from detic_crop.web.answers import error_answer
from detic_crop.web.static_files import StaticFiles
from detic_crop.wording import utf8

BODIES = ("image/*",)
"""Types that are taken, beside JSON."""
_ENDPOINTS: Mapping[str, type[Endpoint]] = {"document": Endpoint, "photo": CropEndpoint}


def make_site(service: Service) -> Starlette:
    """Return the ASGI application; a guard goes around it."""
    static = StaticFiles("detic_crop.app", "app.html", {COLOURS: utf8(style(COLOURS))})
    routes = [
        Route("/", static.index, methods=["GET"]),
        Route("/static/{name}", static.file, methods=["GET"]),
        *(Route(BASE + path, each, methods=each.methods) for path, each in _addresses(service).items()),
        Mount(PLACE.rstrip("/"), _Rest(service)),
    ]
    site = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _at_fault})
    # An address with a slash too many is told from ours, and not sent elsewhere: out of the page's folder.
    site.router.redirect_slashes = False
    return site


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
