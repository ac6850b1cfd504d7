"""What the addresses of the app answer: the page, and the API below ``/api/v1``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from detic_crop.app.operations import Call, Operation
from detic_crop.app.refusals import RefusedError
from detic_crop.app.reviews import PLACE
from detic_crop.app.routes import OPERATIONS
from detic_crop.app.service import Service
from detic_crop.errors import DeticCropError, one_line
from detic_crop.report.html.rendering import COLOURS, style
from detic_crop.web.answers import BodyError, body_of, error_answer, json_answer, not_found
from detic_crop.wording import utf8

BASE = "/api/v1"
BODIES = ("image/*",)
"""Types that are taken, beside JSON."""
_MAX_BODY = 262_144  # of a document that asks for something
_MOST_NUMBER = 1 << 53
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
        *(Route(BASE + each.path, _Endpoint(each, service), methods=[each.method]) for each in OPERATIONS),
        Mount(PLACE.rstrip("/"), _Rest(service)),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _at_fault})


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


class _Endpoint:
    """Answers the requests of one operation."""

    def __init__(self, operation: Operation, service: Service) -> None:
        self._operation = operation
        self._service = service
        self.__name__ = operation.name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        answer = await self._answered(request)
        await answer(scope, receive, send)

    async def _answered(self, request: Request) -> Response:
        operation = self._operation
        try:
            query = _asked(operation.query, query_of_request(request), "query", strict=False)
            body = None
            if operation.body is not None:
                data = await body_of(request, _MAX_BODY, "a document")
                body = _asked(operation.body, _document(data), "body")
            call = Call(self._service, query, body, _number(request))
            answer = await run_in_threadpool(operation.act, call)
        except BodyError as error:
            return error_answer(error.answer.status_code, "bad_body", bytes(error.answer.body).decode())
        except RefusedError as error:
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
            return error_answer(error.status, error.code, error.message, headers)
        except DeticCropError as error:
            return error_answer(400, error.code, one_line(str(error)))
        if isinstance(answer, Response):
            return answer
        return json_answer(msgspec.to_builtins(answer), operation.status)


def query_of_request(request: Request) -> dict[str, str]:
    """Return what the query of a request says; bytes that are no text stay as they are.

    Raises:
        RefusedError: something is said twice.
    """
    text = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=200)
    except ValueError:
        raise RefusedError(400, "bad_query", "expected at most 200 settings in the address") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RefusedError(400, "bad_query", "expected each name once in the address, got one twice")
    return found


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise RefusedError(400, "bad_body", "expected a JSON document, got something else") from None


def _asked(kind: type[msgspec.Struct], values: Mapping[str, Any], what: str, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(values, kind, strict=strict)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RefusedError(400, f"bad_{what}", one_line(error, 300)) from None


def _number(request: Request) -> int:
    text = request.path_params.get("number", "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise RefusedError(404, "no_such_job", "expected the number of a job")
    return int(text)


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
