"""Crops as a data set for Kaggle, laid out as notebooks know it from the Happywhale competition."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from detic_crop.errors import UsageError
from detic_crop.exports.base import Asked, Export, Of
from detic_crop.exports.job import Job
from detic_crop.exports.label_rows import IMAGE, LabelRows
from detic_crop.exports.names import UniqueNames, flat, with_extension_of
from detic_crop.exports.picture import Picture
from detic_crop.folder.crop_paths import within
from detic_crop.folder.verdict_lines import VIEWPOINTS
from detic_crop.report.paper import origin_lines
from detic_crop.wording import counted, typed

_TITLE = range(6, 51)
_SUBTITLE = range(20, 81)
_SLUG = range(6, 51)
"""Lengths that Kaggle takes; of a slug its page says 3 to 50, its program 6 to 50."""

LICENCES = (
    *("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-3.0-IGO", "CC-BY-SA-3.0", "CC-BY-SA-4.0"),
    *("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-SA-3.0-IGO", "CC-BY-ND-4.0", "CC-BY-NC-ND-4.0"),
    *("GPL-2.0", "GPL-3.0", "LGPL-3.0", "AGPL-3.0", "FDL-1.3", "apache-2.0"),
    *("ODbL-1.0", "DbCL-1.0", "PDDL", "ODC-BY-1.0", "CDLA-Permissive-1.0", "CDLA-Sharing-1.0"),
    *("US-Government-Works", "EU-ODP-Legal-Notice", "copyright-authors", "other", "unknown"),
)
"""What Kaggle calls the licences that a data set can have."""

_TABLE = "{}2.csv"
_FOLDER = "cropped_{0}_images/cropped_{0}_images"
_PHOTO = "photo"
_FOLD = "fold"
_VIEWPOINT = "viewpoint"
_USER_VARIABLE = "KAGGLE_USERNAME"
"""Kaggle's own program reads it, too."""
_NO_USER = "INSERT_USERNAME"

_COLUMNS = {
    IMAGE: "file name of the crop",
    "box": "the animal in the photo: left, top, right, bottom in whole pixels, before the box was enlarged; "
    "empty where none was found and the crop is the whole photo",
    _PHOTO: "the photo that the crop was cut out of",
    _FOLD: "the fold of the crop, from 0; -1 of an individual that was held out",
    _VIEWPOINT: f"from which side a reviewer said the animal is seen: {', '.join(VIEWPOINTS)}",
}


class Kaggle(Export):
    """Crops, a table of labels and boxes for each part, and what Kaggle asks about a data set."""

    of: ClassVar[tuple[Of, ...]] = ("crops",)
    takes = frozenset({"licence", "part", "pictures", "test", "title", "user"})

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._tables: list[list[str]] = []

    def write(self, job: Job) -> None:
        """Write the crops and the table of a part."""
        _About.of(job)  # refuses before anything is written
        part = job.asked.part or "train"
        names = UniqueNames(job.pictures(), self._wanted)
        folder = _FOLDER.format(part)
        job.place_all(lambda picture: f"{folder}/{names(picture)}")
        more = [
            *([_PHOTO] if _differ(job, names) else []),
            *([_VIEWPOINT] if job.has_viewpoints else []),
            *([_FOLD] if job.has_folds else []),
        ]
        rows = LabelRows(job, {"box", *more})
        columns = [*rows.columns, "box", *more]

        def lines() -> Iterator[list[str]]:
            yield columns
            for picture in job.each("writing the table"):
                cells = job.cells(picture)
                ours = {name: cells.get(name, "") for name in ("box", _FOLD, _VIEWPOINT)}
                for row in rows.of(picture):
                    found = {_PHOTO: row[IMAGE], **ours, **row, IMAGE: names(picture)}
                    yield [found[column] for column in columns]

        job.target.table(_TABLE.format(part), lines())
        job.notes += rows.note
        self._tables.append(columns)

    def finish(self, jobs: Sequence[Job]) -> None:
        """Write dataset-metadata.json and README.md, and say how to upload it all."""
        about = _About.of(jobs[0])
        crops = counted(sum(job.count for job in jobs), "crop")
        subtitle = f"{crops} of dolphins and whales, each with the box of the animal"
        card = "\n".join(_card(about, subtitle, jobs)) + "\n"
        target = jobs[0].target
        with target.text("README.md") as file:
            file.write(card)
        target.json("dataset-metadata.json", _metadata(about, subtitle, card, jobs, self._tables))
        upload = typed("kaggle", "datasets", "create", "-p", target.shown, "-r", "zip")
        if about.licence == "unknown":
            jobs[-1].notes.append("the licence is called unknown; pass --licence NAME if you know it")
        before = ""
        if about.user == _NO_USER:
            path = target.final("dataset-metadata.json")
            before = f"write your account's name for {_NO_USER} into {path} (or pass --user NAME), then "
        jobs[-1].notes.append(f"{before}upload it, private at first: {upload}")

    def _wanted(self, picture: Picture) -> str:
        return flat(with_extension_of(within(picture.crop), self.accepts))


def _differ(job: Job, names: UniqueNames) -> bool:
    """Return whether the table needs a column for the photos: their names are not those of the crops."""
    labels = job.audit.labels
    if labels is not None and labels.key_column != IMAGE:
        return False  # their names are in that column
    return any(names(picture) != job.spelled(picture) for picture in job.pictures())


@dataclass(frozen=True, slots=True)
class _About:
    """What a person says of a data set, within Kaggle's limits."""

    title: str
    slug: str
    user: str
    licence: str

    @classmethod
    def of(cls, job: Job) -> _About:
        """Return what was said, the rest by default.

        Raises:
            UsageError: something is not what Kaggle takes.
        """
        asked: Asked = job.asked
        name = os.path.basename(os.path.abspath(job.target.shown))
        title = asked.title or f"Dolphins and whales: {name}"[: _TITLE[-1]].strip()
        if len(title) not in _TITLE:
            raise _refused("--title", "6 to 50 characters", f"{len(title)}", "pass another title")
        slug = _slug(title)
        if len(slug) not in _SLUG:
            raise _refused("--title", "at least 6 letters a to z or digits", f"{title}", "pass another title")
        user = asked.user or os.environ.get(_USER_VARIABLE, "")
        if user and not re.fullmatch("[A-Za-z0-9_-]+", user.strip()):
            raise _refused("--user", "the name of your account at kaggle.com", repr(user), "pass --user NAME")
        licence = asked.licence or "unknown"
        known = {name.casefold(): name for name in LICENCES}
        if licence.casefold() not in known:
            raise _refused(
                "--licence", "a name that Kaggle knows", licence, f"pass one of {', '.join(LICENCES)}"
            )
        return cls(title, slug, user.strip().lower() or _NO_USER, known[licence.casefold()])


def _refused(option: str, expected: str, got: str, advice: str) -> UsageError:
    return UsageError("not_for_kaggle", f"{option}: expected {expected}, got {got}; {advice}")


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[: _SLUG[-1]].strip("-")


def _metadata(
    about: _About, subtitle: str, card: str, jobs: Sequence[Job], tables: Sequence[Sequence[str]]
) -> dict[str, Any]:
    assert len(subtitle) in _SUBTITLE
    return {
        "title": about.title,
        "subtitle": subtitle,
        "description": card,
        "id": f"{about.user}/{about.slug}",
        "licenses": [{"name": about.licence}],
        "keywords": ["animals", "computer vision"],
        "resources": [
            {
                "path": _TABLE.format(job.asked.part or "train"),
                "description": "A row for each crop: labels, and the box of the animal in the photo",
                "schema": {
                    "fields": [
                        {
                            "name": column,
                            "title": _COLUMNS.get(column, f"{column}, as labelled"),
                            "type": "string",
                        }
                        for column in columns
                    ]
                },
            }
            for job, columns in zip(jobs, tables, strict=True)
        ],
    }


def _card(about: _About, subtitle: str, jobs: Sequence[Job]) -> Iterator[str]:
    """Yield the lines of README.md, Markdown."""
    yield f"# {about.title}"
    yield ""
    yield f"{subtitle}."
    for job in jobs:
        yield from _part_lines(job)
    yield ""
    yield "## Licence and citation"
    yield ""
    yield f"Licence: {about.licence}. The photos belong to those who took them."
    yield ""
    made_with = jobs[0].origin.versions.get("detic-crop") or jobs[0].origin.estimated_with
    yield f"Cite detic-crop, version {made_with}, and where the photos are from. The method is that of"
    yield "phalanx's whale2-cropped-dataset: the largest box, enlarged; where none is found, the whole photo."


def _part_lines(job: Job) -> Iterator[str]:
    part = job.asked.part or "train"
    statuses = Counter(picture.record.status for picture in job.pictures())
    yield ""
    yield f"## {part.capitalize()}"
    yield ""
    yield f"- `{_TABLE.format(part)}`: a row for each crop. `image` is its file in `{_FOLDER.format(part)}/`,"
    yield "  `box` the animal in the photo: left, top, right, bottom in pixels, before it was enlarged."
    animals, wholes = statuses["cropped"], statuses["resized"]
    yield f"- Crops: {job.count:,}; {animals:,} around an animal, {wholes:,} whole photos, which have no box."
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(job.left_out.items()))
    yield f"- Photos left out: {f'{job.left_out.total():,} ({reasons})' if reasons else 'none'}."
    known = job.estimate
    yield "- " + (
        (known.card if known else "")
        or "How many crops are right is not known: nobody has reviewed a random sample yet."
    )
    yield ""
    counts: Counter[str] = Counter(photo.record.status for photo in job.audit.photos.in_order())
    estimated_with = job.origin.estimated_with if known and known.card else ""
    origin = replace(job.origin, counts=counts, estimated_with=estimated_with)
    lines = origin_lines(job.audit, origin)
    yield from (f"#{line}" if line.startswith("## ") else line for line in lines)
