"""The settings of a run, each stated once: default, help, and the values it takes.

Two kinds: `CropConfig` decides what ends up in the files and is fingerprinted; `RunOptions` decides how
the work is done and may differ from one resume to the next.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import msgspec

from detic_crop.errors import UsageError

ALGORITHM = 3
"""Raised whenever the same settings begin to give other boxes or pixels."""

Fit: TypeAlias = Literal["stretch", "pad", "square"]
Size: TypeAlias = int | str
"""512, ``384x768`` (width x height), ``long:1600`` or ``native``; a square is its side."""
Format: TypeAlias = Literal["jpg", "png", "webp"]
Truncated: TypeAlias = Literal["keep", "fail"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
Decode: TypeAlias = Literal["full", "scaled"]
ExecutorName: TypeAlias = Literal["local", "ray"]
OutFormat: TypeAlias = Literal["files", "tar"]
Animals: TypeAlias = Literal["largest", "all"]
NotFound: TypeAlias = Literal["whole", "skip"]
KeptExif: TypeAlias = Literal["strip", "keep"]
Tiles: TypeAlias = Literal["none", "auto"]
BoxFormat: TypeAlias = Literal["xyxy", "xywh"]
FORMATS: tuple[Format, ...] = get_args(Format)
MODELS = (
    "auto, lite, lite:FILE, detic-swinb, detic-convnext, detic-r50, detic-r18, torchvision:NAME, "
    "hf:ID_OR_FOLDER, onnx:FILE, boxes:FILE, detectron2:CONFIG, A+B or wbf(A,B)"
)
ONNX_INPUT_WORDS: dict[str, tuple[str, ...]] = {
    "fitting": ("letterbox", "corner", "stretch"),
    "colour": ("rgb", "bgr"),
    "values": ("0-1", "0-255", "imagenet"),
}
"""What ``--onnx-input`` can say beside the size: of each kind one word."""
ENCOUNTERS = "folder, gap:30min, none, or a column of --labels"
DEFAULT_MAX_PIXELS = 200_000_000
DEFAULT_PHOTO_TIMEOUT = 60.0
MAX_SIZE = 8192


def parse_size(given: Any) -> Size:
    """Return a size of crops in its one form: 512, ``384x768`` (width x height), ``long:1600`` or ``native``.

    ``512x512`` and ``512`` in quotes are 512; capitals, ``×`` and blanks at the ends are understood.

    Raises:
        UsageError: it is none of these, or a side is out of range.
    """
    text = str(given).strip().lower() if type(given) in (int, str) else ""  # True is an int, too
    number = "([0-9]{1,9})"
    found = re.fullmatch(rf"native|(long:)?{number}(?: ?[x×] ?{number})?", text)
    if found is not None:
        is_long, *numbers = found.groups()
        sides = [int(digits) for digits in numbers if digits]
        if all(1 <= side <= MAX_SIZE for side in sides) and not (is_long and len(sides) == 2):
            if not sides or is_long:
                return f"long:{sides[0]}" if is_long else "native"
            return sides[0] if sides[0] == sides[-1] else f"{sides[0]}x{sides[1]}"
    raise UsageError(
        "bad_value",
        f"--size must be a side such as 512, width x height such as 384x768, long:1600 or native, with sides "
        f"from 1 to {MAX_SIZE}, got {given!r}",
    )


def parse_onnx_input(given: Any) -> str:
    """Return how a photo is shown to an ONNX model in its one form: ``640x480,letterbox,rgb,0-1``.

    Any of the four may be left out, and their order does not matter; 640 is 640x640.

    Raises:
        UsageError: a word is unknown, or there are two of a kind.
    """
    words = [word.strip() for word in str(given).strip().lower().split(",")]
    found: dict[str, str] = {}
    for word in words:
        sides = re.fullmatch(r"([0-9]{1,9})(?: ?[x×] ?([0-9]{1,9}))?", word)
        kind = next((kind for kind, known in ONNX_INPUT_WORDS.items() if word in known), "")
        if sides is not None:
            width, height = int(sides[1]), int(sides[2] or sides[1])
            is_size = all(32 <= side <= MAX_SIZE for side in (width, height))
            kind = "size" if is_size and word != "255" else ""  # who writes 255 means the values, 0-255
            word = f"{width}x{height}"
        if not kind or kind in found:
            raise UsageError(
                "bad_value",
                "--onnx-input must be a size (width x height, of 32 to 8192), letterbox, corner or stretch, "
                f"rgb or bgr, and 0-1, 0-255 or imagenet, joined by commas, got {given!r}",
            )
        found[kind] = word
    return ",".join(found[kind] for kind in ("size", *ONNX_INPUT_WORDS) if kind in found)


def onnx_input_size(words: str | None) -> tuple[int, int] | None:
    """Return width and height in what `parse_onnx_input` returns; None if it has none."""
    found = re.match(r"(\d+)x(\d+)", words or "")
    return (int(found[1]), int(found[2])) if found is not None else None


def parse_duration(text: str, option: str = "--time-limit") -> float:
    """Return the seconds in ``8h30m``, ``90m``, ``45s``, ``1d`` or a plain number of seconds.

    Raises:
        UsageError: the text is none of these, or the time is not positive.
    """
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    compact = text.strip().lower()
    number = r"\d+(?:\.\d+)?"
    seconds = 0.0
    if re.fullmatch(number, compact):
        seconds = float(compact)
    elif re.fullmatch(rf"(?:{number} ?[dhms]\s*)+", compact):
        seconds = sum(float(n) * units[u] for n, u in re.findall(f"({number}) ?([dhms])", compact))
    if seconds <= 0:
        raise UsageError("bad_value", f"{option} must be a duration such as 8h30m, 90m or 45s, got {text!r}")
    return seconds


def parse_encounter(text: str, option: str = "--encounter") -> str:
    """Return what makes an encounter, as ``folder``, ``gap:30min``, ``none`` or the name of a column.

    Raises:
        UsageError: the text is none of these, or its gap is no duration with a unit.
    """
    given = text.strip()
    if given.lower() in ("folder", "none"):
        return given.lower()
    if given.lower().startswith("gap:"):
        gap_seconds(given, option)
        return given.lower().replace(" ", "")
    if not given:
        raise UsageError("bad_value", f"{option} must be {ENCOUNTERS}, got {text!r}")
    return given


def gap_seconds(encounter: str, option: str = "--encounter") -> float | None:
    """Return the seconds of an ``--encounter gap:30min``; None of any other.

    Raises:
        UsageError: it is no duration with a unit.
    """
    kind, colon, gap = encounter.lower().partition(":")
    if kind != "gap" or not colon:
        return None
    spelled = re.sub(r"(?<=\d)\s*(minutes?|mins?)\b", "m", gap.strip())
    try:
        return parse_duration(spelled if spelled[-1:].isalpha() else "")
    except UsageError as error:
        raise UsageError(
            "bad_value",
            f"{option} must be gap: and a duration such as gap:30min or gap:2h, got {encounter!r}",
        ) from error


def parse_bytes(
    text: str, option: str = "--memory", least: int = 1_000_000, such_as: str = "8GB, 500MB or 2GiB"
) -> int:
    """Return the bytes in ``8GB``, ``1.5 GB``, ``512MiB`` or a plain number of bytes, at least `least`.

    Raises:
        UsageError: the text is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt]?)(i?)b?)", text.strip().lower())
    # A few bytes are not meant: who writes 8 means 8GB.
    if found is None or (text.strip().isdigit() and int(text) < least):
        raise UsageError("bad_value", f"{option} must be a number of bytes such as {such_as}, got {text!r}")
    number, unit, binary = found.groups()
    thousand = 1024.0 if binary else 1000.0
    return round(float(number) * thousand ** ("", "k", "m", "g", "t").index(unit))


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting; the command line and docs/options.md are made from this.

    Attributes:
        help: purpose of the setting, in one line.
        takes: the values it takes, in words, where it takes text that must not be empty.
        unset: what happens if it is not given, or the default as people write it; empty if `default` says it.
        metavar: placeholder of the value in the help.
        low: lowest value; a number only.
        high: highest value; a number only.
        example: a value that works; a number only.
        parse: function that reads what people write, such as ``8h30m``.
        form: function that gives any value its one form, or refuses it, where the other rules do not suffice.
        later: it came when folders without it existed: left out of what they record at its default.
        of_detector: what the detector was asked depends on it: kept boxes cannot answer for another value.
        option: name on the command line, if that is not the field's.
        name: the field.
        kind: type of the value.
        choices: all values, where there are only a few.
        default: value where it is not given; None where only `unset` can say what happens.
    """

    help: str
    takes: str = ""
    unset: str = ""
    metavar: str | None = None
    low: float = 0
    high: float = 0
    example: str = ""
    parse: Callable[[str], Any] | None = None
    form: Callable[[Any], Any] | None = None
    later: bool = False
    of_detector: bool = False
    option: str = ""
    name: str = ""
    kind: type = str
    choices: tuple[str, ...] = ()
    default: Any = None

    @property
    def text(self) -> str:
        """The line for people: help and values."""
        return f"{self.help}: {self.takes}" if self.takes else self.help

    def check(self, value: Any) -> Any:
        """Return `value` as the setting keeps it.

        Raises:
            UsageError: it is out of range or of another kind.
        """
        if value is None and self.default is None:
            return None
        if self.form is not None:
            return self.form(value)
        given = value
        if self.parse is not None and isinstance(value, str):
            value = self.parse(value)
        if self.choices:
            if value not in self.choices:
                self._refuse(f"{', '.join(self.choices[:-1])} or {self.choices[-1]}", value)
        elif self.kind is bool:
            if not isinstance(value, int) or value not in (0, 1):
                self._refuse("True or False", value)
            return bool(value)
        elif self.kind in (int, float):
            kinds = (int,) if self.kind is int else (int, float)
            valid = (
                isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high
            )
            if not valid:
                whole = "a whole number" if self.kind is int else "a number"
                limits = (
                    f"from {self.low} to {self.high}" if self.high < 1 << 40 else f"of at least {self.low}"
                )
                self._refuse(f"{whole} {limits}", given, f"; e.g. {self.option} {self.example}")
            return self.kind(value)  # 2 and 2.0 are one setting and must have one fingerprint
        elif self.kind is Path:
            return Path(value)
        elif self.takes and not (isinstance(value, str) and value.replace(",", " ").strip()):
            self._refuse(self.takes, value)
        return value

    def _refuse(self, expected: str, value: Any, advice: str = "") -> None:
        raise UsageError("bad_value", f"{self.option} must be {expected}, got {value!r}{advice}")


def _check(settings: CropConfig | RunOptions) -> None:
    """Refuse values out of range; keep the others in one form each."""
    for name, setting in SETTINGS[type(settings)].items():
        object.__setattr__(settings, name, setting.check(getattr(settings, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CropConfig:
    """Everything that changes a crop or a box; each field explains itself.

    In a folder's journal `model` is the one that ``auto`` stood for, `weights` is what the answers depend
    on: file name → sha256; and `confs`, where one of several joined models answers, the lowest score of a box
    that counts, by `Record.found_by`. `conf` is then the least of them.

    Raises:
        UsageError: a value is out of its range.
    """

    model: Annotated[str, Setting("what finds the boxes", takes=MODELS, metavar="NAME", of_detector=True)] = (
        "auto"
    )
    classes: Annotated[
        str | None,
        Setting(
            "classes whose boxes count",
            takes="marine, any, or names joined by commas",
            unset="marine; any with boxes:FILE; with onnx:FILE it depends on its classes",
            metavar="NAMES",
        ),
    ] = None
    vocabulary: Annotated[
        str | None,
        Setting(
            "what Detic or a zero-shot model of hf: looks for",
            takes="openimages, lvis, objects365, coco, FILE.npy, or words joined by commas; hf: takes words",
            unset="openimages; whale, dolphin … with hf:",
            metavar="NAME",
            of_detector=True,
        ),
    ] = None
    conf: Annotated[
        float | None,
        Setting(
            "lowest score of a box that counts", low=0, high=1, example="0.3", unset="each model has its own"
        ),
    ] = None
    tiles: Annotated[
        Tiles,
        Setting(
            "where nothing is found in a photo, look again in overlapping tiles", later=True, of_detector=True
        ),
    ] = "none"
    animals: Annotated[
        Animals, Setting("crop the largest animal of each photo, or every animal", later=True)
    ] = "largest"
    max_animals: Annotated[
        int | None,
        Setting(
            "most animals of one photo, the largest; with --animals all",
            low=1,
            high=50,
            example="4",
            unset="all",
            later=True,
        ),
    ] = None
    min_side: Annotated[
        int | None,
        Setting(
            "make no crop of an animal whose box has a shorter side, in pixels",
            low=1,
            high=1 << 31,
            example="64",
            unset="crop all",
            later=True,
        ),
    ] = None
    not_found: Annotated[
        NotFound,
        Setting("where no animal is found, resize the whole photo, or make no crop", later=True),
    ] = "whole"
    scale: Annotated[
        float,
        Setting("enlarge the chosen box about its centre by this factor", low=0.1, high=10, example="1.2"),
    ] = 1.2
    size: Annotated[
        Size,
        Setting(
            "size of the crops, in pixels",
            takes="512 (square), 384x768 (width x height), long:1600 (longest side, never enlarged) or "
            "native (not resized)",
            metavar="SIZE",
            form=parse_size,
        ),
    ] = 512
    fit: Annotated[
        Fit,
        Setting("stretch the box to the size, pad it with bars, or grow it to the size's proportions first"),
    ] = "stretch"
    format: Annotated[Format, Setting("file format of the crops")] = "jpg"
    quality: Annotated[int, Setting("quality of jpg and webp, 1 to 100", low=1, high=100, example="95")] = 95
    truncated: Annotated[
        Truncated,
        Setting(
            "crop a cut-off or damaged photo as far as it goes, or give it a failed row", of_detector=True
        ),
    ] = "keep"
    decode: Annotated[Decode, Setting("decode all pixels, or only as finely as the crop needs (faster)")] = (
        "full"
    )
    precision: Annotated[
        Precision, Setting("number format that the network computes in", of_detector=True)
    ] = "float32"
    detector_size: Annotated[
        int | None,
        Setting(
            "shortest side, in pixels, at which the network sees a photo; side of what onnx:FILE sees",
            low=32,
            high=8192,
            example="800",
            unset="as it was trained",
            of_detector=True,
        ),
    ] = None
    out_format: Annotated[
        OutFormat, Setting("write one file for each crop, or tar files as WebDataset reads them", later=True)
    ] = "files"
    box_format: Annotated[
        BoxFormat | None,
        Setting(
            "what the four numbers of boxes:FILE are: corners, or left, top, width, height",
            unset="as the file says",
            later=True,
            of_detector=True,
        ),
    ] = None
    onnx_input: Annotated[
        str | None,
        Setting(
            "how onnx:FILE is shown a photo, where the file does not say it",
            takes="size, letterbox, corner or stretch, rgb or bgr, 0-1, 0-255 or imagenet, joined by commas",
            unset="as the file says, else as its kind of model is trained",
            metavar="640x640,letterbox,rgb,0-1",
            form=parse_onnx_input,
            later=True,
            of_detector=True,
        ),
    ] = None
    exif: Annotated[
        KeptExif,
        Setting(
            "EXIF of the crops: none, or what of the photo's is true of it; the position only with --gps",
            later=True,
        ),
    ] = "strip"
    metadata: Annotated[
        bool,
        Setting("add taken, camera, lens and focal_mm to the tables, as the photos' EXIF says", later=True),
    ] = False
    gps: Annotated[
        bool,
        Setting(
            "with --metadata, add latitude and longitude; with --exif keep, keep the position", later=True
        ),
    ] = False
    max_bytes: Annotated[
        int | None,
        Setting(
            "most bytes of a crop's file: quality falls down to 50, then long and native crops are made "
            "smaller, and others fail",
            low=10_000,
            high=1 << 60,
            example="3MB",
            unset="no limit",
            metavar="3MB",
            parse=partial(parse_bytes, option="--max-bytes", least=10_000, such_as="3MB, 500kB or 2MiB"),
            later=True,
        ),
    ] = None
    weights: dict[str, str] = field(default_factory=dict)
    confs: dict[str, float] = field(default_factory=dict)
    algorithm: int = ALGORITHM

    def __post_init__(self) -> None:
        _check(self)

    @property
    def reads_exif(self) -> bool:
        """Whether anything of the photos' EXIF but the orientation is wanted."""
        return self.metadata or self.exif == "keep"

    def conf_of(self, found_by: str) -> float:
        """Return the lowest score of a box that counts, by `Record.found_by`; 0 if none was given."""
        return self.confs.get(found_by, self.conf or 0.0)

    @property
    def conf_text(self) -> str:
        """The lowest score of a box that counts, for people."""
        if self.conf is None:
            return "the model’s own"
        if len(set(self.confs.values())) < 2:
            return f"{self.conf:g}"
        return "; ".join(f"{conf:g} ({found_by})" for found_by, conf in self.confs.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, one per field.

        Settings that came in later versions are left out at their defaults: so the fingerprints of older
        folders stay as they are.
        """
        values = dataclasses.asdict(self)
        for name, setting in SETTINGS[CropConfig].items():
            if setting.later and values[name] == setting.default:
                del values[name]
        if not self.confs:
            del values["confs"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CropConfig:
        """Return the config that `to_dict` wrote.

        Raises:
            UsageError: it has fields or values that this version does not know.
        """
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise _other_version(f"it records {', '.join(unknown)}")
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise _other_version(f"of its settings: {error}") from error

    def fingerprint(self) -> str:
        """Return a short hash over every field: equal fingerprints give equal crops."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: CropConfig) -> list[str]:
        """Return one phrase for each field that differs: the value of `other`, then ours."""
        ours, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [_change(name, theirs[name], ours[name]) for name in ours if ours[name] != theirs[name]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is done; none of this changes a crop. Each field explains itself.

    `time_limit` is in seconds, or text as on the command line: ``8h30m``; `memory` in bytes, or ``8GB``.

    Raises:
        UsageError: a value is out of its range.
    """

    device: Annotated[
        str,
        Setting(
            "where the model runs: auto (all GPUs, or the CPU), cpu, cuda, cuda:N, mps, or cuda:0,cuda:1 …",
            metavar="NAME",
        ),
    ] = "auto"
    workers: Annotated[
        int | None,
        Setting(
            "threads that work on photos, in each process",
            low=1,
            high=256,
            example="4",
            unset="fits the machine",
        ),
    ] = None
    memory: Annotated[
        int | None,
        Setting(
            "memory that all photos at work may take together, on each machine",
            low=1,
            high=1 << 60,
            example="8GB",
            unset="half of what the machine or its container has",
            metavar="8GB",
            parse=parse_bytes,
        ),
    ] = None
    executor: Annotated[ExecutorName, Setting("work on this machine, or on the nodes of a Ray cluster")] = (
        "local"
    )
    ray_address: Annotated[
        str | None,
        Setting(
            "address of the Ray cluster",
            takes="auto, local or HOST:PORT",
            unset="RAY_ADDRESS, else a Ray on this machine",
            metavar="HOST:PORT",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Setting(
            "photos that the network gets at a time on a GPU",
            low=1,
            high=256,
            example="8",
            unset="fits the device",
        ),
    ] = None
    weights_file: Annotated[
        Path | None,
        Setting("a checkpoint to use instead of the one that was pulled", metavar="FILE", option="--weights"),
    ] = None
    names: Annotated[
        Path | None,
        Setting(
            "text file with the class names of --weights, --vocabulary FILE.npy or onnx:FILE",
            metavar="TXT",
        ),
    ] = None
    per_tar: Annotated[
        int, Setting("most photos whose crops are in one tar file", low=1, high=1_000_000, example="5000")
    ] = 5000
    labels: Annotated[
        Path | None,
        Setting(
            "your table of labels, CSV or .xlsx: audit.csv follows it row by row, now and in later runs",
            metavar="TABLE",
        ),
    ] = None
    labels_key: Annotated[str, Setting("column of --labels that names the photo", metavar="COLUMN")] = "image"
    no_labels: Annotated[bool, Setting("forget the labels of an earlier run")] = False
    max_pixels: Annotated[
        int,
        Setting(
            "give photos with more pixels a failed row", low=1, high=1 << 40, example=str(DEFAULT_MAX_PIXELS)
        ),
    ] = DEFAULT_MAX_PIXELS
    photo_timeout: Annotated[
        float,
        Setting(
            "give a photo a failed row if a store or web server takes longer to send it",
            unset=f"{DEFAULT_PHOTO_TIMEOUT:g}s",
            low=0.001,
            high=1 << 40,
            example="60s",
            metavar="60s",
            parse=partial(parse_duration, option="--photo-timeout"),
        ),
    ] = DEFAULT_PHOTO_TIMEOUT
    shard: Annotated[
        str | None, Setting("do only part k of N, counted from 0; auto: as the array job says", metavar="k/N")
    ] = None
    add: Annotated[bool, Setting("add the photos of another --in to those that --out has")] = False
    limit: Annotated[
        int | None, Setting("do only the first N photos", low=1, high=1 << 60, example="100", metavar="N")
    ] = None
    time_limit: Annotated[
        float | None,
        Setting(
            "start no photo after this time; the same command continues later",
            low=0.001,
            high=1 << 40,
            example="8h30m",
            metavar="8h30m",
            parse=parse_duration,
        ),
    ] = None
    overwrite: Annotated[
        bool, Setting("remove what an earlier run made in --out, then start from the beginning")
    ] = False
    discard_review: Annotated[bool, Setting("allow --overwrite to remove a reviewer's verdicts")] = False
    dry_run: Annotated[bool, Setting("check everything, say what would be done, write nothing")] = False
    csv_safe: Annotated[
        bool,
        Setting(
            "put a ' before cells of audit.csv that spreadsheets take for formulas, now and in later commands"
        ),
    ] = False
    encounter: Annotated[
        str | None,
        Setting(
            "what makes an encounter, for the columns encounter and burst, now and in later commands",
            takes=ENCOUNTERS,
            unset="as the last time, at first none",
            metavar="HOW",
            parse=parse_encounter,
        ),
    ] = None
    quiet: Annotated[bool, Setting("show no progress bar and no summary")] = False
    profile: Annotated[bool, Setting("say at the end where the time went")] = False

    def __post_init__(self) -> None:
        _check(self)
        if self.ray_address is not None and self.executor != "ray":
            raise UsageError(
                "option_not_applicable",
                "--ray-address goes with --executor ray only; add that, or leave it out",
            )
        if self.no_labels and self.labels is not None:
            raise UsageError(
                "option_not_applicable", "--no-labels and --labels exclude each other; leave one out"
            )
        one = r"(cpu|cuda(:\d+)?|mps)"
        if not re.fullmatch(rf"auto|{one}(,{one})*", str(self.device)):
            raise UsageError(
                "bad_value",
                "--device must be auto, cpu, cuda, cuda:N or mps, or several joined by commas "
                f"(cuda:0,cuda:1), got {self.device!r}",
            )


def _other_version(why: str) -> UsageError:
    return UsageError(
        "other_version",
        f"the folder was made by another version of detic-crop ({why}); use that version or another --out",
    )


def _change(name: str, before: Any, now: Any) -> str:
    if name == "weights" and set(before) == set(now):  # a person does not compare hashes
        changed = [file for file in now if now[file] != before[file]]
        return f"the content of {', '.join(changed)} has changed since"
    if name == "weights":
        return f"weights were {', '.join(before) or 'none'}, now {', '.join(now) or 'none'}"
    return f"{name} was {_spoken(before)}, now {_spoken(now)}"


def _spoken(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items()) or "none"
    return "not given" if value is None else repr(value)


def _settings_of(kind: type[Any]) -> dict[str, Setting]:
    types = typing.get_type_hints(kind, include_extras=True)
    found = {}
    for each in dataclasses.fields(kind):
        hint = types[each.name]
        if get_origin(hint) is not Annotated:
            continue
        hint, setting = get_args(hint)
        alone = get_args(hint)[0] if type(None) in get_args(hint) else hint
        found[each.name] = dataclasses.replace(
            setting,
            name=each.name,
            option=setting.option or "--" + each.name.replace("_", "-"),
            kind=alone if isinstance(alone, type) else str,
            choices=get_args(alone) if get_origin(alone) is Literal else (),
            default=each.default,
        )
    return found


SETTINGS = {kind: _settings_of(kind) for kind in (CropConfig, RunOptions)}
"""What a person can set, by field."""
