"""Photos and spreadsheets as the bulk import of Flukebook and other Wildbooks takes them."""

from __future__ import annotations

import errno
import json
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import Sides
from detic_crop.exports.base import Export, Of, Pictures
from detic_crop.exports.individuals import Dates, individual_of, without_box
from detic_crop.exports.job import Job
from detic_crop.exports.names import UniqueNames, UniqueWords, plain, with_extension_of
from detic_crop.exports.picture import Picture
from detic_crop.exports.sheet import workbook_bytes
from detic_crop.exports.species import AMBIGUOUS, common_name, taxon_of
from detic_crop.images.encode import encode
from detic_crop.wording import counted, either

# docs.wildme.org, "Photography guidelines" and "Bulk Import"; the sizes are meant for the long side.
MOST_BYTES = 3_000_000
LONGEST, SHORTEST = 1600, 480
QUALITY = 90
ENCOUNTERS_PER_SHEET = 200

LOCALITY_COLUMNS = ("verbatim_locality", "locality", "location", "place", "site", "area", "region")
LOCATION_ID_COLUMNS = ("location_id", "locationid")
LATITUDE_COLUMNS = ("latitude", "decimal_latitude", "decimallatitude", "lat")
LONGITUDE_COLUMNS = ("longitude", "decimal_longitude", "decimallongitude", "lon", "long", "lng")

_PREFIXES = (
    *("Encounter.", "MarkedIndividual.", "Sighting.", "Occurrence.", "SocialUnit.", "Membership."),
    *("TissueSample.", "SexAnalysis.", "Survey.", "SurveyTrack."),
)
_ASSET = "Encounter.mediaAsset"
_KEYWORD = "Encounter.keyword"
"""With the number of the picture that it is about."""
_NAMED = 10  # species in sentences

_INDIVIDUAL = "MarkedIndividual.individualID"
_GENUS, _EPITHET = "Encounter.genus", "Encounter.specificEpithet"
_YEAR, _MONTH, _DAY = "Encounter.year", "Encounter.month", "Encounter.day"
_HOUR, _MINUTES = "Encounter.hour", "Encounter.minutes"
_LOCATION_ID, _LOCALITY = "Encounter.locationID", "Encounter.verbatimLocality"
_LATITUDE, _LONGITUDE = "Encounter.decimalLatitude", "Encounter.decimalLongitude"
_SIGHTING = "Encounter.sightingID"
COLUMNS = (
    *(_INDIVIDUAL, _GENUS, _EPITHET, _YEAR, _MONTH, _DAY, _HOUR, _MINUTES),
    *(_LOCATION_ID, _LOCALITY, _LATITUDE, _LONGITUDE, _SIGHTING),
)
"""Columns of a spreadsheet before those of the photos; one without any cell is left out, as Wildbook asks."""

NUMBERS = frozenset({_YEAR, _MONTH, _DAY, _HOUR, _MINUTES, _LATITUDE, _LONGITUDE})

Row = dict[str, str]
"""Column → cell."""


class Wildbook(Export):
    """Folders of photos to upload, each with a spreadsheet that has a row for each encounter of an animal."""

    of: ClassVar[tuple[Of, ...]] = ("photos", "crops")
    takes = frozenset({"individual", "species"})
    accepts = ("JPEG",)
    pictures: ClassVar[Pictures] = "none"  # they are always encoded anew

    def write(self, job: Job) -> None:
        """Write import1/ with its photos, import1.xlsx, import1.csv and so on, and photos.csv."""
        names = UniqueNames(job.pictures(), _file_name, lambda name, n: f"{name[:-4]} {n}.jpg")
        rows, files = _Rows(job), _Files(job)
        with Plan(Path(job.target.path(".plan.sqlite"))) as plan:
            for picture in job.each("planning encounters"):
                plan.add(*rows.of(picture), names(picture), rows.keyword(picture))
            imports = plan.imports()
            job.target.table("photos.csv", files.written(plan, imports, names))
            has_workbooks = True
            for number in range(1, max(imports) + 1):
                table = _table(plan.encounters(number))
                job.target.table(f"import{number}.csv", table)
                workbook = workbook_bytes(table, NUMBERS)
                if workbook is None:
                    has_workbooks = False
                else:
                    job.target.put(workbook, f"import{number}.xlsx")
        job.notes += [*rows.sentences(), *files.sentences()]
        if not has_workbooks:
            job.notes.append("without XlsxWriter there is no .xlsx; Wildbook takes the .csv as well")
        if max(imports) > 1:
            job.notes.append(
                f"{max(imports):,} imports of at most {ENCOUNTERS_PER_SHEET} encounters, as Wildbook asks: "
                "upload one folder and its spreadsheet at a time"
            )


def _file_name(picture: Picture) -> str:
    """Return a name of letters, digits, dots and single blanks, as Wildbook keeps it."""
    stem = plain(with_extension_of(picture.name, ("JPEG",)), " ").rpartition(".")[0]
    return f"{stem.strip(' .')}.jpg"


class _Rows:
    """What the spreadsheet says of each picture.

    Args:
        job: what is exported.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._dates = Dates(job)
        self._columns = {
            column: job.usual_column(usual)
            for column, usual in (
                (_LOCATION_ID, LOCATION_ID_COLUMNS),
                (_LOCALITY, LOCALITY_COLUMNS),
                (_LATITUDE, LATITUDE_COLUMNS),
                (_LONGITUDE, LONGITUDE_COLUMNS),
            )
        }
        labels = job.audit.labels.columns if job.audit.labels else []
        self._theirs = [name for name in labels if name.startswith(_PREFIXES) and not name.startswith(_ASSET)]
        self._sightings: dict[str, str] = {}
        self._words = UniqueWords("_", "sighting")
        self._strangers: Counter[str] = Counter()
        self._unplaced = self._undated = self._shared = self._whole = 0

    def of(self, picture: Picture) -> tuple[str, Row]:
        """Return what names the encounter of a picture, empty for one of its own, and its cells."""
        encounter = self._job.encounter(picture)
        row = {
            _INDIVIDUAL: self._individual(picture),
            **self._taxon(picture),
            **self._date(picture),
            **self._place(picture),
            _SIGHTING: self._sighting(encounter, picture),
        }
        theirs = {name: self._job.label(picture, name) for name in self._theirs}
        row |= {name: cell for name, cell in theirs.items() if cell}
        self._whole += not picture.boxes
        self._undated += not row[_YEAR]
        self._unplaced += not (row[_LOCATION_ID] or row[_LOCALITY] or (row[_LATITUDE] and row[_LONGITUDE]))
        row = {column: cell for column, cell in row.items() if cell}
        if not encounter or _INDIVIDUAL not in row:
            return "", row  # in Wildbook, an encounter is one animal at one time: of strangers nobody knows
        alike = (_INDIVIDUAL, _GENUS, _EPITHET, _YEAR, _MONTH, _DAY)
        return json.dumps([encounter, *(row.get(column, "") for column in alike)]), row

    def keyword(self, picture: Picture) -> str:
        """Return the keyword of a picture, its viewpoint; empty where the labels have keywords already."""
        has_theirs = any(name.startswith(_KEYWORD) for name in self._theirs)
        return "" if has_theirs else self._job.viewpoint(picture)

    def _individual(self, picture: Picture) -> str:
        individual = individual_of(self._job, picture)
        if individual and picture.crop and len(picture.photo.record.animals) > 1:
            self._shared += 1
            return ""  # nobody said which of the animals it is
        return individual

    def _taxon(self, picture: Picture) -> Row:
        species = self._job.label(picture, self._job.species_column)
        taxon = taxon_of(species)
        if taxon is None:
            if species:
                self._strangers[species] += 1
            return {}
        return {_GENUS: taxon.genus, _EPITHET: taxon.epithet}

    def _date(self, picture: Picture) -> Row:
        moment = self._dates.to_the_minute(picture)
        if moment is None:
            return {_YEAR: ""}
        return {
            _YEAR: str(moment.year),
            _MONTH: _cell(moment.month),
            _DAY: _cell(moment.day),
            _HOUR: _cell(moment.hour),
            _MINUTES: _cell(moment.minute or None),  # documented as 1-60
        }

    def _place(self, picture: Picture) -> Row:
        row = {column: self._job.label(picture, theirs) for column, theirs in self._columns.items()}
        record = picture.record
        if not (_is_degrees(row[_LATITUDE], 90) and _is_degrees(row[_LONGITUDE], 180)):
            row[_LATITUDE] = row[_LONGITUDE] = ""
            if record.latitude is not None and record.longitude is not None:
                row |= {_LATITUDE: f"{record.latitude:.6f}", _LONGITUDE: f"{record.longitude:.6f}"}
        return row

    def _sighting(self, encounter: str, picture: Picture) -> str:
        """Return an id that no sighting of others has: Wildbook would put the encounter into theirs."""
        if encounter and encounter not in self._sightings:
            checksum = picture.record.checksum or 0
            self._sightings[encounter] = f"{self._words(encounter)}-{checksum:08x}"
        return self._sightings.get(encounter, "")

    def sentences(self) -> Iterator[str]:
        """Yield what Wildbook asks for and is not there."""
        yield from without_box(self._whole)
        yield from self._dates.sentences()
        if self._unplaced:
            yield (
                f"{counted(self._unplaced, 'picture')} without a location, which Wildbook asks for: choose "
                f"{_LOCATION_ID} there when you review the import, or add a label column of that name"
            )
        if self._undated:
            yield (
                f"{counted(self._undated, 'picture')} without a date, of which Wildbook asks for the year: "
                f"add a label column date or {_YEAR}"
            )
        for species, count in self._strangers.most_common(_NAMED):
            several = AMBIGUOUS.get(common_name(species))
            why = f"it may be {' or '.join(several)}" if several else "its scientific name is not known here"
            yield f"genus of {species} left empty, {counted(count, 'picture')}: {why}; make that the label"
        if (more := len(self._strangers) - _NAMED) > 0:
            yield f"genus left empty of {counted(more, 'further name')} of species"
        if self._shared:
            yield (
                f"individual left empty of {counted(self._shared, 'crop')}: others are in the photo, and the "
                "label does not say which of them it means"
            )


class _Files:
    """The files of the photos, in a size that Wildbook takes, without EXIF.

    Args:
        job: what is exported.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._enlarged = 0

    def written(self, plan: Plan, imports: Sequence[int], names: UniqueNames) -> Iterator[list[str]]:
        """Write the files; yield the header and the rows of photos.csv, which says what each of them is."""
        yield ["import", "file", "photo", "crop", "width", "height"]
        doing = f"writing {self._job.of}"
        for position, picture in enumerate(self._job.each(doing)):
            image = self._job.pixels(picture)
            if image is None:
                continue
            sides = fitting_sides((image.shape[1], image.shape[0]))
            self._enlarged += sides[0] > image.shape[1]
            folder, name = f"import{imports[position]}", names(picture)
            self._job.target.put(_encoded(image, sides), f"{folder}/{name}")
            plan.note_written(position)
            yield [folder, name, picture.key, picture.crop, *map(str, sides)]

    def sentences(self) -> Iterator[str]:
        """Yield what a person should know of them."""
        if self._enlarged:
            one = self._job.of[:-1]
            yield (
                f"{counted(self._enlarged, one)} {either(self._enlarged, 'has', 'have')} a long side below "
                f"{SHORTEST} px and {either(self._enlarged, 'was', 'were')} enlarged to that"
            )


def fitting_sides(sides: Sides) -> Sides:
    """Return width and height of a photo whose long side Wildbook takes, in the same proportions."""
    long = max(sides)
    wanted = min(max(long, SHORTEST), LONGEST)
    width, height = (max(1, round(side * wanted / long)) for side in sides)
    return width, height


def _encoded(image: NDArray[np.uint8], sides: Sides) -> bytes:
    if sides != (image.shape[1], image.shape[0]):
        smaller = sides[0] < image.shape[1]
        method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        image = cv2.resize(image, sides, interpolation=method).astype(np.uint8, copy=False)
    quality = QUALITY
    while len(data := encode(image, "jpg", quality)) > MOST_BYTES:
        quality -= 10
    return data


class Plan:
    """Which picture belongs to which encounter, and which encounters to which import; in a file of its own.

    Encounters keep the order of their first pictures.

    Args:
        path: where the file is meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._file = sqlite3.connect(self._path, isolation_level=None)
        self._file.executescript(
            "pragma journal_mode = off; pragma synchronous = off; begin;"
            "create table pictures"
            " (encounter text, row text, name text, keyword text, written integer default 0);"
            "create table encounters (encounter text)"
        )
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(errno.ENOSPC, str(error)) from error

    def add(self, encounter: str, row: Row, name: str, keyword: str = "") -> None:
        """Put in the next picture; with an empty `encounter` it is the only one of its own."""
        add = "insert into pictures (encounter, row, name, keyword) values (nullif(?, ''), ?, ?, ?)"
        self._file.execute(add, (encounter, json.dumps(row), name, keyword))

    def imports(self) -> Sequence[int]:
        """Return the import of each picture, from 1, in their order."""
        self._file.executescript(
            "update pictures set encounter = '#' || rowid where encounter is null;"
            "create index of_encounter on pictures (encounter);"
            "insert into encounters select encounter from pictures group by encounter order by min(rowid);"
            "create unique index by_name on encounters (encounter)"
        )
        found = self._file.execute(
            "select (e.rowid - 1) / ? + 1 from pictures p join encounters e using (encounter)"
            "order by p.rowid",
            (ENCOUNTERS_PER_SHEET,),
        )
        return array("q", (number for (number,) in found))

    def note_written(self, position: int) -> None:
        """Note that the file of a picture is there; others are in no row."""
        self._file.execute("update pictures set written = 1 where rowid = ?", (position + 1,))

    def encounters(self, number: int) -> Iterator[tuple[Row, list[str]]]:
        """Yield the encounters of an import: its cells, with keywords, and the files of its pictures."""
        found = self._file.execute(
            "select e.rowid, row, name, keyword from encounters e join pictures p using (encounter)"
            "where e.rowid > ? and e.rowid <= ? and written order by e.rowid, p.rowid",
            ((number - 1) * ENCOUNTERS_PER_SHEET, number * ENCOUNTERS_PER_SHEET),
        )
        for _, pictures in groupby(found, lambda columns: columns[0]):
            cells: Row = {}
            files: list[str] = []
            for _, row, name, keyword in pictures:
                cells = json.loads(row) | cells
                if keyword:
                    cells[f"{_KEYWORD}{len(files)}"] = keyword
                files.append(name)
            yield cells, files


def _table(encounters: Iterator[tuple[Row, list[str]]]) -> list[list[str]]:
    """Return the rows of a spreadsheet, the header first."""
    several = list(encounters)
    named = {column for cells, _ in several for column in cells}
    columns = [column for column in COLUMNS if column in named] + sorted(named - set(COLUMNS))
    most = max((len(files) for _, files in several), default=0)
    table = [[*(f"{_ASSET}{place}" for place in range(most)), *columns]]
    for cells, files in several:
        table.append([*files, *([""] * (most - len(files))), *(cells.get(column, "") for column in columns)])
    return table


def _cell(number: int | None) -> str:
    return "" if number is None else str(number)


def _is_degrees(cell: str, most: int) -> bool:
    try:
        return abs(float(cell)) <= most
    except ValueError:
        return False
