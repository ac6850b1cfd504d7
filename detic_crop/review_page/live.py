"""The review page over time: it is opened anew when the folder has changed, while requests go on.

A `ReviewPage` is a folder as it was at one moment. This holds the latest one; each request is answered by one
of them from beginning to end. It also has what outlives them: applying the verdicts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from detic_crop.errors import DeticCropError, one_line
from detic_crop.review_page.applying import Applying, CannotApplyError
from detic_crop.review_page.page import ReviewPage
from detic_crop.review_page.rows import photo_id
from detic_crop.web.answers import json_answer, refuse


class LivePage:
    """Answer the addresses of the page, and those that change what it shows.

    Args:
        open_page: opens the page of the folder as it is now.
        applying: makes the crops follow the verdicts.

    Raises:
        UsageError: what `open_page` refuses.
    """

    def __init__(self, open_page: Callable[[], ReviewPage], applying: Applying) -> None:
        self._open_page = open_page
        self._applying = applying
        self._opening = threading.Lock()
        self._take(open_page())

    @property
    def page(self) -> ReviewPage:
        """The page as it was opened last."""
        return self._page

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/api/apply", self._state, methods=["GET"]),
                Route("/api/apply", self._apply, methods=["POST"]),
                Route("/api/reopen", self._reopen, methods=["POST"]),
                Mount("/", self._latest),
            ]
        )

    def reopen(self) -> None:
        """Show the folder as it is now; verdicts that are given meanwhile count.

        Raises:
            UsageError: it cannot be opened any more; the earlier page stays.
        """
        with self._opening:
            page = self._open_page()
            page.follow(self._page)
            self._take(page)

    def end(self) -> str:
        """End what is at work; see `Applying.end`."""
        return self._applying.end()

    def _take(self, page: ReviewPage) -> None:
        self._page, self._app = page, page.app()

    async def _latest(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    # The bodies are empty objects, which the guard lets pass from this page only; nobody needs to read them.

    def _state(self, request: Request) -> Response:
        applying = self._applying
        about = {"may": applying.may, "instead": applying.instead, "edition": self._page.edition}
        state = applying.state()
        problems = [[image, why, photo_id(image)] for image, why in state.problems]
        return json_answer({**state.as_json(), "problems": problems, **about})

    def _apply(self, request: Request) -> Response:
        try:
            self._applying.start(self._reopen_if_possible)
        except CannotApplyError as error:
            return refuse(409, one_line(error))
        return self._state(request)

    def _reopen_if_possible(self) -> None:
        try:
            self.reopen()
        except DeticCropError:  # the page says that it is behind; its button tells why
            return

    def _reopen(self, request: Request) -> Response:
        try:
            self.reopen()
        except DeticCropError as error:
            return refuse(409, one_line(error))
        return json_answer({"edition": self._page.edition})
