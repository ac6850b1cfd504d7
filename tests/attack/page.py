"""The review page asked without a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.applications import Starlette

from detic_crop.folder.folder import OutputFolder
from detic_crop.review_page.page import open_page


def look_at_all(folder: OutputFolder) -> None:
    """Open the page of a folder, and look at every photo of it.

    Raises:
        DeticCropError: the page refuses to open.
        AssertionError: an address answers neither with what it should nor that it is not there.
    """
    app = open_page(folder, None, "somebody").app()
    session = json.loads(_get(app, "/api/session"))
    row = json.loads(_get(app, "/api/row"))
    for _ in range(session["total"]):
        shown = row["row"]
        if shown is None:
            return
        for path in (f"/photo/{shown['id']}", f"/crop/{shown['id']}"):
            _get(app, path)
        if row["next"] is None:
            return
        row = json.loads(_get(app, "/api/row", f"at={row['next']}"))


def _get(app: Starlette, path: str, query: str = "") -> bytes:
    status, body = asyncio.run(_answer(app, path, query))
    assert status in (200, 404), (path, status, body)
    return body


async def _answer(app: Starlette, path: str, query: str) -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
    }
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    await app(scope, receive, send)
    return status, body
