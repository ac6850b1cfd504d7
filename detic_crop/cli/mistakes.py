"""What somebody probably meant who typed a command wrong: a sentence with what to type instead."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from detic_crop.photos.keys import STATE
from detic_crop.stores.addresses import is_address
from detic_crop.wording import either, nearest, typed

OTHER_COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("crop", "start", "resume", "continue", "detect"), "run"),
    **dict.fromkeys(("judge", "correct", "open", "view"), "review"),
    **dict.fromkeys(("report", "html"), "audit"),
    **dict.fromkeys(("check", "validate"), "verify"),
    **dict.fromkeys(("train", "learn", "finetune"), "teach"),
    **dict.fromkeys(("convert", "save"), "export"),
    **dict.fromkeys(("diff",), "compare"),
    **dict.fromkeys(("join",), "merge"),
    **dict.fromkeys(("folds",), "split"),
    **dict.fromkeys(("models", "download"), "weights"),
    **dict.fromkeys(("gui", "ui", "serve", "web"), "app"),
    **dict.fromkeys(("progress", "info"), "status"),
}
"""Words of other programs → our command."""

OTHER_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("-i", "--input", "--images", "--photos", "--source"), "--in"),
    **dict.fromkeys(("-o", "--output", "--target", "--dest"), "--out"),
    **dict.fromkeys(("-v", "-V"), "--version"),
    "-m": "--model",
    "-s": "--size",
    "-q": "--quiet",
    "-n": "--limit",
    **dict.fromkeys(("--confidence", "--threshold"), "--conf"),
    **dict.fromkeys(("--margin", "--padding", "--enlarge"), "--scale"),
    **dict.fromkeys(("--gpu", "--cuda"), "--device"),
    **dict.fromkeys(("-j", "--threads", "--jobs"), "--workers"),
    "--resize": "--size",
    "--force": "--overwrite",
}
"""Options of other programs → ours."""

_EXAMPLES: Mapping[tuple[str, str], str] = {
    ("recrop", "--out"): "recropped",
    ("export", "--to"): "imagefolder",
    ("export", "--out"): "exported",
    ("compare", "--out"): "compared",
    ("teach", "--out"): "mine.safetensors",
}
"""Command and option → a value to show where the option is missing."""


class Needed(NamedTuple):
    """An argument that a command cannot do without: what it is, and words that would do."""

    what: str
    words: Sequence[str]


_TWO_RESULTS = Needed("A and B, two results for the same photos", ("cropped", "other", "--out", "compared"))
ARGUMENTS: Mapping[str, Needed] = {
    "CROPPED": Needed("CROPPED, the folder that `detic-crop run` made", ("cropped",)),
    "A": _TWO_RESULTS,
    "B": _TWO_RESULTS,
}
"""Argument → what is said where it is missing."""

_DASHES = "‐‑‒–—―−"  # what word processors and web pages make of - and --
_QUOTES = "“”„‘’‚«»"
_MOST = 60  # characters of a word that is shown
_PHOTOS = re.compile(r"[*?]|\.(jpe?g|png|tiff?|webp|heic|bmp|txt|csv|tar)$", re.IGNORECASE)


def unknown_command(group: click.Group, path: str, words: Sequence[str]) -> str:
    """Return what is said of a first word that is no command.

    Args:
        group: the commands there are.
        path: what was typed before, as ``detic-crop``.
        words: the word and what follows.
    """
    word, *rest = words
    said = f"there is no command {_cut(word)!r}"
    is_program = "run" in group.commands
    if is_program and word == "help":
        return f"{said}{_instead(path, *[each for each in rest[:1] if each in group.commands], '--help')}"
    if is_program and word == "version":
        return f"{said}{_instead(path, '--version')}"
    if is_program and _looks_like_photos(word):
        # The folder of an earlier run is looked at; photos are cropped.
        meant = "review" if os.path.isdir(os.path.join(word, STATE)) else "run"
        return f"{said}{_instead(path, meant, *words)}"
    other = OTHER_COMMANDS.get(word.lower(), "")
    meant = other if other in group.commands else nearest(word, group.commands)
    if meant:
        return f"{said}{_instead(path, meant, *rest)}"
    return f"{said}; known are {', '.join(group.commands)}"


def option_before_command(group: click.Group, words: Sequence[str], error: click.NoSuchOption) -> str:
    """Return what is said of an option that stands where a command was expected."""
    path = error.ctx.command_path if error.ctx is not None else ""
    option = error.option_name
    command = next((word for word in words if word in group.commands), None)
    rest = list(words)
    if command is not None:
        rest.remove(command)
        if _knows(group.commands[command], rest[0].partition("=")[0]):
            return f"options follow their command{_instead(path, command, *rest)}"
    elif "run" in group.commands and _knows(group.commands["run"], option):
        return f"expected a command before {option}{_instead(path, 'run', *words)}"
    known = _options_of(group)
    near = OTHER_OPTIONS.get(option, "")
    if near not in known:
        near = nearest(option, known)
    if not near and command is not None:
        return unknown_option(group.commands[command], rest, error)
    return f"there is no option {_cut(option)}{_meant(near)}"


def unknown_option(command: click.Command, words: Sequence[str], error: click.NoSuchOption) -> str:
    """Return what is said of an option that a command does not have.

    Args:
        command: the command.
        words: what follows it.
        error: what click found.
    """
    option = error.option_name
    if re.fullmatch("-[^-]", option):  # click reads -in as -i -n
        option = next((word.partition("=")[0] for word in words if word.startswith(option)), option)
    known = _options_of(command)
    spelled = "--" + option.lstrip("-").replace("_", "-").lower()
    other = OTHER_OPTIONS.get(option, OTHER_OPTIONS.get(spelled, ""))
    near = next((each for each in (spelled, other) if each in known), "") or nearest(spelled, known, 0.7)
    said = f"there is no option {_cut(option)}"
    if near:
        return f"{said}{_meant(near)}"
    program = error.ctx.find_root().command if error.ctx is not None else None
    others = [
        name
        for name, each in (program.commands.items() if isinstance(program, click.Group) else ())
        if spelled in _options_of(each)
    ]
    return f"{said}; it belongs to {' and '.join(others)}" if others else said


def extra_words(command: click.Command, words: Sequence[str], extra: Sequence[str]) -> str:
    """Return what is said of words that nobody asked for.

    Args:
        command: the command.
        words: all that follow it.
        extra: those that are too many.
    """
    likely = slip(command, extra)
    if not likely and (whole := name_with_blanks(words)):
        likely = f"a name with blanks must be quoted: {typed(whole)}"
    if not likely and (option := _missing_for(command, words, extra[0])):
        likely = f"did you mean {option} {typed(extra[0])}?"
    return f"{likely}; {unexpected(extra)}" if likely else unexpected(extra)


def unexpected(extra: Sequence[str]) -> str:
    """Return which words are too many."""
    more = " …" if len(extra) > 1 else ""
    return f"got unexpected {either(len(extra), 'argument', 'arguments')} {extra[0][:100]}{more}"


def slip(command: click.Command, words: Sequence[str]) -> str:
    """Return what is wrong with a word that was meant as an option or as quoted; empty if nothing is."""
    known = _options_of(command)
    for word in words:
        if os.path.lexists(word):
            continue
        if word.startswith(tuple(_DASHES)):
            option = "--" + word.lstrip(_DASHES + "-")
            return f"{_cut(word)} begins with a dash of a word processor; type {_cut(option)}"
        if set(word) & set(_QUOTES):
            return f"{_cut(word)} has the quotation marks of a word processor; type plain ones"
        name, equals, value = word.partition("=")
        option = "--" + name.replace("_", "-").lower()
        if equals and option in known:
            meant = [option] if _is_flag(command, option) else [option, value]
            return f"did you mean `{typed(*meant)}`?"
    return ""


def name_with_blanks(words: Sequence[str]) -> str:
    """Return the file or folder that neighbouring words are the name of; empty if there is none."""
    for begin in range(len(words)):
        for end in range(min(len(words), begin + 12), begin + 1, -1):
            name = " ".join(words[begin:end])
            if not name.startswith("-") and len(name) < 1000 and os.path.lexists(name):
                return name
    return ""


def missing_argument(path: str, name: str) -> str:
    """Return what is said where the folder of a run was not named.

    Args:
        path: what was typed, as ``detic-crop review``.
        name: the argument.
    """
    here = "." if os.path.isdir(STATE) else "cropped"
    example = typed(*path.split(), *[here if word == "cropped" else word for word in ARGUMENTS[name].words])
    return f"expected {ARGUMENTS[name].what}; e.g. `{example}`"


def bad_value(parameter: click.Parameter, why: str) -> str:
    """Return what is said of a value that is no number, or one out of range.

    Args:
        parameter: what it was given for.
        why: what click says of it.
    """
    for found, plain in (("not a valid integer", "no whole number"), ("not a valid float", "no number")):
        why = why.replace(found, plain)
    return f"{max(parameter.opts, key=len)}: {why}"


def missing_options(path: str, options: Sequence[click.Option], words: Sequence[str]) -> str:
    """Return what is said where a command was given without options that it needs.

    Args:
        path: what was typed, as ``detic-crop recrop``.
        options: those that are missing.
        words: what followed it.
    """
    command = path.split()[-1]
    names = [option.opts[0] for option in options]
    added = [word for name in names for word in (name, _EXAMPLES[command, name])]
    example = _shortened(typed(*path.split(), *words, *added))
    return f"expected {' and '.join(names)}, got none; e.g. `{example}`"


def missing_value(command: click.Command, values: Mapping[str, Any]) -> str:
    """Return what is said where an option was taken for the value of the one before; empty if none was.

    Args:
        command: the command.
        values: name of a parameter → what was typed for it.
    """
    known = _options_of(command)
    for option in (each for each in command.params if isinstance(each, click.Option)):
        value = values.get(option.name or "")
        if isinstance(value, str) and value in known:
            return f"{option.opts[0]} needs a value, got {value}, which is an option itself"
    return ""


def bad_choice(option: str, choices: Sequence[str], value: str) -> str:
    """Return what is said of a value that is none of a few."""
    expected = f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]
    return f"{option} must be {expected}, got {value!r}{_meant(nearest(value, choices, 0.5))}"


def is_photo(word: str) -> bool:
    """Return whether a word is a file, or the name or pattern of photos."""
    return os.path.isfile(word) or _PHOTOS.search(word) is not None


def _looks_like_photos(word: str) -> bool:
    is_path = os.path.exists(word) or "/" in word or os.sep in word
    return is_path or is_address(word) or _PHOTOS.search(word) is not None


def _missing_for(command: click.Command, words: Sequence[str], word: str) -> str:
    """Return the option that is missing and that a word was probably meant for; empty if there is none."""
    given = {each.partition("=")[0] for each in words}
    for option in needed_options(command):
        if not given & set(option.opts):
            known = option.type.shell_complete(click.Context(command), option, word)
            if any(item.value == word for item in known):
                return option.opts[0]
    return ""


def _is_flag(command: click.Command, option: str) -> bool:
    options = (each for each in command.params if isinstance(each, click.Option))
    return option == "--help" or any(option in each.opts and each.is_flag for each in options)


def _knows(command: click.Command, option: str) -> bool:
    return option in _options_of(command)


def needed_options(command: click.Command) -> list[click.Option]:
    """Return the options that a command cannot do without."""
    return [each for each in command.params if isinstance(each, click.Option) and each.required]


def _options_of(command: click.Command) -> list[str]:
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    return [name for each in options for name in (*each.opts, *each.secondary_opts)] + ["--help"]


def _instead(path: str, *words: str) -> str:
    return f"; did you mean `{_shortened(typed(*path.split(), *words))}`?"


def _shortened(line: str) -> str:
    return line if len(line) <= 300 else f"{line[:300]} …"


def _meant(near: str) -> str:
    return f"; did you mean {near}?" if near else ""


def _cut(word: str) -> str:
    return word if len(word) <= _MOST else f"{word[:_MOST]}…"
