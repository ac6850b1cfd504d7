"""The settings of a run, checked once.

Two kinds: `CropConfig` decides what ends up in the files and is fingerprinted; `RunOptions` decides how
the work is done and may differ from one resume to the next.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from detic_crop.errors import UsageError

ALGORITHM = 3
"""Raised whenever the same settings begin to give other boxes or pixels."""

Fit: TypeAlias = Literal["stretch", "pad", "square"]
Format: TypeAlias = Literal["jpg", "png", "webp"]
Truncated: TypeAlias = Literal["keep", "fail"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
Decode: TypeAlias = Literal["full", "scaled"]
ExecutorName: TypeAlias = Literal["local", "ray"]
OutFormat: TypeAlias = Literal["files", "tar"]
BoxFormat: TypeAlias = Literal["xyxy", "xywh"]
FITS: tuple[Fit, ...] = get_args(Fit)
FORMATS: tuple[Format, ...] = get_args(Format)
TRUNCATED: tuple[Truncated, ...] = get_args(Truncated)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DECODES: tuple[Decode, ...] = get_args(Decode)
EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)
OUT_FORMATS: tuple[OutFormat, ...] = get_args(OutFormat)
BOX_FORMATS: tuple[BoxFormat, ...] = get_args(BoxFormat)
MODELS = "auto, lite, detic-swinb, detic-convnext, detic-r50, detic-r18, boxes:FILE or detectron2:CONFIG"
DEFAULT_MAX_PIXELS = 200_000_000
MAX_SIZE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class CropConfig:
    """Everything that changes a crop or a box.

    Attributes:
        model: ``auto``, ``lite``, ``detic-…``, ``boxes:FILE`` or ``detectron2:CONFIG``; in a folder's journal
            the one that ``auto`` stood for.
        classes: ``marine``, ``any``, or class names joined by commas; None is ``marine``, or ``any`` where
            the vocabulary is one's own, or the boxes are.
        vocabulary: what Detic is asked for: a vocabulary's name, a ``.npy`` file, or words joined by commas;
            None is Open Images.
        conf: lowest score of an eligible box; None takes the model's own default.
        scale: enlargement of both sides of the chosen box.
        size: side of the square crops, pixels.
        fit: ``stretch`` resizes the rectangle as it is, ``pad`` letterboxes, ``square`` grows it first.
        format: file format of the crops.
        quality: 1–100, of JPEG and WebP; PNG ignores it.
        truncated: crop a truncated or damaged photo as far as it goes, or fail it.
        decode: ``full``, or ``scaled``: no finer than detector and crop need, see `images.partial`.
        precision: of Detic's network.
        detector_size: shortest side, in pixels, at which Detic sees a photo; None is 800.
        out_format: ``files``, or ``tar``: the crops in tar files as WebDataset reads them, see
            `runs.tar_crops`.
        box_format: what four numbers of a boxes file are: ``xyxy``, corners, or ``xywh``, left, top, width,
            height; None reads it off the file.
        weights: file name → sha256 of what the answers depend on; in a folder's journal.
        algorithm: see `ALGORITHM`.

    Raises:
        UsageError: a value is out of its range.
    """

    model: str = "auto"
    classes: str | None = None
    vocabulary: str | None = None
    conf: float | None = None
    scale: float = 1.2
    size: int = 512
    fit: Fit = "stretch"
    format: Format = "jpg"
    quality: int = 95
    truncated: Truncated = "keep"
    decode: Decode = "full"
    precision: Precision = "float32"
    detector_size: int | None = None
    out_format: OutFormat = "files"
    box_format: BoxFormat | None = None
    weights: dict[str, str] = field(default_factory=dict)
    algorithm: int = ALGORITHM

    def __post_init__(self) -> None:
        _number("--conf", self.conf, 0, 1, "0.3", optional=True)
        _number("--scale", self.scale, 0.1, 10, "1.2")
        # 2 and 2.0 are one setting and must have one fingerprint.
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "conf", None if self.conf is None else float(self.conf))
        _number("--size", self.size, 1, MAX_SIZE, "512", whole=True)
        _number("--quality", self.quality, 1, 100, "95", whole=True)
        _one_of("--fit", self.fit, FITS)
        _one_of("--format", self.format, FORMATS)
        _one_of("--truncated", self.truncated, TRUNCATED)
        _one_of("--decode", self.decode, DECODES)
        _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--out-format", self.out_format, OUT_FORMATS)
        if self.box_format is not None:
            _one_of("--box-format", self.box_format, BOX_FORMATS)
        _number("--detector-size", self.detector_size, 32, 8192, "800", whole=True, optional=True)
        _text("--model", self.model, MODELS)
        if self.classes is not None:
            _text("--classes", self.classes, "marine, any, or names joined by commas")
        if self.vocabulary is not None:
            _text("--vocabulary", self.vocabulary, "a vocabulary's name, FILE.npy, or words joined by commas")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, one per field; what came later is left out at its default, so that the
        fingerprints of older folders stay as they are."""
        values = dataclasses.asdict(self)
        if self.out_format == "files":
            del values["out_format"]
        if self.box_format is None:
            del values["box_format"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CropConfig:
        """The config that `to_dict` wrote; fields this version does not know are refused."""
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise UsageError(
                f"the folder was made by another version of detic-crop (it records {', '.join(unknown)}); "
                "use that version or another --out"
            )
        return cls(**values)

    def fingerprint(self) -> str:
        """Short hash over every field: equal fingerprints give equal crops."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: CropConfig) -> list[str]:
        """One phrase per field that differs, ours second."""
        ours, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [_change(name, theirs[name], ours[name]) for name in ours if ours[name] != theirs[name]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is done; none of this changes a crop.

    Attributes:
        device: ``auto`` (all GPUs, else the best device), ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or several
            of these joined by commas: then one process for each.
        workers: threads that work on photos, in each process; None takes a number that fits the machine.
        executor: ``local``, or ``ray``: on the nodes of a Ray cluster.
        ray_address: of the cluster, as for `ray.init`; None takes RAY_ADDRESS, else starts a Ray on this
            machine.
        batch_size: photos that Detic is given at once on a GPU; None takes a number that fits the device.
        weights_file: a checkpoint instead of the pulled one.
        names: text file with the class names of a vocabulary of one's own.
        per_tar: photos in each tar file of ``out_format="tar"``, at most.
        labels: CSV whose rows the audit follows.
        labels_key: its column that names the photo.
        max_pixels: larger photos become failed rows.
        shard: ``k/N``: do part k of N of the photos, counted from 0; or ``auto``, see `runs.shards`.
        add: put the photos of another input into a folder that has some already.
        limit: look at the first so many photos only.
        time_limit: seconds after which no new photo is begun.
        overwrite: remove what an earlier run made, then start anew.
        discard_review: allow `overwrite` to remove a reviewer's verdicts.
        dry_run: look and report, write nothing.
        quiet: no progress bar.
        profile: say where the time went.
    """

    device: str = "auto"
    workers: int | None = None
    executor: ExecutorName = "local"
    ray_address: str | None = None
    batch_size: int | None = None
    weights_file: Path | None = None
    names: Path | None = None
    per_tar: int = 5000
    labels: Path | None = None
    labels_key: str = "image"
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard: str | None = None
    add: bool = False
    limit: int | None = None
    time_limit: float | None = None
    overwrite: bool = False
    discard_review: bool = False
    dry_run: bool = False
    quiet: bool = False
    profile: bool = False

    def __post_init__(self) -> None:
        _number("--workers", self.workers, 1, 256, "4", whole=True, optional=True)
        _number("--batch-size", self.batch_size, 1, 256, "8", whole=True, optional=True)
        _number("--per-tar", self.per_tar, 1, 1_000_000, "5000", whole=True)
        _number("--max-pixels", self.max_pixels, 1, 1 << 40, str(DEFAULT_MAX_PIXELS), whole=True)
        _number("--limit", self.limit, 1, 1 << 60, "100", whole=True, optional=True)
        _number("--time-limit", self.time_limit, 0.001, 1 << 40, "8h30m", optional=True)
        _one_of("--executor", self.executor, EXECUTORS)
        if self.ray_address is not None:
            _text("--ray-address", self.ray_address, "auto, local or HOST:PORT")
            if self.executor != "ray":
                raise UsageError("--ray-address goes with --executor ray only; add that, or leave it out")
        for name in ("weights_file", "names", "labels"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else Path(value))
        one = r"(cpu|cuda(:\d+)?|mps)"
        if not re.fullmatch(rf"auto|{one}(,{one})*", str(self.device)):
            raise UsageError(
                "--device must be auto, cpu, cuda, cuda:N or mps, or several joined by commas "
                f"(cuda:0,cuda:1), got {self.device!r}"
            )


def parse_duration(text: str) -> float:
    """Seconds in ``8h30m``, ``90m``, ``45s``, ``1d`` or a plain number of seconds.

    Raises:
        UsageError: it reads as none of these, or is not positive.
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
        raise UsageError(f"--time-limit must be a duration such as 8h30m, 90m or 45s, got {text!r}")
    return seconds


def _number(
    option: str,
    value: float | None,
    low: float,
    high: float,
    example: str,
    *,
    whole: bool = False,
    optional: bool = False,
) -> None:
    if value is None and optional:
        return
    kinds = (int,) if whole else (int, float)
    valid = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    if not valid:
        kind = "a whole number" if whole else "a number"
        raise UsageError(
            f"{option} must be {kind} from {low} to {high}, got {value!r}; e.g. {option} {example}"
        )


def _change(name: str, before: Any, now: Any) -> str:
    if name == "weights" and set(before) == set(now):  # hashes say nothing to a person
        changed = [file for file in now if now[file] != before[file]]
        return f"the content of {', '.join(changed)} has changed since"
    if name == "weights":
        return f"weights were {', '.join(before) or 'none'}, now {', '.join(now) or 'none'}"
    return f"{name} was {_spoken(before)}, now {_spoken(now)}"


def _spoken(value: Any) -> str:
    return "not given" if value is None else repr(value)


def _text(option: str, value: str, expected: str) -> None:
    if not isinstance(value, str) or not value.replace(",", " ").strip():
        raise UsageError(f"{option} must be {expected}, got {value!r}")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{option} must be {', '.join(allowed[:-1])} or {allowed[-1]}, got {value!r}")
