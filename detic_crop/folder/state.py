"""The documents of `.detic-crop` but the journal: their types, and how they are read and written."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.there import is_there
from detic_crop.folder.typed_json import decode, decode_sealed, encode, encode_sealed
from detic_crop.photos.labels import Labels, parse_labels
from detic_crop.photos.location import Location, file_or_object, parse
from detic_crop.photos.photo import Photo

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


class _SavedInput(msgspec.Struct, frozen=True, omit_defaults=True, rename={"where": "in"}):
    """One ``--in`` as listing.json has it: the first one's photos are those that no later one has."""

    where: str
    root: str
    keys: list[str] | None = None


class SavedListing(msgspec.Struct, frozen=True, omit_defaults=True):
    """listing.json.

    Attributes:
        root: folder below which most of the photos are.
        keys: photos of the last call, in input order.
        paths: key → location of those that are not at ``root/key``, and of photos of earlier calls.
        merged: present in folders that an earlier version merged in part.
    """

    root: str
    keys: list[str]
    paths: dict[str, str]
    saved_inputs: list[_SavedInput] = msgspec.field(default_factory=list, name="inputs")
    merged: dict[str, Any] | None = None

    @property
    def known_keys(self) -> list[str]:
        """Photos of the last call, then those of earlier calls."""
        return list(dict.fromkeys([*self.keys, *self.paths]))

    @property
    def inputs(self) -> list[Given]:
        """The inputs in the order in which they came; empty without photos."""
        if not self.saved_inputs:
            return [Given("", self.root, self.keys)] if self.keys else []
        first, *later = self.saved_inputs
        others = {key for saved in later for key in saved.keys or ()}
        keys = [key for key in self.keys if key not in others] if others else self.keys
        return [
            Given(first.where, first.root, keys),
            *(Given(saved.where, saved.root, saved.keys or []) for saved in later),
        ]

    def locations(self, keys: Sequence[str] | None = None) -> dict[str, Location]:
        """Return key → location of some photos; by default those of the last call."""
        keys = self.keys if keys is None else keys
        elsewhere = {key: parse(text) for key, text in self.paths.items()}
        usual = file_or_object(self.root).below(keys)
        return {key: elsewhere.get(key, location) for key, location in zip(keys, usual, strict=True)}


_listing = msgspec.json.Decoder(SavedListing)


def save_listing(folder: OutputFolder, photos: Sequence[Photo], inputs: Sequence[Given]) -> None:
    """Save the input order and where the photos are, for the tables and for later crops.

    Args:
        folder: the output folder.
        photos: all photos in input order.
        inputs: the inputs that they came from; locations below the first one's root are not spelled out.
    """
    elsewhere: dict[str, str] = {}
    root = inputs[0].root
    usual = file_or_object(root).below(photo.key for photo in photos)
    for photo, location in zip(photos, usual, strict=True):
        if photo.location == location:
            continue  # nearly all
        found = photo.location.absolute()
        if (public := found.redact()) != found:
            folder.private_locations[photo.key] = found
        if public != location:
            elsewhere[photo.key] = str(public)
    keys = {photo.key: None for photo in photos}
    # Photos of earlier calls that are not asked for now keep the place where they were.
    before = load_listing(folder)
    earlier = before.locations([key for key in before.known_keys if key not in keys])
    paths = elsewhere | {key: str(location) for key, location in earlier.items()}
    first, *later = inputs
    saved = [_SavedInput(first.where, first.root)]
    saved += [_SavedInput(given.where, given.root, list(given.keys)) for given in later]
    value = {"root": root, "inputs": saved, "keys": list(keys), "paths": paths}
    folder.write(folder.layout.listing, encode(value))


def load_listing(folder: OutputFolder) -> SavedListing:
    """Return the saved listing; an empty one when there is none.

    Raises:
        UsageError: the file is damaged.
    """
    layout = folder.layout
    if not is_there(layout.listing):
        return SavedListing("", [], {})
    try:
        return decode(layout.listing.read_bytes(), _listing)
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


class Part(msgspec.Struct, frozen=True):
    """part.json: a shard's part of an input; listing.json next to it has its photos.

    Attributes:
        input: the whole input.
        places: index in the whole input of each key of the listing, ascending.
        keys: hash of the keys of the listing.
        words: command that made it, without ``--out`` and ``--shard``.
    """

    input: WholeInput
    places: list[int]
    keys: str
    words: list[str]


_part = msgspec.json.Decoder(Part)


def save_part(folder: OutputFolder, part: Part) -> None:
    """Save which photos of an input fall to a shard."""
    folder.write(folder.layout.part, encode(part))


def load_part(folder: OutputFolder) -> Part | None:
    """Return the saved part of a shard; None where it is not there or damaged."""
    try:
        return decode(folder.layout.part.read_bytes(), _part)
    except (FileNotFoundError, ValueError):
        return None


# --- labels.csv and labels.json: the label table of a run


class _LabelMatches(msgspec.Struct, frozen=True):
    """labels.json.

    Attributes:
        key_column: column of labels.csv that names the photo.
        keys: photo of each row; None where there is none.
        table: CRC-32 of labels.csv; None in folders of earlier versions.
    """

    key_column: str
    keys: list[str | None]
    table: int | None = None


_label_matches = msgspec.json.Decoder(_LabelMatches)


def save_labels(folder: OutputFolder, labels: Labels | None, matches: Sequence[str | None]) -> None:
    """Save a copy of the label file, or remove an earlier one when there is none now."""
    if labels is None:
        folder.inside.remove(folder.layout.labels)
        folder.inside.remove(folder.layout.label_matches)
        return
    folder.write(folder.layout.labels, labels.data)
    matching = _LabelMatches(labels.key_column, list(matches), zlib.crc32(labels.data))
    folder.write(folder.layout.label_matches, encode_sealed(matching))


def load_labels(folder: OutputFolder) -> tuple[Labels | None, list[str | None]]:
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
        labels = parse_labels(data, matching.key_column, layout.labels.name)
        if len(matching.keys) != len(labels.rows):
            raise ValueError(f"expected {len(labels.rows)} matches, got {len(matching.keys)}")
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(
            "labels_damaged",
            f"{layout.shown_of(layout.label_matches)} or {layout.labels.name} is damaged; run the "
            "`detic-crop run` command again",
        ) from error
    return labels, matching.keys


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
            checksums = [line.pop() for line in lines]
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
