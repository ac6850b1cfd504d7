"""The table of the API: each address, what it takes, and what it answers. OpenAPI is made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec
from starlette.responses import Response

from detic_crop.app.service import Service
from detic_crop.config import Setting

Method: TypeAlias = Literal["GET", "POST", "DELETE"]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """A query or body that says nothing."""


class Text:
    """Stands for an answer that is no JSON.

    Attributes:
        media_type: what it is.
    """

    media_type = "text/plain"


class Html(Text):
    """Stands for a page."""

    media_type = "text/html"


class Css(Text):
    """Stands for a style sheet."""

    media_type = "text/css"


class Picture(Text):
    """Stands for a picture."""

    media_type = "image/*"


class NoContent(Text):
    """Stands for an answer without a body."""

    media_type = ""


class ErrorLine(msgspec.Struct):
    """Why not.

    Attributes:
        code: the cause in snake_case; it stays when the wording changes.
        message: one line: expected, got, what to do next.
    """

    code: str
    message: str


class Refusal(msgspec.Struct):
    """The answer to what cannot be done as asked."""

    error: ErrorLine


@dataclass(frozen=True)
class Call:
    """A request, as an operation gets it.

    Attributes:
        service: what the app has.
        query: an instance of the operation's `query`.
        body: an instance of its `body`.
        number: the number in the address, if it has one.
    """

    service: Service
    query: Any
    body: Any
    number: int = 0


@dataclass(frozen=True)
class Operation:
    """One address of the API.

    Attributes:
        method: of HTTP.
        path: below ``/api/v1``; ``{number}`` is a whole number.
        name: name in OpenAPI.
        summary: what it is for, in a line.
        act: function that answers, with an instance of `answer` or a response.
        query, body: what it takes.
        answer: what it answers with.
        status: status of that answer.
        refusals: other statuses → when.
        group: heading in the documentation.
        takes: what the body is: a JSON ``document``, or a ``photo``.
        settings: what else may stand in the query, with `takes` a photo.
        also: statuses of further answers that are no refusals → type of the answer, and when.
    """

    method: Method
    path: str
    name: str
    summary: str
    act: Callable[[Call], Any]
    answer: Any
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    status: int = 200
    refusals: Mapping[int, str] = field(default_factory=dict)
    group: str = ""
    takes: Literal["document", "photo"] = "document"
    settings: Mapping[str, Setting] = field(default_factory=dict)
    also: Mapping[int, tuple[Any, str]] = field(default_factory=dict)


Answer: TypeAlias = msgspec.Struct | Response
