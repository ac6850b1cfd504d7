"""The documents of `.detic-crop` but the journal: their types, and how they are read and written."""

from __future__ import annotations

import csv
import io
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from detic_crop.columns import Column, Optionals, Texts, numbers
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.listing_file import SavedInput, has_lines, listing_lines, read_lines
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import decode_sealed, encode_sealed
from detic_crop.photos.labels import Labels, plain_labels
from detic_crop.photos.location import Location, file_or_object, parse
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Locations, Photos, in_columns

# --- listing.json: the photos of a run, in input order, and where they are


@dataclass(frozen=True, slots=True)
class Given:
    """One ``--in``.

    Attributes:
        where: absolute path or address, without secrets; empty in folders that kept none.
        root: folder that most of its keys are relative to.
        keys: keys of its photos in input order; in a listing of a part, those of that part.
    """

    where: str
    root: str
    keys: Sequence[str]

    @property
    def shown(self) -> str:
        """Name for messages."""
        return self.where or self.root


@dataclass(frozen=True, slots=True)
class SavedListing:
    """listing.json.

    Attributes:
        root: folder below which most of the photos are.
        photos: photos of the last call, in input order, then those of earlier calls; none was looked at.
        count: number of photos of the last call.
        saved_inputs: the inputs as they are saved.
        merged: True of folders that an earlier version merged in part.
    """

    root: str = ""
    photos: Photos = field(default_factory=Photos)
    count: int = 0
    saved_inputs: Sequence[SavedInput] = ()
    merged: bool = False

    @property
    def keys(self) -> Column:
        """Photos of the last call, in input order."""
        return self.known_keys[: self.count]

    @property
    def known_keys(self) -> Column:
        """Photos of the last call, then those of earlier calls."""
        return self.photos.keys

    @property
    def inputs(self) -> list[Given]:
        """The inputs in the order in which they came; empty without photos."""
        keys = self.keys
        if not self.saved_inputs:
            return [Given("", self.root, keys)] if len(keys) else []
        first, *later = self.saved_inputs
        if later:
            others = Texts(chain.from_iterable(saved.keys or () for saved in later))
            keys = keys.of(array("q", (row for row, key in enumerate(keys) if key not in others)))
        return [
            Given(first.where, first.root, keys),
            *(Given(saved.where, saved.root, saved.keys or []) for saved in later),
        ]

    def locations(self) -> Mapping[str, Location]:
        """Return key → location of the photos of the last call."""
        return Locations(self.photos[: self.count])

    def known_locations(self) -> Mapping[str, Location]:
        """Return key → location of the photos of the last call and of earlier ones."""
        return Locations(self.photos)

    def expected_locations(self, keys: Collection[str]) -> Mapping[str, Location]:
        """Return key → location of any photos: where they were, else below the root."""
        return _ExpectedLocations(self, keys)


class _ExpectedLocations(Mapping[str, Location]):
    """Key → location of photos that a listing may lack: then it is where most of the photos are."""

    def __init__(self, listing: SavedListing, keys: Collection[str]) -> None:
        self._known = listing.known_locations()
        self._root = file_or_object(listing.root)
        self._keys = keys

    def __getitem__(self, key: str) -> Location:
        if (location := self._known.get(key)) is not None:
            return location
        if key not in self._keys:
            raise KeyError(key)
        [usual] = self._root.below([key])
        return usual

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)


class _EarlierListing(msgspec.Struct, frozen=True):
    """listing.json as earlier versions wrote it, in one line.

    Attributes:
        paths: key → location of those that are not at ``root/key``, and of photos of earlier calls.
    """

    root: str
    keys: list[str]
    paths: dict[str, str]
    inputs: list[_EarlierInput] = []
    merged: dict[str, Any] | None = None

    def as_listing(self) -> SavedListing:
        photos = Photos.below(file_or_object(self.root), Texts(self.keys))
        known = photos.keys
        rows = {key: known.find(key) for key in self.paths}
        for key, text in self.paths.items():
            if (row := rows[key]) is None:
                photos.append(Photo(key, parse(text)))
            else:
                photos.move(row, parse(text))
        inputs = [SavedInput(given.where, given.root, given.keys) for given in self.inputs]
        return SavedListing(self.root, photos, len(self.keys), inputs, self.merged is not None)


class _EarlierInput(msgspec.Struct, frozen=True, rename={"where": "in"}):
    """One ``--in``."""

    where: str
    root: str
    keys: list[str] | None = None


_earlier_listing = msgspec.json.Decoder(_EarlierListing)


def save_listing(folder: OutputFolder, photos: Iterable[Photo], inputs: Sequence[Given]) -> None:
    """Save the input order and where the photos are, for the tables and for later crops.

    Args:
        folder: the output folder.
        photos: all photos in input order.
        inputs: the inputs that they came from; locations below the first one's root are not spelled out.
    """
    table = in_columns(photos)
    first, *later = inputs
    saved = [SavedInput(first.where, first.root)]
    saved += [SavedInput(given.where, given.root, given.keys) for given in later]
    paths = _paths(folder, table, first.root)
    folder.write_parts(folder.layout.listing, listing_lines(first.root, table.keys, paths, saved))


def _paths(folder: OutputFolder, photos: Photos, root: str) -> Iterator[tuple[str, str]]:
    """Yield the key and the location of photos that are not below the root, and of those of earlier calls."""
    usual = file_or_object(root)
    for photo in photos:
        [expected] = usual.below([photo.key])
        if photo.location == expected:
            continue  # nearly all
        found = photo.location.absolute()
        if (public := found.redact()) != found:
            folder.private_locations[photo.key] = found
        if public != expected:
            yield photo.key, str(public)
    # Photos of earlier calls that are not asked for now keep the place where they were.
    before, now = load_listing(folder), photos.keys
    if before.known_keys != now:
        for photo in before.photos:
            if photo.key not in now:
                yield photo.key, str(photo.location)


def load_listing(folder: OutputFolder) -> SavedListing:
    """Return the saved listing; an empty one when there is none.

    Raises:
        UsageError: the file is damaged.
    """
    layout = folder.layout
    if not is_there(layout.listing):
        return SavedListing()
    try:
        with open(layout.listing, "rb") as file:
            if has_lines(file):
                found = read_lines(file)
                return SavedListing(found.root, found.photos, found.count, found.inputs)
            return decode_sealed(file.read(), _earlier_listing).as_listing()
    except ValueError as error:
        raise UsageError(
            "listing_damaged",
            f"{layout.shown_of(layout.listing)} is damaged; delete it and run the `detic-crop run` command "
            "again",
        ) from error


# --- part.json: which part of an input a shard has


class WholeInput(msgspec.Struct, frozen=True):
    """The photos that some shards share; it must be the same for all that are merged.

    Attributes:
        photos: number of photos in the whole input.
        digest: hash of their keys in input order.
        labels: hash of the label table and the photos it matches; empty without one.
        limit: number of photos that were asked for; None for all.
    """

    photos: int
    digest: str
    labels: str = ""
    limit: int | None = None


class _SavedPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """part.json.

    Attributes:
        places: index in the whole input of each key of the listing; earlier versions wrote them so.
        gaps: instead, each less the one before, the first less -1.
    """

    input: WholeInput
    keys: str
    words: list[str]
    gaps: list[int] | None = None
    places: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A shard's part of an input; listing.json next to it has its photos.

    Attributes:
        input: the whole input.
        places: index in the whole input of each key of the listing, ascending.
        keys: hash of the keys of the listing.
        words: command that made it, without ``--out`` and ``--shard``.
    """

    input: WholeInput
    places: array[int]
    keys: str
    words: list[str]


_part = msgspec.json.Decoder(_SavedPart)


def save_part(folder: OutputFolder, part: Part) -> None:
    """Save which photos of an input fall to a shard."""
    gaps = np.diff(np.array(part.places, np.int64), prepend=-1).tolist()
    folder.write(folder.layout.part, encode_sealed(_SavedPart(part.input, part.keys, part.words, gaps)))


def load_part(folder: OutputFolder) -> Part | None:
    """Return the saved part of a shard; None where it is not there or damaged."""
    try:
        saved = decode_sealed(folder.layout.part.read_bytes(), _part)
        places = array("q", saved.places or [])
        if saved.gaps is not None:
            places = numbers(np.cumsum([-1, *saved.gaps])[1:])
        elif saved.places is None:
            raise ValueError("expected gaps")
    except (FileNotFoundError, ValueError, OverflowError):
        return None
    return Part(saved.input, places, saved.keys, saved.words)


# --- labels.csv and labels.json: the label table of a run


class _LabelMatches(msgspec.Struct, frozen=True):
    """labels.json.

    Attributes:
        key_column: column of labels.csv that names the photo.
        keys: photo of each row; None where there is none.
        table: CRC-32 of labels.csv; None in folders of earlier versions.
        name: name of the file that --labels named; empty in folders of earlier versions.
    """

    key_column: str
    keys: list[str | None]
    table: int | None = None
    name: str = ""


_label_matches = msgspec.json.Decoder(_LabelMatches)


def save_labels(folder: OutputFolder, labels: Labels | None, matches: Sequence[str | None]) -> None:
    """Save a copy of the label file, or remove an earlier one when there is none now."""
    if labels is None:
        folder.inside.remove(folder.layout.labels)
        folder.inside.remove(folder.layout.label_matches)
        return
    folder.write(folder.layout.labels, labels.data)
    matching = _LabelMatches(labels.key_column, list(matches), zlib.crc32(labels.data), labels.name)
    folder.write(folder.layout.label_matches, encode_sealed(matching))


def load_labels(folder: OutputFolder) -> tuple[Labels | None, Sequence[str | None]]:
    """Return the saved label table and the photo of each row; (None, []) without one.

    Raises:
        UsageError: a saved file is damaged.
    """
    layout = folder.layout
    if not is_there(layout.labels):
        return None, []
    try:
        matching = decode_sealed(layout.label_matches.read_bytes(), _label_matches)
        data = layout.labels.read_bytes()
        if matching.table not in (None, zlib.crc32(data)):
            raise ValueError(f"{layout.labels.name} has changed")
        labels = plain_labels(data, matching.key_column)
        if labels is None:
            raise ValueError(f"{layout.labels.name} is no table with a column {matching.key_column}")
        if len(matching.keys) != len(labels.rows):
            raise ValueError(f"expected {len(labels.rows)} matches, got {len(matching.keys)}")
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(
            "labels_damaged",
            f"{layout.shown_of(layout.label_matches)} or {layout.labels.name} is damaged; run the "
            "`detic-crop run` command again with --labels FILE, or with --no-labels",
        ) from error
    return replace(labels, name=matching.name), Optionals(matching.keys)


def has_labels(folder: OutputFolder, labels: Labels) -> bool:
    """Return whether the label table that a folder keeps is this one, and no other or a damaged one."""
    try:
        kept, _ = load_labels(folder)
    except UsageError:
        return False
    return kept is not None and (kept.data, kept.key_column) == (labels.data, labels.key_column)


# --- sample.csv: the photos that were drawn to estimate from; the last column makes sure of the lines so far

StratumName: TypeAlias = Literal[
    "cropped_high", "cropped_middle", "cropped_low", "resized_high", "resized_low"
]


class Drawn(msgspec.Struct, frozen=True):
    """One photo of the sample.

    Attributes:
        image: key of the photo.
        stratum: part of the population that it was drawn from.
        stratum_size: number of photos in that part.
        seed: seed of the draw.
    """

    image: str
    stratum: StratumName
    stratum_size: int
    seed: int


_CHECKSUM = "crc"
"""Column after those of `Drawn`."""


def save_sample(folder: OutputFolder, sample: Sequence[Drawn]) -> None:
    """Replace sample.csv; verdicts are kept elsewhere and stay.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    text = io.StringIO(newline="")
    # All quoted: before Python 3.13 a lone carriage return, which a name may hold, is not quoted of itself.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow([*Drawn.__struct_fields__, _CHECKSUM])
    cells = list(map(msgspec.structs.astuple, sample))
    writer.writerows([*row, crc] for row, crc in zip(cells, _running_checksums(cells), strict=True))
    folder.write(folder.layout.sample, text.getvalue().encode(errors="surrogatepass"))


def _running_checksums(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield the CRC-32 of all rows so far, after each: none is altered, moved or left out unnoticed."""
    crc = 0
    for row in rows:
        crc = zlib.crc32("\0".join(map(str, row)).encode(errors="surrogatepass") + b"\n", crc)
        yield f"{crc:08x}"


def load_sample(folder: OutputFolder) -> list[Drawn]:
    """Return the sample as it was drawn; empty when none was.

    Raises:
        UsageError: the file is damaged.
    """
    layout = folder.layout
    if not is_there(layout.sample):
        return []
    try:
        text = layout.sample.read_bytes().decode(errors="surrogatepass")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        if header[-1:] == [_CHECKSUM]:  # earlier versions wrote none
            header.pop()
            checksums = [line.pop() if line else "" for line in lines]
            if checksums != list(_running_checksums(lines)):
                raise ValueError("a line has changed")
        if tuple(header) != Drawn.__struct_fields__:
            raise ValueError(f"unexpected columns {header}")
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        return msgspec.convert(rows, list[Drawn], strict=False)  # numbers are text in CSV
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            "sample_damaged",
            f"{layout.shown_of(layout.sample)} is damaged ({error}); draw again: "
            f"detic-crop audit {layout.quoted} --sample 200",
        ) from error


# --- tables.json: how the tables of a folder are written, whichever command writes them


class TableSettings(msgspec.Struct, frozen=True):
    """tables.json.

    Attributes:
        csv_safe: True if cells of audit.csv that a spreadsheet would take for formulas begin with ``'``.
        encounter: what makes an encounter, see `config.parse_encounter`; ``none`` for no such columns.
    """

    csv_safe: bool = False
    encounter: str = "none"

    def changed(self, csv_safe: bool | None = None, encounter: str | None = None) -> TableSettings:
        """Return the settings with others; None leaves one as it is."""
        return TableSettings(
            self.csv_safe if csv_safe is None else csv_safe,
            self.encounter if encounter is None else encounter,
        )


_table_settings = msgspec.json.Decoder(TableSettings)


def save_table_settings(folder: OutputFolder, settings: TableSettings) -> None:
    """Replace tables.json, unless it says so already.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    if settings != load_table_settings(folder):
        folder.write(folder.layout.tables_json, encode_sealed(settings))


def load_table_settings(folder: OutputFolder) -> TableSettings:
    """Return how the tables are written; where the file is damaged, the careful way."""
    path = folder.layout.tables_json
    if not is_there(path):
        return TableSettings()
    try:
        return decode_sealed(path.read_bytes(), _table_settings)
    except ValueError:
        return TableSettings(csv_safe=True)
