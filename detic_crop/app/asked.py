"""What a job may be asked for: the settings of each command, and the command line that they make.

Settings of crops and runs come from `config`, those that only one command has from the table below. The page
shows what `shown` returns, the API takes what `order_of` understands, and the command line checks it again.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from detic_crop.app.refusals import RefusedError
from detic_crop.app.roots import Roots
from detic_crop.commands.headings import heading_of
from detic_crop.commands.settings import with_settings
from detic_crop.commands.signature import RECROP
from detic_crop.config import MODELS, SETTINGS, CropConfig, RunOptions, Setting
from detic_crop.detectors.families import ModelRequest, family_of, parts_of
from detic_crop.detectors.joined.names import written
from detic_crop.errors import UsageError
from detic_crop.exports.base import BOXES, OF, PART, PICTURES
from detic_crop.exports.formats import FORMATS
from detic_crop.keywords import in_python

_LONGEST_TEXT = 4096
_NUMBER = {"low": 0, "high": 1 << 53}


def _own(name: str, help: str, **more: Any) -> Setting:
    """Return a setting that is no field of a config."""
    return Setting(help, name=name, option="--" + name.replace("_", "-"), **more)


_SAMPLE = (
    _own("sample", "draw so many photos at random for review", kind=int, example="200", **_NUMBER),
    _own(
        "seed", "seed of the sample", kind=int, unset="the earlier sample's, else 0", example="1", **_NUMBER
    ),
    _own(
        "margin",
        "say how many photos to draw for a 95 % interval of so many percentage points",
        kind=float,
        low=0.01,
        high=50,
        example="3",
    ),
    _own("xlsx", "also write audit.xlsx, a spreadsheet", kind=bool, default=False),
    _own("manifest", "also write manifest.csv: SHA-256 of every photo and crop", kind=bool, default=False),
)
_EXPORT = (
    _own("to", "format of the export", choices=tuple(FORMATS)),
    _own("of", "whole photos or crops", choices=OF, unset="what suits the format"),
    _own("boxes", "which boxes", choices=BOXES, unset="chosen: as corrected by review"),
    _own("pictures", "how pictures get there", choices=PICTURES, unset="link, where the disk can"),
    _own("label", "label column that names the class; folder: the photo's folder"),
    _own("individual", "label column of the individual"),
    _own("species", "label column of the species"),
    _own("part", "train or test, where names tell them apart", choices=PART, unset="train"),
    _own("test", "a second output folder, which becomes the part test", kind=Path),
    _own("files", "number of files, for tfrecord", kind=int, low=1, high=100_000, example="16"),
    _own("title", "title of the data set, for kaggle"),
    _own("user", "your account's name, for kaggle"),
    _own("licence", "licence of the data set, for kaggle"),
)
_FORCE = (_own("force", "write it even if it does not help", kind=bool, default=False),)

_CROPS = SETTINGS[CropConfig]
_WORK = SETTINGS[RunOptions]
_RUN_OPTIONS = (
    *("labels", "labels_key", "no_labels", "encounter", "limit", "add", "overwrite", "discard_review"),
    *("csv_safe", "max_pixels", "per_tar", "weights_file", "names"),
    *("device", "workers", "memory", "batch_size", "time_limit"),
)
_RECROP_OPTIONS = tuple(name for name in RECROP[RunOptions] if name not in ("quiet", "profile"))


@dataclass(frozen=True, slots=True)
class Asking:
    """What one command may be asked for.

    Attributes:
        name: the command.
        reads: what `input` is: ``photos`` or ``cropped``.
        makes: what `output` is: ``folder``, ``new folder``, ``file``, or empty where there is none.
        settings: by name.
        changes: a setting that is not given stays as it was.
    """

    name: str
    reads: str
    makes: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    changes: bool = False


def _settings(*own: Setting, crops: Sequence[str] = (), work: Sequence[str] = ()) -> dict[str, Setting]:
    given = {setting.name: setting for setting in own}
    return given | {name: _CROPS[name] for name in crops} | {name: _WORK[name] for name in work}


COMMANDS = {
    asking.name: asking
    for asking in (
        Asking("run", "photos", "folder", _settings(crops=tuple(_CROPS), work=_RUN_OPTIONS)),
        Asking(
            "recrop",
            "cropped",
            "folder",
            _settings(crops=RECROP[CropConfig], work=_RECROP_OPTIONS),
            changes=True,
        ),
        Asking("audit", "cropped", "", _settings(*_SAMPLE, work=("encounter",)), changes=True),
        Asking("apply", "cropped", "", _settings(work=("workers", "memory"))),
        Asking("teach", "cropped", "file", _settings(*_FORCE, work=("memory",))),
        Asking("export", "cropped", "new folder", _settings(*_EXPORT)),
    )
}
"""The commands of the app, by name."""


class SettingView(msgspec.Struct):
    """One setting, as a form shows it.

    Attributes:
        name: what the API calls it.
        option: what the command line calls it.
        type: ``integer``, ``number``, ``boolean``, ``choice``, ``path`` or ``text``.
        help: purpose, in one line.
        takes: the values it takes in words, where it is a text.
        choices: all values, of a choice.
        default: value where it is not given; null where `unset` says what happens then.
        unset: what happens where it is not given, for people.
        low: lowest value, of a number.
        high: highest value, of a number.
        example: a value that works.
        is_of_crops: whether it changes the crops; others say how the work is done.
        heading: what it belongs to; empty: nothing.
    """

    name: str
    option: str
    type: str
    help: str
    takes: str
    choices: list[str]
    default: str | float | bool | None
    unset: str
    low: float | None
    high: float | None
    example: str
    is_of_crops: bool
    heading: str


class CommandView(msgspec.Struct):
    """One command, as a form shows it.

    Attributes:
        name: the command.
        reads: what ``input`` is: ``photos`` (a folder of photos) or ``cropped`` (an output folder).
        makes: what ``output`` is: ``folder``, ``new folder``, ``file``, or empty where there is none.
        settings: what it may be asked for.
    """

    name: str
    reads: str
    makes: str
    settings: list[SettingView]


def shown() -> list[CommandView]:
    """Return all commands with their settings."""
    return [
        CommandView(
            asking.name, asking.reads, asking.makes, [setting_view(s) for s in asking.settings.values()]
        )
        for asking in COMMANDS.values()
    ]


def setting_view(setting: Setting) -> SettingView:
    """Return a setting as a form shows it."""
    kinds: dict[type, str] = {int: "integer", float: "number", bool: "boolean", Path: "path"}
    is_text = setting.parse is not None or setting.form is not None
    kind = "choice" if setting.choices else "text" if is_text else kinds.get(setting.kind, "text")
    is_number = kind in ("integer", "number")
    default = setting.default if isinstance(setting.default, str | int | float | bool) else None
    return SettingView(
        name=setting.name,
        option=setting.option,
        type=kind,
        help=in_python(setting.help),
        takes=setting.takes,
        choices=list(setting.choices),
        default=default,
        unset=setting.unset,
        low=setting.low if is_number else None,
        high=setting.high if is_number else None,
        example=setting.example or setting.metavar or "",
        is_of_crops=setting.name in _CROPS,
        heading=heading_of(setting.name),
    )


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it will be done.

    Attributes:
        command: name of the command.
        arguments: the command line after ``detic-crop``.
        folders: output folders that it reads or writes.
        input, output: paths; `output` is empty where the command has none.
        settings: as they were understood.
    """

    command: str
    arguments: list[str]
    folders: list[str]
    input: str
    output: str
    settings: dict[str, Any]


def order_of(roots: Roots, command: str, input: str, output: str | None, given: Mapping[str, Any]) -> Order:
    """Return what is to be done; all paths in it are in the roots.

    Args:
        roots: where everything must be.
        command: name of the command.
        input, output: paths as given.
        given: settings as given: JSON values, or texts as on the command line.

    Raises:
        RefusedError: a path is missing or outside.
        UsageError: there is no such command or setting, or a value is out of range.
    """
    asking = COMMANDS.get(command)
    if asking is None:
        raise RefusedError(400, "no_such_command", f"expected one of {', '.join(COMMANDS)}, got {command!r}")
    if not input:  # a variable that was never set must not mean all that there is
        raise RefusedError(400, "missing_input", f"{command} needs input: {asking.reads}")
    source = roots.folder(input)
    target = _target(roots, asking, output)
    values = checked(roots, asking.settings, given)
    if command == "export" and "to" not in values:
        raise RefusedError(400, "missing_setting", f"export needs to: one of {', '.join(FORMATS)}")
    words = [command, f"--in={source}"] if asking.reads == "photos" else [command, source]
    words += [f"--out={target}"] if target else []
    for name, value in values.items():
        words += _words(asking.settings[name], value, asking.changes)
    folders = [source] if asking.reads == "cropped" else []
    folders += [target] if target and asking.makes != "file" else []
    folders += [str(values["test"])] if "test" in values else []
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return Order(command, words, folders, source, target, settings)


def _target(roots: Roots, asking: Asking, output: str | None) -> str:
    """Return the path of what a command makes; empty if it makes nothing of its own.

    Raises:
        RefusedError: it is missing, outside, or not where a folder is.
    """
    if not asking.makes:
        if output:
            raise RefusedError(400, "no_output", f"{asking.name} has no output; leave it out")
        return ""
    if not output:
        raise RefusedError(400, "missing_output", f"{asking.name} needs output: {asking.makes}")
    path = roots.path(output)
    if path in roots.paths:
        raise RefusedError(
            400, "output_is_root", f"expected a folder below {path} as output, got that itself"
        )
    if not os.path.isdir(os.path.dirname(path)):
        raise RefusedError(
            404, "no_such_folder", f"expected the folder {os.path.dirname(path)}; make it first"
        )
    return path


def checked(roots: Roots, known: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are kept, without those that are null.

    Raises:
        UsageError: there is no such setting, or a value is out of range.
        RefusedError: a file or folder that one names is not in the roots.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name.replace("-", "_").lower(), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise UsageError("unknown_setting", f"unexpected setting {name!r:.100}; {hint}")
    values = {name: _checked(roots, known[name], value) for name, value in given.items() if value is not None}
    fields = {name: value for name, value in values.items() if name in _CROPS or name in _WORK}
    with_settings(CropConfig(), RunOptions(), fields)
    return values


def _checked(roots: Roots, setting: Setting, value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT or "\0" in value:
            raise UsageError("bad_value", f"{setting.option} must be a text of at most {_LONGEST_TEXT} signs")
        value = _read(setting, value)
    elif setting.kind is Path or (setting.kind is str and not isinstance(value, int)):
        raise UsageError("bad_value", f"{setting.option} must be a text, got {value!r:.100}")
    value = setting.check(value)
    if setting.name == "model":
        return model_inside(roots, value)
    if setting.name == "test":
        return Path(roots.folder(str(value)))
    if setting.kind is Path or (setting.name == "vocabulary" and _is_file(value)):
        return setting.kind(roots.file(str(value)))
    return value


def _read(setting: Setting, text: str) -> Any:
    """Return the value that a text stands for; one that stands for none stays, and is refused later."""
    if setting.parse is not None or setting.form is not None or setting.choices:
        return text
    if setting.kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    try:
        return setting.kind(text) if setting.kind in (int, float) else text
    except ValueError:
        return text


def model_inside(roots: Roots, name: str) -> str:
    """Return the name of a model whose files are in the roots, with their whole paths.

    Raises:
        UsageError: there is no such model.
        RefusedError: a file of it is not in the roots.
    """

    def one(model: str) -> str:
        if model == "auto":
            return model
        family, rest = family_of(model), ModelRequest(name=model).rest
        if not rest or not family.is_path(rest):
            return model
        path = roots.path(rest)
        if not os.path.exists(path):
            raise RefusedError(404, "no_such_file", f"expected a model, there is nothing at {path}")
        return f"{model.partition(':')[0]}:{path}"

    try:
        return written(parts_of(name), one)
    except UsageError as error:
        if error.code != "unknown_model":
            raise
        # Its own words tell what is at that path, which may be outside.
        raise UsageError("unknown_model", f"--model must be {MODELS}, got {name!r:.200}") from None


def _is_file(vocabulary: Any) -> bool:
    return isinstance(vocabulary, str) and vocabulary.lower().endswith(".npy")


def _words(setting: Setting, value: Any, changes: bool) -> list[str]:
    """Return a setting as the command line takes it."""
    if setting.kind is bool:
        if setting.name in _CROPS and changes:
            return [f"--{'' if value else 'no-'}{setting.option.removeprefix('--')}"]
        return [setting.option] if value else []
    return [f"{setting.option}={value}"]
