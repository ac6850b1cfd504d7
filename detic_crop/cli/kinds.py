"""What the values of options and arguments are: what a shell completes, and how a wrong one is refused."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from detic_crop.cli import mistakes
from detic_crop.config import MODELS

Known = Callable[[click.Context], Iterable[str]]


class Text(click.types.StringParamType):
    """A text, for which a shell completes names of files, of folders, or known words.

    Args:
        files: ``file``, ``dir`` or empty.
        known: function that returns the words; one that ends with a colon is followed by the name of a file.
    """

    def __init__(self, files: str = "", known: Known | None = None) -> None:
        self._files, self._known = files, known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self._files and self._known is None:
            _refuse_empty(value, param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        words: list[str] = []
        if self._known is not None:
            with contextlib.suppress(Exception):  # completion says nothing rather than fail
                words = [word for word in self._known(ctx) if word.startswith(incomplete)]
        items = [CompletionItem(word) for word in words]
        return items or ([CompletionItem(incomplete, type=self._files)] if self._files else [])


class File(click.Path):
    """A file that is read; a shell completes names of files."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _refuse_empty(value, param, ctx)
        return super().convert(value, param, ctx)


def _refuse_empty(value: Any, param: click.Parameter | None, ctx: click.Context | None) -> None:
    """Refuse an empty name, which as a path would mean the working folder."""
    if value == "":
        what = f" for {max(param.opts, key=len)}" if isinstance(param, click.Option) else ""
        raise click.UsageError(
            f"expected the name of a file or folder{what}, got an empty word; is a variable of your shell "
            "not set?",
            ctx,
        )


class Choice(click.Choice[str]):
    """One of a few words; a wrong one is refused with the nearest."""

    def __init__(self, choices: Iterable[str]) -> None:
        super().__init__(list(choices), case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        given = str(value).strip()
        found = next((choice for choice in self.choices if choice.lower() == given.lower()), None)
        if found is None:
            option = max(param.opts, key=len) if param is not None else "it"
            raise click.UsageError(mistakes.bad_choice(option, list(self.choices), given), ctx)
        return found


def models(ctx: click.Context) -> list[str]:
    """Return what --model may begin with."""
    del ctx
    return re.findall(r"(?<![\w:])[a-z][\w-]*(?::(?=[A-Z]))?", MODELS.partition(", A+B")[0])


def pulled(ctx: click.Context) -> list[str]:
    """Return what `weights pull` may be given."""
    del ctx
    from detic_crop.detectors.places import known_names

    return list(known_names())


def label_columns(ctx: click.Context) -> list[str]:
    """Return the columns of the labels of CROPPED: those of audit.csv."""
    # Of an unfinished command click leaves its words in `args`.
    folder = next(filter(None, [ctx.params.get("cropped"), *ctx.args]), "")
    return _columns_of(os.path.join(folder, "audit.csv"))


def table_columns(ctx: click.Context) -> list[str]:
    """Return the columns of the table of --labels."""
    return _columns_of(ctx.params.get("labels") or "")


def _columns_of(path: str | os.PathLike[str]) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        head = file.readline(100_000)
    separator = max(",;\t|", key=head.count)
    return next(csv.reader([head], delimiter=separator), [])


FILE = Text("file")
FOLDER = Text("dir")
COLUMN = Text("", label_columns)
