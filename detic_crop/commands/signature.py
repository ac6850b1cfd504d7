"""The settings as keyword arguments: what completion, `help` and `inspect.signature` are told of them.

A function takes them as ``**settings``, so that each is stated once, in `config`. A type checker reads their
names and types in `keyword_settings`, which is made from the same fields.
"""

from __future__ import annotations

import functools
import inspect
import operator
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

from detic_crop.config import SETTINGS, CropConfig, RunOptions, Setting
from detic_crop.keywords import in_python

_F = TypeVar("_F", bound=Callable[..., Any])

Names: TypeAlias = Mapping[type[CropConfig] | type[RunOptions], tuple[str, ...]]

RUN: Names = {kind: tuple(settings) for kind, settings in SETTINGS.items()}
"""Settings that `run` takes, by their class: all of them."""

RECROP: Names = {
    CropConfig: tuple(name for name, setting in SETTINGS[CropConfig].items() if not setting.of_detector),
    RunOptions: (
        "workers",
        "memory",
        "limit",
        "time_limit",
        "photo_timeout",
        "max_pixels",
        "per_tar",
        "csv_safe",
        "encounter",
        "overwrite",
        "discard_review",
        "quiet",
        "profile",
    ),
}
"""Settings that `recrop` takes: those of a crop that can change without a detector, and of the work."""

_HEADINGS = {CropConfig: "What the crops are like", RunOptions: "How the work is done"}


def takes_settings(settings: Names, *, changes: bool = False) -> Callable[[_F], _F]:
    """Let the signature and the docstring of a function list the settings that it takes as ``**settings``.

    Args:
        settings: names of fields, by their class.
        changes: None, the default, leaves a setting of a crop as it was.
    """

    def decorate(function: _F) -> _F:
        signature = inspect.signature(function, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        further = [
            inspect.Parameter(
                setting.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if is_change else setting.default,
                annotation=keyword_type(kind, setting, optional=is_change),
            )
            for kind, setting, is_change in _each(settings, changes)
        ]
        function.__dict__["__signature__"] = signature.replace(parameters=[*own, *further])
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_listed(settings, changes)}"
        return function

    return decorate


def keyword_types(settings: Names, *, changes: bool = False) -> dict[str, Any]:
    """Return name → type of the keyword arguments; see `takes_settings`."""
    return {
        setting.name: keyword_type(kind, setting, optional=is_change)
        for kind, setting, is_change in _each(settings, changes)
    }


def keyword_type(kind: type[Any], setting: Setting, *, optional: bool = False) -> Any:
    """Return what a setting takes as a keyword argument: its type, and text or a path where that is read.

    Args:
        kind: the class of the settings.
        setting: one of them.
        optional: None is taken, too.
    """
    hint: Any = typing.get_type_hints(kind)[setting.name]
    alternatives = (
        get_args(hint) if get_args(hint) and typing.get_origin(hint) is not typing.Literal else (hint,)
    )
    wanted = [str | os.PathLike[str] if each is Path else each for each in alternatives]
    if setting.parse is not None:
        wanted.append(str)
    is_optional = optional or type(None) in wanted
    return functools.reduce(
        operator.or_, [each for each in wanted if each is not type(None)] + [None] * is_optional
    )


def _each(settings: Names, changes: bool) -> Iterator[tuple[type[Any], Setting, bool]]:
    for kind, names in settings.items():
        for name in names:
            yield kind, SETTINGS[kind][name], changes and kind is CropConfig


def _listed(settings: Names, changes: bool) -> str:
    """Return the settings with their help, as the docstring lists them."""
    lines = []
    for kind, names in settings.items():
        lines += ["", f"{_HEADINGS[kind]}:"]
        for name in names:
            setting = SETTINGS[kind][name]
            unset = setting.unset or repr(setting.default)
            if changes and kind is CropConfig:
                unset = "as it was"
            lines.append(f"    {name}: {in_python(setting.text)} (default: {unset}).")
    return "\n".join(lines[1:])


def text_of(hint: Any) -> str:
    """Return a type as it is written in a module."""
    if typing.get_origin(hint) is typing.Literal:
        values = ", ".join(f'"{value}"' for value in get_args(hint))
        return f"Literal[{values}]"
    if typing.get_origin(hint) is os.PathLike:
        return "os.PathLike[str]"
    if get_args(hint):
        return " | ".join(map(text_of, get_args(hint)))
    return "None" if hint is type(None) else str(hint.__name__)
