"""Many photos at once on the review page: their crops side by side, and one word on all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from detic_crop.errors import OutputError, PhotoError
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import FLAGS
from detic_crop.review_page.cutouts import path_number
from detic_crop.review_page.describe import Describer, last_word
from detic_crop.review_page.rows import Filter, Mask, ReviewRows, photo_id
from detic_crop.review_page.said import said_of, stamp_of
from detic_crop.review_page.writer import Asked, VerdictWriter
from detic_crop.web.answers import BodyError, body_of, json_answer, not_found, refuse

CARDS = 30
"""Photos on one page."""
MOST_CARDS = 100
"""Photos that are shown or judged in one request."""
PICTURE_CACHE = "private, max-age=600"
"""How long a browser keeps a picture; the page asks under another address for another version of it."""

_MAX_BODY = 20_000  # of verdicts on so many photos
_MOST_CROPS = 9  # of one photo that a card shows
_AT_ONCE = 8  # photos that are looked for at the same time: those of a store take a while
_WHOLE = {"not_found": "whole photo: no animal was found", "not_listed": "whole photo: not in the boxes file"}
_GONE = "This photo is no longer in the run, or its address was mistyped."


class Grid:
    """Answer the addresses of the grid.

    Args:
        rows: the photos in the order of review.
        describer: reads what is shown of a photo.
        writer: where the verdicts go.
    """

    def __init__(self, rows: ReviewRows, describer: Describer, writer: VerdictWriter) -> None:
        self._rows = rows
        self._describer = describer
        self._writer = writer

    def routes(self) -> list[Route]:
        """Return what is answered at which address."""
        return [
            Route("/thumb/{id}/{number}", self._thumb, methods=["GET"]),
            Route("/api/grid", self._grid, methods=["GET"]),
            Route("/api/verdicts", self._verdicts, methods=["POST"]),
        ]

    # ------------------------------------------------------------ what is shown

    def _thumb(self, request: Request) -> Response:
        rank = self._rows.rank_of.get(request.path_params["id"])
        if rank is None:
            return not_found()
        try:
            number = path_number(request.path_params["number"])
            jpeg = self._describer.crop_jpeg(self._rows.photos[rank], number)
        except (PhotoError, OSError, MemoryError, ValueError):
            return not_found()
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": PICTURE_CACHE})

    def _grid(self, request: Request) -> Response:
        """Answer with a page of cards of a filter, or with the cards of the photos that are named."""
        self._writer.refresh()
        query = request.query_params
        mask = self._rows.mask(Filter.of_query(query))
        try:
            ranks = self._named(query["ids"]) if "ids" in query else self._page(mask, query)
        except KeyError:
            return refuse(404, _GONE)
        except ValueError as error:
            return refuse(400, str(error))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            cards = list(pool.map(self._card, ranks))
        before = int(mask[: ranks[0]].sum()) if ranks else 0
        after = int(mask[ranks[-1] + 1 :].sum()) if ranks else 0
        return json_answer(
            {"cards": cards, "before": before, "after": after, **self._rows.both_progresses(mask)}
        )

    def _named(self, ids: str) -> list[int]:
        """Return the ranks of photos that are named one by one."""
        named = ids.split(",", MOST_CARDS)
        if len(named) > MOST_CARDS:
            raise ValueError(f"expected at most {MOST_CARDS} photos")
        return [self._rows.rank_of[id] for id in named]

    def _page(self, mask: Mask, query: Mapping[str, str]) -> list[int]:
        """Return the ranks of a page: `from` a photo on, `after` it, `before` it, or that which it is `at`.

        Without any of them it is the page of the first photo of which nothing was said.
        """
        size = _size_of(query.get("size", str(CARDS)))
        ranks = np.flatnonzero(mask)
        name = next((name for name in ("from", "after", "before", "at") if query.get(name)), "")
        rank = self._rows.rank_of[query[name]] if name else self._rows.first(mask) or 0
        place = int(np.searchsorted(ranks, rank, side="right" if name == "after" else "left"))
        start = {"from": place, "after": place, "before": max(0, place - size)}.get(
            name, place - place % size
        )
        end = place if name == "before" else start + size
        return [int(each) for each in ranks[start:end]]

    def _card(self, rank: int) -> dict[str, Any]:
        photo = self._rows.photos[rank]
        record = photo.record
        last = self._rows.last(rank)
        crops = self._describer.crop_numbers(photo)
        why = self._why_not(photo)
        return {
            "id": photo_id(record.image),
            "image": record.image,
            "crops": crops[:_MOST_CROPS],
            "animals": len(crops),
            "version": self._describer.crop_version(photo),
            "what": _WHOLE.get(record.reason, "whole photo") if record.status == "resized" else "",
            "why": why,
            "flags": [[flag.replace("_", " "), FLAGS[flag]] for flag in photo.doubts.flags],
            "score": record.score,
            "class": record.class_name,
            "labels": self._describer.label_cells(photo),
            "individual": self._rows.individuals.of(rank),
            **last_word(last),
            "seen": stamp_of(last),
        }

    def _why_not(self, photo: AuditPhoto) -> str:
        """Return why a photo cannot be accepted among others; empty if it can be."""
        count = len(self._describer.crop_numbers(photo))
        if count > _MOST_CROPS:
            return f"{count} animals: open it to see them all"
        return self._describer.judgeable_by_crop(photo).problem

    # ------------------------------------------------------------ what is said

    async def _verdicts(self, request: Request) -> Response:
        try:
            body = await body_of(request, _MAX_BODY, "verdicts")
        except BodyError as error:
            return error.answer
        return await run_in_threadpool(self._give, request, body)

    def _give(self, request: Request, body: bytes) -> Response:
        """Write verdicts to the disk in one piece, then say which are there and why others are not."""
        try:
            asked = self._asked(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            return refuse(400, f"not verdicts: {error}")
        refused = {each.rank: self._refusal(each) for each in asked}
        try:
            late = self._writer.write_unless_judged([each for each in asked if not refused[each.rank]])
        except OutputError as error:
            return refuse(507, error.message)
        refused |= {rank: self._said_meanwhile(rank) for rank in late}
        written = [rank for rank, why in refused.items() if not why]
        return json_answer(
            {
                "written": [[self._id(rank), stamp_of(self._rows.last(rank))] for rank in written],
                "refused": [[self._id(rank), why] for rank, why in refused.items() if why],
                "since": self._rows.changes(0)[0],
                **self._rows.both_progresses(self._rows.mask(Filter.of_query(request.query_params))),
            }
        )

    def _asked(self, value: Any) -> list[Asked]:
        items = value["verdicts"]
        if not isinstance(items, list) or not 1 <= len(items) <= MOST_CARDS:
            raise ValueError(f"expected 1 to {MOST_CARDS} verdicts")
        asked = [self._asked_of(item) for item in items]
        if len({each.rank for each in asked}) < len(asked):
            raise ValueError("expected each photo once")
        return asked

    def _asked_of(self, item: Mapping[str, Any]) -> Asked:
        rank, verdict, seen = self._rows.rank_of[item["id"]], item["verdict"], item["seen"]
        if verdict not in ("accepted", "undone") or not isinstance(seen, str):
            raise ValueError("expected accepted or undone, and the `seen` of the photo's card")
        return Asked(rank, said_of({"verdict": verdict}, (1, 1)), seen)

    def _refusal(self, asked: Asked) -> str:
        return "" if asked.said.verdict == "undone" else self._why_not(self._rows.photos[asked.rank])

    def _said_meanwhile(self, rank: int) -> str:
        last = last_word(self._rows.last(rank))["verdict"]
        if last is None:
            return "its verdict was taken back meanwhile"
        return f"{last['verdict']} meanwhile" + (f" by {last['reviewer']}" if last["reviewer"] else "")

    def _id(self, rank: int) -> str:
        return photo_id(self._rows.photos[rank].record.image)


class NoGrid(Grid):
    """No grid: whoever judges blind looks at one photo at a time."""

    def routes(self) -> list[Route]:
        """Return that nothing is answered."""
        return []


def _size_of(text: str) -> int:
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MOST_CARDS:
        raise ValueError(f"expected a size of 1 to {MOST_CARDS}")
    return int(text)
