"""The review page: what its addresses answer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from detic_crop.boxes.crop_size import CropSize
from detic_crop.errors import OutputError, PhotoError, UsageError, one_line
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_sample
from detic_crop.folder.there import is_there
from detic_crop.folder.verdicts import VerdictLog
from detic_crop.folder.whereabouts import look_for_photos
from detic_crop.report.html.rendering import COLOURS, style
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import FLAGS
from detic_crop.review_page.cutouts import Tile, path_number
from detic_crop.review_page.describe import TAKEN_BACK, Describer, last_word
from detic_crop.review_page.grid import PICTURE_CACHE, Grid
from detic_crop.review_page.rows import Filter, Mask, ReviewRows, photo_id
from detic_crop.review_page.said import LONGEST_NOTE, said_of
from detic_crop.review_page.writer import Verdicts, VerdictWriter
from detic_crop.web.answers import BodyError, body_of, json_answer, not_found, refuse
from detic_crop.web.static_files import StaticFiles
from detic_crop.wording import utf8

_MAX_BODY = 131_072  # of the most boxes and the longest note


class ReviewPage:
    """Answer the addresses of the page, which shows a folder as it was at one moment.

    Args:
        folder: the output folder.
        audit: what is known of its photos.
        rows: the photos in the order of review.
        describer: reads what the page shows of a photo.
        log: where the verdicts go.
        reviewer: name of the person who judges.
        journal_size: bytes of the journal that the page knows; one of another size has gone on.
        grid: what answers of many photos at once.

    Attributes:
        edition: how often the page was opened anew before.
        whereabouts: where the photos were when the page was opened.
        damage: what a person should know of damaged verdicts, in sentences.
    """

    def __init__(
        self,
        folder: OutputFolder,
        audit: Audit,
        rows: ReviewRows,
        describer: Describer,
        log: Verdicts,
        reviewer: str,
        journal_size: int,
        grid: type[Grid] = Grid,
    ) -> None:
        self.edition = 0
        self.whereabouts = audit.whereabouts
        self.damage = audit.damage
        self._folder = folder
        self._rows = rows
        self._describer = describer
        self._writer = VerdictWriter(rows, log, reviewer)
        self._grid = grid(rows, describer, self._writer)
        self._config = audit.config
        self._reviewer = reviewer
        self._journal_size = journal_size
        shared = {COLOURS: utf8(style(COLOURS))}
        self._static = StaticFiles("detic_crop.review_page", "review.html", shared)

    @property
    def given(self) -> int:
        """Number of verdicts and notes that were given on the page, since it was first opened."""
        return self._writer.desk.given

    @property
    def waiting(self) -> int:
        """Number of photos whose verdict is to be applied yet."""
        return self._rows.waiting

    def follow(self, earlier: ReviewPage) -> None:
        """Take the place of an earlier page of this folder: what is given there now, counts here."""
        self.edition = earlier.edition + 1
        self._writer.desk = earlier._writer.desk
        earlier._describer.forget()  # it may live until the next collection of garbage

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._static.index, methods=["GET"]),
                Route("/static/{name}", self._static.file, methods=["GET"]),
                Route("/photo/{id}", self._photo, methods=["GET"]),
                Route("/photo/{id}/{reduction}/{column}/{row}", self._tile, methods=["GET"]),
                Route("/crop/{id}", self._crop, methods=["GET"]),
                Route("/crop/{id}/{number}", self._crop, methods=["GET"]),
                Route("/api/session", self._session, methods=["GET"]),
                Route("/api/row", self._row, methods=["GET"]),
                Route("/api/counts", self._counts, methods=["GET"]),
                Route("/api/overview", self._overview, methods=["GET"]),
                Route("/api/find", self._find, methods=["GET"]),
                Route("/api/changes", self._changes, methods=["GET"]),
                Route("/api/verdict", self._verdict, methods=["POST"]),
                *self._grid.routes(),
            ]
        )

    # ------------------------------------------------------------ files and pictures

    def _photo(self, request: Request) -> Response:
        photo = self._asked_for(request)
        if photo is None:
            return not_found()
        try:
            jpeg = self._describer.photo_jpeg(photo)
        except (PhotoError, OSError, MemoryError, ValueError):
            return not_found()
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": PICTURE_CACHE})

    def _tile(self, request: Request) -> Response:
        photo = self._asked_for(request)
        if photo is None:
            return not_found()
        given = request.path_params
        try:
            tile = Tile.parse(given["reduction"], given["column"], given["row"])
            jpeg = self._describer.tile_jpeg(photo, tile)
        except (PhotoError, OSError, MemoryError, ValueError):
            return not_found()
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": PICTURE_CACHE})

    def _crop(self, request: Request) -> Response:
        photo = self._asked_for(request)
        if photo is None:
            return not_found()
        try:
            number = request.path_params.get("number")
            data, kind = self._describer.crop_file(photo, None if number is None else path_number(number))
        except (OSError, ValueError):
            return not_found()
        return Response(data, media_type=kind)

    def _asked_for(self, request: Request) -> AuditPhoto | None:
        rank = self._rows.rank_of.get(request.path_params["id"])
        return None if rank is None else self._rows.photos[rank]

    # ------------------------------------------------------------ rows

    def _session(self, request: Request) -> Response:
        since, _ = self._rows.changes(0)
        choices = [
            {"filter": name, "values": [[value, _spoken(name, value), count] for value, count in values]}
            for name, values in self._rows.choices().items()
        ]
        size = CropSize.of(self._config)
        return json_answer(
            {
                "folder": self._folder.root.resolve().name,
                "id": hashlib.blake2s(utf8(str(self._folder.root.resolve())), digest_size=8).hexdigest(),
                "absent": self._moved(),
                "total": len(self._rows),
                "reviewer": self._reviewer,
                "blind": self._describer.is_blind,
                "edition": self.edition,
                "choices": choices,
                "since": since,
                "scale": self._config.scale,
                "conf": self._config.conf,
                "animals": self._config.animals,
                "min_side": self._config.min_side or 0,
                "not_found": self._config.not_found,
                "longest_note": LONGEST_NOTE,
                "aspect": size.aspect,
                "shape": size.shape,
                "keeps_proportions": size.keeps_proportions,
            }
        )

    def _moved(self) -> str:
        """Return that photos are missing or have changed, in sentences; empty if all is well."""
        sentences = self.whereabouts.sentences("of these only the crops can be judged")
        return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)

    def _row(self, request: Request) -> Response:
        """Answer with the photo `at`, or where to begin, and its neighbours in the filter."""
        self._writer.refresh()  # a verdict may have gone to the page before this one
        mask = self._rows.mask(Filter.of_query(request.query_params))
        asked = request.query_params.get("at")
        rank = self._rows.rank_of.get(asked) if asked else self._rows.first(mask)
        if asked and rank is None:
            return refuse(404, "This photo is no longer in the run, or its address was mistyped.")
        place = {"row": None} if rank is None else self._place(mask, rank)
        return json_answer({**self._rows.both_progresses(mask), **place})

    def _place(self, mask: Mask, rank: int) -> dict[str, Any]:
        neighbours = {"next": self._rows.after(mask, rank), "previous": self._rows.before(mask, rank)}
        ids = {name: None if other is None else self._id(other) for name, other in neighbours.items()}
        row = self._describer.describe(self._rows.photos[rank], self._rows.last(rank))
        position = int(mask[: rank + 1].sum()) if mask[rank] else None
        name = self._rows.individuals.of(rank)
        individual = {"name": name, "photos": self._rows.individuals.count(name)} if name else None
        return {"row": row, "individual": individual, "position": position, **ids}

    def _id(self, rank: int) -> str:
        return photo_id(self._rows.photos[rank].record.image)

    def _counts(self, request: Request) -> Response:
        """Answer with what each choice of each filter would show: photos left to review, and all."""
        return json_answer(self._rows.counts(Filter.of_query(request.query_params)))

    def _overview(self, request: Request) -> Response:
        """Answer with what was said of all photos, and what is left of them and of a filter."""
        self._writer.refresh()
        flags = [
            [flag, _spoken("flag", flag).partition(":")[0], left] for flag, left in self._rows.flags_left()
        ]
        here = self._rows.progress(self._rows.mask(Filter.of_query(request.query_params)))
        return json_answer({**self._rows.overview(), "flags": flags, "here": here})

    def _find(self, request: Request) -> Response:
        ranks = self._rows.find(request.query_params.get("q", ""))
        return json_answer(
            [[self._id(rank), self._rows.photos[rank].record.image, self._note_on(rank)] for rank in ranks]
        )

    def _note_on(self, rank: int) -> str:
        last = self._rows.last(rank)
        return "" if last is None else last.note

    # ------------------------------------------------------------ verdicts

    def _changes(self, request: Request) -> Response:
        """Answer with the verdicts of other tabs and processes, and whether the run has gone on meanwhile."""
        self._writer.refresh()
        since = request.query_params.get("since", "0")
        count, ranks = self._rows.changes(int(since) if since.isdecimal() and len(since) < 10 else 0)
        with suppress(OSError):
            stale = self._folder.layout.journal.stat().st_size != self._journal_size
            changed = [self._id(rank) for rank in ranks]
            return json_answer({"since": count, "changed": changed, "stale": stale, "edition": self.edition})
        return json_answer({"since": count, "changed": [], "stale": True, "edition": self.edition})

    async def _verdict(self, request: Request) -> Response:
        try:
            body = await body_of(request, _MAX_BODY, "a verdict")
        except BodyError as error:
            return error.answer
        return await run_in_threadpool(self._give, request, body)

    def _give(self, request: Request, body: bytes) -> Response:
        """Write what was said to the disk, then confirm it."""
        try:
            asked = json.loads(body)
            rank = self._rows.rank_of[asked["id"]]
            photo = self._rows.photos[rank]
            record = photo.record
            said = said_of(asked, (record.width, record.height))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            return refuse(400, f"not a verdict: {error}")
        allowed = self._describer.judgeable(photo)
        if said.verdict and said.verdict not in allowed.may:
            return refuse(409, allowed.problem)
        if said.has_remarks and record.status == "failed":
            return refuse(409, f"{allowed.problem}; a note or viewpoint needs a photo that can be read")
        if said.viewpoint and allowed.may == TAKEN_BACK:
            return refuse(409, allowed.problem)
        try:
            self._writer.write(rank, said)
        except ValueError as error:
            return refuse(409, one_line(error))
        except OutputError as error:
            return refuse(507, error.message)
        return json_answer(
            {
                **last_word(self._rows.last(rank)),
                "since": self._rows.changes(0)[0],
                **self._rows.both_progresses(self._rows.mask(Filter.of_query(request.query_params))),
            }
        )


def open_page(folder: OutputFolder, input: str | os.PathLike[str] | None, reviewer: str) -> ReviewPage:
    """Return the page of a folder, as its journal is now.

    Args:
        folder: the output folder of a run, which may still go on.
        input: where the photos are now, if they have moved.
        reviewer: name of the person who judges.

    Raises:
        UsageError: there are no finished photos, none of them is in `input`, or a file of the folder is
            damaged.
    """
    audit, records, journal_size = audit_to_review(folder, input)
    # A label row without a photo shows nothing that could be judged.
    photos = [photo for photo in audit.photos.in_order() if photo.record.image in records]
    columns = audit.labels.columns if audit.labels else []
    log = VerdictLog(folder.layout.review)
    sample = [drawn.image for drawn in load_sample(folder)]
    rows = ReviewRows(photos, columns, log.refresh(), sample)
    return ReviewPage(folder, audit, rows, Describer(folder, audit), log, reviewer, journal_size)


def audit_to_review(
    folder: OutputFolder, input: str | os.PathLike[str] | None
) -> tuple[Audit, Mapping[str, Record], int]:
    """Return what is known of a folder, its records, and the bytes of its journal now; see `open_page`."""
    folder.require_run()
    # Before it is read: what a run adds meanwhile is not known, and must be told later.
    journal_size = folder.layout.journal.stat().st_size if is_there(folder.layout.journal) else 0
    state = replay(folder.layout.journal)
    if state.config is None or not state.records:
        raise UsageError(
            "nothing_finished",
            f"{folder.layout.root} has no finished photos yet; run its `detic-crop run` command again first",
        )
    whereabouts = look_for_photos(folder, state.records, input)
    return Audit.of(folder, state.records, state.config, whereabouts), state.records, journal_size


def _spoken(filter_name: str, value: str) -> str:
    if filter_name == "flag":
        return f"{value.replace('_', ' ')}: {FLAGS[value]}"
    return value
