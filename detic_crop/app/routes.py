"""The operations of the API, one after the other."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

import detic_crop
from detic_crop.app.asked import CommandView, order_of, shown
from detic_crop.app.crops import CROP_SETTINGS, CropView, FailedPhoto, no_document
from detic_crop.app.folders import FolderView, look_into, make_folder, query_of
from detic_crop.app.formats import FormatView, formats
from detic_crop.app.job_views import JobView, job_view
from detic_crop.app.models import Models, models_of
from detic_crop.app.openapi import description, docs_page, docs_style
from detic_crop.app.operations import Call, Css, Html, NoContent, Operation
from detic_crop.app.pictures import CropsQuery, ShownCrop, crops_of
from detic_crop.app.results import Results, audit_page, results_of
from detic_crop.web.answers import json_answer

_OUTSIDE = {403: "the path leads out of the folders that --root allows", 404: "it is not there"}
_NO_OUTPUT = _OUTSIDE | {409: "it is no output folder of detic-crop"}
_NO_JOB = {404: "there is no such job", 409: "its state does not allow it"}


class RootView(msgspec.Struct):
    """A folder to begin with; see `Subfolder`."""

    path: str
    query: str


class About(msgspec.Struct):
    """What this server is."""

    version: str
    roots: list[RootView]
    reviewer: str


class FolderQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which folder: a path in the roots; without one the first root."""

    path: str = ""


class NewFolder(msgspec.Struct, forbid_unknown_fields=True):
    """A folder to make: its name, and the path of the folder that it goes into."""

    path: str
    name: str


class NewJob(msgspec.Struct, forbid_unknown_fields=True):
    """A command to do.

    Attributes:
        command: ``run``, ``recrop``, ``audit``, ``apply``, ``teach`` or ``export``.
        input: the folder of photos for ``run``; for the others the output folder of a run.
        output: what it makes: an output folder (``run``, ``recrop``), a folder (``export``), a file
            (``teach``).
        settings: by name, see ``/commands``; null leaves one as it is.
    """

    command: str
    input: str
    output: str | None = None
    settings: dict[str, Any] = {}


class LinesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many lines."""

    most: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 200


class NewReview(msgspec.Struct, forbid_unknown_fields=True):
    """A folder to review, and the name that is noted with each verdict."""

    path: str
    reviewer: Annotated[str, msgspec.Meta(max_length=200)] = ""


class ReviewView(msgspec.Struct):
    """Where a review page is: an address relative to the app's page."""

    address: str


def about(call: Call) -> About:
    """Answer what this server is."""
    roots = [RootView(path, query_of(path)) for path in call.service.roots.paths]
    return About(detic_crop.__version__, roots, call.service.reviewer)


def openapi(call: Call) -> Response:
    """Answer the description of the API."""
    return json_answer(description(OPERATIONS, detic_crop.__version__))


def docs(call: Call) -> Response:
    """Answer the description of the API, for people."""
    page = docs_page(description(OPERATIONS, detic_crop.__version__))
    return Response(page, media_type="text/html; charset=utf-8")


def docs_css(call: Call) -> Response:
    """Answer the style sheet of that page."""
    return Response(docs_style(), media_type="text/css; charset=utf-8")


def folders(call: Call) -> FolderView:
    """Answer what is in a folder."""
    return look_into(call.service.roots, call.query.path)


def new_folder(call: Call) -> FolderView:
    """Make a folder."""
    return make_folder(call.service.roots, call.body.path, call.body.name)


def commands(call: Call) -> list[CommandView]:
    """Answer what jobs may be asked for."""
    return shown()


def exports(call: Call) -> list[FormatView]:
    """Answer which formats there are to export to."""
    return formats()


def jobs(call: Call) -> list[JobView]:
    """Answer all jobs, the newest first."""
    return [job_view(call.service.jobs, job) for job in call.service.jobs.all()]


def new_job(call: Call) -> JobView:
    """Put a command into the queue."""
    asked, service = call.body, call.service
    order = order_of(service.roots, asked.command, asked.input, asked.output, asked.settings)
    return job_view(service.jobs, service.jobs.add_order(order))


def job(call: Call) -> JobView:
    """Answer one job."""
    return job_view(call.service.jobs, call.service.jobs.get(call.number))


def job_lines(call: Call) -> list[str]:
    """Answer what a job printed last."""
    return call.service.jobs.lines(call.number, call.query.most)


def stop(call: Call) -> JobView:
    """Ask a job to stop."""
    return job_view(call.service.jobs, call.service.jobs.stop(call.number))


def go_on(call: Call) -> JobView:
    """Put a job into the queue again."""
    return job_view(call.service.jobs, call.service.jobs.go_on(call.number))


def remove(call: Call) -> None:
    """Take a job off the list."""
    call.service.jobs.remove(call.number)


def results(call: Call) -> Results:
    """Answer what an output folder has to show."""
    return results_of(call.service.roots, call.service.jobs, call.query.path)


def crops(call: Call) -> list[ShownCrop]:
    """Answer a few crops of an output folder, with pictures."""
    return crops_of(call.service.roots, call.query)


def audit(call: Call) -> Response:
    """Answer audit.html of an output folder."""
    return audit_page(call.service.roots, call.query.path)


def review(call: Call) -> ReviewView:
    """Open the review page of an output folder."""
    reviewer = call.body.reviewer.strip() or call.service.reviewer
    return ReviewView(call.service.reviews.begin(call.body.path, reviewer))


def models(call: Call) -> Models:
    """Answer which models may be chosen."""
    return models_of(call.service.roots)


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/about", "about", "What this server is, and where folders may be chosen", about, About),
    Operation("GET", "/openapi.json", "openapi", "This description, for programs", openapi, dict[str, Any]),
    Operation("GET", "/docs", "docs", "This description, for people", docs, Html),
    Operation("GET", "/docs.css", "docs_css", "Its style sheet", docs_css, Css),
    Operation(
        "POST",
        "/crop",
        "crop",
        "Crop one photo: its bytes in, its crop and its row out, and nothing of it on a disk",
        no_document,
        CropView,
        settings=CROP_SETTINGS,
        takes="photo",
        also={
            204: (NoContent, "there is no crop; the row is in the header X-Detic-Crop-Row"),
            422: (FailedPhoto, "the photo cannot be used"),
        },
        refusals=_OUTSIDE
        | {
            408: "the photo did not come in time",
            413: "the photo has too many bytes",
            415: "the body is no photo by its type",
            503: "too many photos are waiting",
        },
        group="Crop",
    ),
    Operation(
        "GET",
        "/folders",
        "look_into_folder",
        "What is in a folder: subfolders, photos, tables",
        folders,
        FolderView,
        FolderQuery,
        refusals=_OUTSIDE,
        group="Folders",
    ),
    Operation(
        "POST",
        "/folders",
        "make_folder",
        "Make a folder",
        new_folder,
        FolderView,
        body=NewFolder,
        status=201,
        refusals=_OUTSIDE | {409: "it is there already, or cannot be made"},
        group="Folders",
    ),
    Operation(
        "GET",
        "/results",
        "results",
        "What an output folder has to show, and what is next",
        results,
        Results,
        FolderQuery,
        refusals=_NO_OUTPUT,
        group="Folders",
    ),
    Operation(
        "GET",
        "/crops",
        "crops",
        "A few crops of an output folder, with pictures",
        crops,
        list[ShownCrop],
        CropsQuery,
        refusals=_NO_OUTPUT,
        group="Folders",
    ),
    Operation(
        "GET",
        "/audit",
        "audit",
        "audit.html of an output folder",
        audit,
        Html,
        FolderQuery,
        refusals=_NO_OUTPUT,
        group="Folders",
    ),
    Operation(
        "POST",
        "/reviews",
        "review",
        "Open the review page of an output folder",
        review,
        ReviewView,
        body=NewReview,
        status=201,
        refusals=_NO_OUTPUT,
        group="Folders",
    ),
    Operation("GET", "/models", "models", "Which models may be chosen", models, Models, group="Jobs"),
    Operation(
        "GET",
        "/commands",
        "commands",
        "What jobs may be asked for",
        commands,
        list[CommandView],
        group="Jobs",
    ),
    Operation(
        "GET",
        "/exports",
        "exports",
        "Which formats there are to export to",
        exports,
        list[FormatView],
        group="Jobs",
    ),
    Operation("GET", "/jobs", "jobs", "All jobs, the newest first", jobs, list[JobView], group="Jobs"),
    Operation(
        "POST",
        "/jobs",
        "start_job",
        "Put a command into the queue",
        new_job,
        JobView,
        body=NewJob,
        status=201,
        refusals=_OUTSIDE | {503: "too many jobs are waiting", 507: "the disk is full"},
        group="Jobs",
    ),
    Operation(
        "GET",
        "/jobs/{number}",
        "job",
        "One job, and how far it is",
        job,
        JobView,
        refusals=_NO_JOB,
        group="Jobs",
    ),
    Operation(
        "GET",
        "/jobs/{number}/log",
        "job_log",
        "What a job printed last",
        job_lines,
        list[str],
        LinesQuery,
        refusals=_NO_JOB,
        group="Jobs",
    ),
    Operation(
        "POST",
        "/jobs/{number}/stop",
        "stop_job",
        "Stop a job; what it finished is kept, and a second request is more urgent",
        stop,
        JobView,
        refusals=_NO_JOB,
        group="Jobs",
    ),
    Operation(
        "POST",
        "/jobs/{number}/continue",
        "continue_job",
        "Go on with a job that was stopped or failed",
        go_on,
        JobView,
        refusals=_NO_JOB,
        group="Jobs",
    ),
    Operation(
        "DELETE",
        "/jobs/{number}",
        "remove_job",
        "Take a job off the list; its folders stay",
        remove,
        None,
        refusals=_NO_JOB,
        group="Jobs",
    ),
)
"""Every operation, in the order of the documentation."""
