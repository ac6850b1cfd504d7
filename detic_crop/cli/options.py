"""How options are declared: from the fields of `CropConfig` and `RunOptions`, which hold their help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from detic_crop.cli import kinds, mistakes
from detic_crop.commands.headings import GROUPS
from detic_crop.config import SETTINGS, CropConfig, RunOptions, Setting

_F = TypeVar("_F", bound=Callable[..., Any])

FIRST: dict[str, tuple[str, ...]] = {
    "run": (
        *("input", "output", "labels", "model", "animals", "size", "scale", "format", "limit", "dry_run"),
    ),
    "recrop": ("output", "scale", "size", "fit", "format", "conf", "not_found", "limit"),
    "export": ("to", "out", "label"),
}
"""Command → the options that most people need; the help lists them before the others."""

# Options that people repeat to name several things; click would take the last and drop the others.
_ONCE = {
    "--in": "pass the folder above them, a quoted pattern or a list; run takes a further one with --add",
    "--classes": "join the names by commas",
    "--device": "join the devices by commas",
}


# What a shell completes for settings that are text.
_COMPLETED: dict[str, kinds.Text] = {
    "model": kinds.Text("file", kinds.models),
    "vocabulary": kinds.Text("file", lambda _: ("openimages", "lvis", "objects365", "coco")),
    "classes": kinds.Text("", lambda _: ("marine", "any")),
    "size": kinds.Text("", lambda _: ("512", "native", "long:")),
    "device": kinds.Text("", lambda _: ("auto", "cpu", "cuda", "mps")),
    "labels_key": kinds.Text("", kinds.table_columns),
    "encounter": kinds.Text("", lambda _: ("folder", "gap:30min", "none")),
}


class Option(click.Option):
    """An option that also reads DETIC_CROP_NAME, whatever the subcommand."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        longest = max((name for name in self.opts if name.startswith("--")), key=len)
        self.envvar = "DETIC_CROP_" + longest.removeprefix("--").replace("-", "_").upper()


class Command(click.Command):
    """A command that refuses an option given twice, and lists many options under headings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            values, extra, given = self.make_parser(ctx).parse_args(args=list(args))
        except click.NoSuchOption as error:
            raise click.UsageError(mistakes.unknown_option(self, args, error), ctx) from error
        if not ctx.resilient_parsing and (swallowed := mistakes.missing_value(self, values)):
            raise click.UsageError(swallowed, ctx)
        if extra and not ctx.resilient_parsing:
            raise click.UsageError(mistakes.extra_words(self, args, extra), ctx)
        for parameter, count in Counter(given).items():
            option = parameter.opts[0]
            if count > 1 and option in _ONCE:
                raise click.UsageError(f"expected {option} once, got it {count} times; {_ONCE[option]}")
        words = list(args)  # click takes them out one by one
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            missing = [each for each in mistakes.needed_options(self) if each not in given]
            if error.param not in missing:
                raise
            raise click.UsageError(mistakes.missing_options(ctx.command_path, missing, words), ctx) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, options in self.by_group(ctx).items():
            lines = [line for option in options if (line := option.get_help_record(ctx)) is not None]
            with formatter.section(heading):
                formatter.write_dl(lines)

    def by_group(self, ctx: click.Context) -> dict[str, list[click.Parameter]]:
        """Return the options by heading, in the order of `GROUPS`; a short list has one heading."""
        options = {option.name: option for option in self.get_params(ctx) if isinstance(option, click.Option)}
        if len(options) < 12:
            return {"Options": list(options.values())}
        first = [options.pop(name) for name in FIRST.get(self.name or "", ()) if name in options]
        found: dict[str, list[click.Parameter]] = {"What most people need": list(first)}
        for heading, names in GROUPS.items():
            found[heading] = [options.pop(name) for name in names if name in options]
        found["Options"] = list(options.values())
        return {heading: options for heading, options in found.items() if options}


def option(*names: str, **kwargs: Any) -> Callable[[_F], _F]:
    """Declare an option that is not a setting; as `click.option`, with an `Option`."""
    return click.option(*names, cls=Option, **kwargs)


def settings(
    kind: type[CropConfig] | type[RunOptions], names: Sequence[str] = (), *, changes: bool = False
) -> Callable[[_F], _F]:
    """Declare an option for each setting of `kind`, or for those that `names` lists.

    Args:
        kind: the class of the settings.
        names: fields; all where none is named.
        changes: an option that is not given leaves a setting as it was: so none has a default.
    """
    known = SETTINGS[kind]

    def declare(function: _F) -> _F:
        for name in reversed(names or list(known)):
            function = _declared(known[name], changes)(function)
        return function

    return declare


def _declared(setting: Setting, changes: bool) -> Callable[[_F], _F]:
    if setting.kind is bool and changes:
        both = f"{setting.option}/--no-{setting.option.removeprefix('--')}"
        return option(both, setting.name, default=None, help=setting.text)
    if setting.kind is bool:
        return option(setting.option, setting.name, is_flag=True, help=setting.text)
    unset = f"  [default: {setting.unset}]" if setting.unset and not changes else ""
    default = None if changes else setting.default
    read = setting.parse or setting.form
    return option(
        setting.option,
        setting.name,
        type=_type_of(setting),
        metavar=setting.metavar or ("N" if setting.kind in (int, float) else None),
        default=default,
        show_default=default is not None and not setting.unset,
        callback=None if read is None else _parsed(read),
        help=setting.text + unset,
    )


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return the callback of an option whose text `parse` reads."""
    return lambda context, parameter, text: None if text is None else parse(text)


def _type_of(setting: Setting) -> Any:
    if setting.choices:
        return kinds.Choice(setting.choices)
    if setting.name in _COMPLETED:
        return _COMPLETED[setting.name]
    if setting.parse is not None or setting.form is not None:
        return str
    return kinds.File() if setting.kind is Path else setting.kind
