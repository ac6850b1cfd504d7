"""How every option of the command line is declared: it also reads an environment variable of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


class Option(click.Option):
    """An option that also reads DETIC_CROP_NAME, whatever the subcommand."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        longest = max((name for name in self.opts if name.startswith("--")), key=len)
        self.envvar = "DETIC_CROP_" + longest.removeprefix("--").replace("-", "_").upper()


def option(*names: str, **kwargs: Any) -> Callable[[_F], _F]:
    """`click.option` with an `Option`."""
    return click.option(*names, cls=Option, **kwargs)
