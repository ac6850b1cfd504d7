"""How an operation of the API is asked and answered over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from detic_crop.app.operations import Call, Operation
from detic_crop.app.refusals import RefusedError
from detic_crop.app.service import Service
from detic_crop.errors import DeticCropError, one_line
from detic_crop.web.answers import BodyError, body_of, error_answer, json_answer

MAX_DOCUMENT = 262_144
"""Bytes of a document that asks for something."""


class Endpoint:
    """Answers the requests of one operation, whose body, if it has one, is a JSON document.

    Args:
        operation: what is done.
        service: what it works on.
    """

    def __init__(self, operation: Operation, service: Service) -> None:
        self.operation = operation
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self.answered(request)
        except BodyError as error:
            said = bytes(error.answer.body).decode()
            return error_answer(error.answer.status_code, "bad_body", said, {"Connection": "close"})
        except RefusedError as error:
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
            return error_answer(error.status, error.code, error.message, headers)
        except DeticCropError as error:
            return error_answer(400, error.code, one_line(str(error)))

    async def answered(self, request: Request) -> Response:
        """Return the answer.

        Raises:
            BodyError, RefusedError, DeticCropError: why there is none.
        """
        operation = self.operation
        query = _converted(operation.query, query_of_request(request), "query", strict=False)
        body = None
        if operation.body is not None:
            data = await body_of(request, MAX_DOCUMENT, "a document")
            body = _converted(operation.body, _document(data), "body")
        call = Call(self.service, query, body, _number(request))
        answer = await run_in_threadpool(operation.act, call)
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


def _converted(
    kind: type[msgspec.Struct], values: Mapping[str, Any], what: str, *, strict: bool = True
) -> Any:
    known = [field.name for field in msgspec.structs.fields(kind)]
    if isinstance(values, Mapping) and (odd := [name for name in values if name not in known]):
        hint = f"known are {', '.join(known)}" if known else "nothing is expected here"
        raise RefusedError(400, f"bad_{what}", f"unexpected {odd[0]!r:.100}; {hint}")
    try:
        return msgspec.convert(values, kind, strict=strict)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:  # the last: it names half a sign
        raise RefusedError(400, f"bad_{what}", one_line(error, 300)) from None


def _number(request: Request) -> int:
    text = request.path_params.get("number", "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise RefusedError(404, "no_such_job", "expected the number of a job")
    return int(text)
