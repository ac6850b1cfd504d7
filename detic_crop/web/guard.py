"""Who may talk to the page: the browser of the person that started it, and nobody else.

A page on this machine can be reached by every user of it and, through a browser, by every web site that its
person visits. So: a secret in the first address, moved to a cookie that scripts and other sites never get;
the Host header must name this machine (DNS rebinding); what comes from another site is refused; and what is
sent may load nothing from elsewhere.

Browsers send a cookie to every port of a machine, and so to the servers of its other users. This one holds
below a folder with a random name only, in which all addresses of the page are: nobody else knows what to ask
the browser for. The name alone opens nothing, should it be seen.

Programs have no cookies: where an application serves an API, they show the token in a header, which no
browser adds by itself, and ask below ``/api/`` without the folder.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from h11 import LocalProtocolError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from detic_crop.errors import one_line
from detic_crop.web.answers import error_answer

API = "/api/"
"""Where the addresses of an API begin."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z._-]{1,255}))(?::\d{1,5})?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Programs:
    """How programs are let in, beside browsers.

    Attributes:
        token: what they show, and what the printed address holds; None: a random one.
        bodies: types of what they and the page may send, beside JSON: ``image/*``.
    """

    token: str | None = None
    bodies: tuple[str, ...] = ()


class Guard:
    """ASGI middleware that refuses everybody else, and adds security headers to every answer.

    Args:
        app: application that is guarded.
        host: address that the server is bound to.
        port: port of the server; part of the cookie's name.
        command: command that serves it, ``review``: what refusals name.
        programs: how programs are let in below `API`; None: none is.

    Attributes:
        secret: value of the cookie.
        token: part of the printed address, and what programs show.
        room: folder that all addresses of the page are in, with a / at both ends.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        command: str,
        programs: Programs | None = None,
    ) -> None:
        self.app = app
        token = programs.token if programs else None
        self.secret = _derived(token, "cookie") if token else secrets.token_urlsafe(32)
        self.token = token or self.secret
        self.room = f"/{_derived(token, 'room')[:22] if token else secrets.token_urlsafe(16)}/"
        self._programs = programs is not None
        self._bodies = {"application/json", *(programs.bodies if programs else ())}
        self._once: set[str] = set()
        self._command = f"detic-crop {command}"
        self._cookie = f"detic-crop-{command}-{port}"
        self._local = is_local(host)
        self._names = {host.casefold(), *_LOCAL_NAMES}
        if not self._local:
            self._names.add(socket.gethostname().casefold())

    def token_for_one_use(self) -> str:
        """Return a token for the browser's command line, which other users of the machine may see."""
        token = secrets.token_urlsafe(32)
        self._once.add(token)
        return token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, refuse it or pass it on."""
        if scope["type"] != "http":
            return

        has_begun = False

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._answered(scope, receive, send_with_headers)
        except (ClientDisconnect, LocalProtocolError):  # the other side has gone, or broken the rules
            return
        except Exception as error:  # a mistake of ours; the page and its other answers go on
            why = one_line(error, 200)
            path = self._inside(scope["path"])[:100]
            _log.error("the page could not answer %s %s: %s", scope["method"], path, why)
            if not has_begun:
                why = "this could not be answered; the terminal says why"
                answer = self._refuse(scope["path"], 500, why)
                with contextlib.suppress(LocalProtocolError):
                    await answer(scope, receive, send_with_headers)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope)
        if answer is not None:
            await answer(scope, receive, send)
        else:
            await self.app({**scope, "path": self._inside(scope["path"])}, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not passed on, else None."""
        headers, path = Headers(scope=scope), scope["path"]
        if not self._is_our_name(_host_name(headers.get("host", ""))):
            return self._refuse(
                path, 421, "this page does not go by that name; open the address that was printed"
            )
        if path == "/" and scope["method"] == "GET":
            token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if token and self._is_token(token):
                response = RedirectResponse(self.room, status_code=303)
                response.set_cookie(
                    self._cookie, self.secret, path=self.room, httponly=True, samesite="strict"
                )
                return response
        if self._is_for_programs(path):
            return self._answer_to_program(path, headers)
        inside = self._inside(path)
        if not inside or not self._has_secret(headers):
            why = f"open the address that `{self._command}` printed when it was started"
            return self._refuse(path, 403, why)
        is_page = inside == "/" and scope["method"] in ("GET", "HEAD")
        if not is_page and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return self._refuse(path, 403, "another site asked for this")
        if scope["method"] not in ("GET", "HEAD"):
            if not _is_of_this_site(headers):
                return self._refuse(path, 403, "another site asked for this")
            # A form of another site can send three types only, and these are not among them.
            kind = headers.get("content-type", "").split(";")[0].strip().lower()
            if not self._bodies & {kind, f"{kind.partition('/')[0]}/*"}:
                return self._refuse(path, 415, f"expected {' or '.join(sorted(self._bodies))}")
        return None

    def _answer_to_program(self, path: str, headers: Headers) -> Response | None:
        """Return the answer to a program that is not let in, else None."""
        is_ours = headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
        if not is_ours or not _is_of_this_site(headers):
            return self._refuse(path, 403, "another site asked for this")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _equal(token.strip(), self.token):
            why = f"expected the token that `{self._command}` printed, as Authorization: Bearer TOKEN"
            answer = self._refuse(path, 401, why)
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return None

    def _refuse(self, path: str, status: int, why: str) -> Response:
        # What else the connection brings, such as the body of the request, is not read.
        if self._programs and (path.startswith(API) or self._inside(path).startswith(API)):
            return error_answer(status, "refused", why, {"Connection": "close"})
        return PlainTextResponse(f"{self._command}: {why}\n", status, {"Connection": "close"})

    def _is_for_programs(self, path: str) -> bool:
        return self._programs and path.startswith(API)

    def _inside(self, path: str) -> str:
        """Return a path relative to the page's folder, with a leading /; empty if it lies elsewhere."""
        if self._is_for_programs(path):
            return path
        room = path[: len(self.room)]
        return path[len(self.room) - 1 :] if _equal(room, self.room) else ""

    def _has_secret(self, headers: Headers) -> bool:
        # Another port may have set a cookie of the same name: one that is right is enough.
        pairs = [pair.strip() for line in headers.getlist("cookie") for pair in line.split(";")]
        prefix = f"{self._cookie}="
        return any(_equal(p.removeprefix(prefix), self.secret) for p in pairs if p.startswith(prefix))

    def _is_token(self, token: str) -> bool:
        if token in self._once:
            self._once.discard(token)
            return True
        return _equal(token, self.token)

    def _is_our_name(self, name: str) -> bool:
        # A number cannot be rebound by DNS; only somebody who bound the page to the network uses other ones.
        return name in self._names or (not self._local and _is_address(name))


def is_local(host: str) -> bool:
    """Return True if only this machine can reach a server bound to `host`."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _host_name(host: str) -> str:
    """Return the name or address in a Host header (RFC 9110, 7.2), folded; empty if it is no such header."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of_this_site(headers: Headers) -> bool:
    """Return whether a request comes from a page of this server, or from no page at all."""
    origin = headers.get("origin")
    return origin is None or _netloc(origin) == headers["host"]


def _derived(token: str, purpose: str) -> str:
    """Return a secret that follows from a token, and tells nothing of it."""
    return hmac.new(token.encode(), f"detic-crop {purpose}".encode(), "sha256").hexdigest()


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode())
