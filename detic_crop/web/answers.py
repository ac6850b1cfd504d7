"""Answers that every page gives, and request bodies of bounded size and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from detic_crop.wording import utf8

_LONGEST_BODY = 20  # seconds that it may take to come


class BodyError(Exception):
    """A body that is not read to its end.

    Attributes:
        answer: what the client is told.
    """

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


async def body_of(request: Request, most: int, what: str, seconds: float | None = None) -> bytes:
    """Return the body of a request.

    Args:
        request: the request.
        most: bytes that it may have.
        what: what it should be, with its article: ``a verdict``.
        seconds: time that it may take to come; None: as much as a small one needs.

    Raises:
        BodyError: it is larger, or comes too slowly.
    """
    body = bytearray()
    longest = _LONGEST_BODY if seconds is None else seconds
    try:
        async with asyncio.timeout(longest):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise BodyError(refuse(413, f"expected at most {most} bytes", {"Connection": "close"}))
    except TimeoutError:
        why = f"expected {what} within {longest:g} s"
        raise BodyError(refuse(408, why, {"Connection": "close"})) from None
    return bytes(body)


def json_answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON."""
    # ASCII: a name may hold undecodable bytes.
    text = json.dumps(value, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def error_answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer of an API that says in a line why not."""
    answer = json_answer({"error": {"code": code, "message": message}}, status)
    answer.headers.update(headers or {})
    return answer


def refuse(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that says in a line why not."""
    return PlainTextResponse(utf8(why), status, headers)


def not_found() -> Response:
    """Return that there is nothing at this address."""
    return refuse(404, "not found")
