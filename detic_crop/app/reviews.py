"""Review pages inside the app: one for each folder and reviewer, opened when somebody looks at it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from detic_crop.app.asked import order_of
from detic_crop.app.folders import output_folder
from detic_crop.app.job_views import job_view
from detic_crop.app.jobs import Jobs
from detic_crop.app.refusals import RefusedError
from detic_crop.app.roots import Roots
from detic_crop.errors import DeticCropError, one_line
from detic_crop.folder.folder import open_on_disk
from detic_crop.review_page.applying import ApplyState, CannotApplyError, Phase
from detic_crop.review_page.live import LivePage
from detic_crop.review_page.page import open_page
from detic_crop.web.answers import refuse
from detic_crop.wording import utf8

PLACE = "/review/"
_MOST_OPEN = 4
_MOST_KNOWN = 200
_LOOK = 0.2  # seconds between looks at a job that somebody waits for


@dataclass(frozen=True)
class Chosen:
    """A folder that somebody reviews."""

    folder: str
    reviewer: str

    @property
    def id(self) -> str:
        """Its part of the address."""
        return hashlib.blake2s(utf8(f"{self.folder}\0{self.reviewer}"), digest_size=12).hexdigest()


class Reviews:
    """The review pages, of which the latest few are open.

    Args:
        roots: where folders may be.
        jobs: the queue, which applies the verdicts.
    """

    def __init__(self, roots: Roots, jobs: Jobs) -> None:
        self._roots = roots
        self._jobs = jobs
        self._known: OrderedDict[str, Chosen] = OrderedDict()
        self._open: OrderedDict[str, tuple[LivePage, ASGIApp]] = OrderedDict()
        self._changing = threading.Lock()
        self._opening = threading.Lock()

    def begin(self, folder: str, reviewer: str) -> str:
        """Open the page of a folder, and return its address, relative to the app's.

        Raises:
            UsageError: there is nothing to review.
            RefusedError: the folder is not in the roots, or no output folder.
        """
        chosen = Chosen(output_folder(self._roots, folder), reviewer)
        with self._changing:
            self._known[chosen.id] = chosen
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        self._page(chosen.id)
        return f"{PLACE.strip('/')}/{chosen.id}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to one of the pages."""
        id, slash, rest = scope["path"].removeprefix(PLACE).partition("/")
        answer: ASGIApp
        try:
            if not slash:
                raise RefusedError(404, "not_found", "not found")
            answer = await run_in_threadpool(self._page, id)
        except RefusedError as error:
            answer = refuse(error.status, error.message)
        except DeticCropError as error:
            answer = refuse(409, one_line(error))
        await answer({**scope, "path": f"/{rest}", "root_path": ""}, receive, send)

    def waiting(self, folder: str) -> int | None:
        """Return the verdicts to be applied, as an open page of the folder knows; None: none is open."""
        with self._changing:
            for id, (page, _) in self._open.items():
                if self._known[id].folder == folder:
                    return page.page.waiting
        return None

    def _page(self, id: str) -> ASGIApp:
        """Return the page of an id, opened now if need be.

        Raises:
            RefusedError: there is no such page.
            UsageError: it cannot be opened.
        """
        with self._opening:
            with self._changing:
                if id in self._open:
                    self._open.move_to_end(id)
                    return self._open[id][1]
                chosen = self._known.get(id)
            if chosen is None:
                raise RefusedError(
                    404, "not_found", "this page is no longer open; open it from the app again"
                )
            live = self._opened(chosen)
            with self._changing:
                self._open[id] = (live, live.app())
                while len(self._open) > _MOST_OPEN:
                    self._open.popitem(last=False)
                return self._open[id][1]

    def _opened(self, chosen: Chosen) -> LivePage:
        with open_on_disk(chosen.folder, "review") as folder:
            applying = ApplyAsJob(self._roots, self._jobs, chosen.folder)
            return LivePage(lambda: open_page(folder, None, chosen.reviewer), applying)


class ApplyAsJob:
    """Applies the verdicts of a folder as a job of the queue; see `Applying`.

    Args:
        roots: where folders may be.
        jobs: the queue.
        folder: the output folder.
    """

    may = True
    instead = ""

    def __init__(self, roots: Roots, jobs: Jobs, folder: str) -> None:
        self._roots, self._jobs, self._folder = roots, jobs, folder
        self._changing = threading.Lock()
        self._number = 0
        self._is_over = True

    def start(self, then: Callable[[], object]) -> None:
        """Put `apply` into the queue; see `Applying`."""
        with self._changing:
            if not self._is_over:
                raise CannotApplyError("the verdicts are being applied already")
            try:
                order = order_of(self._roots, "apply", self._folder, None, {})
                self._number = self._jobs.add_order(order).id
            except (RefusedError, DeticCropError) as error:
                said = error.message if isinstance(error, RefusedError) else one_line(error)
                raise CannotApplyError(said) from error
            self._is_over = False
        threading.Thread(target=self._follow, args=(then,), name="detic-crop-apply", daemon=True).start()

    def _follow(self, then: Callable[[], object]) -> None:
        try:
            while self._jobs.is_open and self._jobs.get(self._number).order != "ended":
                time.sleep(_LOOK)
            then()
        except RefusedError:  # somebody took it off the list
            return
        finally:
            self._is_over = True

    def state(self) -> ApplyState:
        """Return how far the job is; see `Applying`."""
        if not self._number:
            return ApplyState()
        is_over = self._is_over  # asked first: who hears of the end sees what it made
        try:
            view = job_view(self._jobs, self._jobs.get(self._number))
            lines = tuple(self._jobs.lines(self._number, 20)) if is_over else ()
        except RefusedError:
            return ApplyState()
        progress = view.progress
        done, total = (progress.done, progress.total) if progress else (0, 0)
        if is_over:
            if view.state == "done":
                return ApplyState("done", done, total, lines=lines)
            return ApplyState("failed", done, total, error=view.message)
        is_cropping = progress is not None and progress.phase == "cropping"
        phase: Phase = "cropping" if is_cropping else "tables" if total else "starting"
        return ApplyState(phase, done, total, progress.seconds_left if progress else None)

    def end(self) -> str:
        """Do nothing: the queue ends by itself; see `Applying`."""
        return ""
