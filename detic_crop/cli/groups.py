"""A group of commands: its help by headings, its short screen, and wrong first words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from detic_crop.cli import mistakes

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Crop": ("run", "status", "recrop", "app"),
    "Look and correct": ("review", "apply", "audit", "compare", "verify"),
    "Use the crops": ("export", "split", "teach"),
    "Machines and models": ("merge", "weights", "completion"),
}
"""Headings under which the help lists the commands of the program."""


class Commands(click.Group):
    """A group that says what a wrong first word probably meant.

    Args:
        short_screen: what is shown where no command is given; the help, if this is empty.
        sections: headings under which the help lists the commands.
    """

    def __init__(
        self,
        *args: Any,
        short_screen: str = "",
        sections: Mapping[str, tuple[str, ...]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.short_screen = short_screen
        self._sections = sections or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as error:
            raise click.UsageError(mistakes.option_before_command(self, args, error), ctx) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(mistakes.unknown_command(self, ctx.command_path, args), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = {
            name: command.get_short_help_str(limit=200)
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        }
        for heading, names in self._sections.items():
            listed = [(name, lines.pop(name)) for name in names if name in lines]
            if listed:
                with formatter.section(heading):
                    formatter.write_dl(listed)
        if lines:
            with formatter.section("Commands"):
                formatter.write_dl(list(lines.items()))
