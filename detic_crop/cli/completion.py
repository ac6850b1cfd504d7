"""Completion in the shell: what the shell asks for, and `detic-crop completion`, which prints its script."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from detic_crop.cli import kinds, messages
from detic_crop.cli.options import Command

VARIABLE = "_DETIC_CROP_COMPLETE"
"""The variable by which the script of a shell asks what may follow."""

PROGRAM = "detic-crop"

_INSTALL = {
    "bash": 'add this line to ~/.bashrc: eval "$(detic-crop completion bash)"',
    "zsh": 'add this line to ~/.zshrc, below compinit: eval "$(detic-crop completion zsh)"',
    "fish": "add this line to ~/.config/fish/config.fish: detic-crop completion fish | source",
}


class Bash(BashComplete):
    """Completion in bash, which takes ``boxes:file`` and ``--in=file`` for three words each."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", 'COMPREPLY+=("$value"); [[ $value == *: ]] && compopt -o nospace'
    )
    _begun = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        for word in [*args, incomplete]:
            if words and (word in (":", "=") or words[-1].endswith((":", "="))):
                words[-1] += word
            else:
                words.append(word)
        *args, whole = words
        # The shell replaces what stands behind the last of these signs.
        self._begun = whole.removesuffix("" if incomplete in (":", "=") else incomplete)
        return args, whole

    def format_completion(self, item: CompletionItem[Any]) -> str:
        if item.type == "plain":
            item = CompletionItem(str(item.value).removeprefix(self._begun), type=item.type)
        return super().format_completion(item)


add_completion_class(Bash)


def answer(cli: click.Group) -> int | None:
    """Answer the shell if it asks what may follow; return the exit code, or None if it does not ask."""
    instruction = os.environ.get(VARIABLE)
    if not instruction:
        return None
    with contextlib.suppress(Exception):  # a word that cannot be completed is no reason to print anything
        return shell_complete(cli, {}, PROGRAM, VARIABLE, instruction)
    return 1


@click.command(cls=Command, short_help="Print the script that lets your shell complete commands and names.")
@click.argument("shell", type=kinds.Choice(tuple(_INSTALL)), required=False)
@click.pass_context
def completion(ctx: click.Context, /, shell: str | None) -> int:
    """Print the script that lets your shell complete commands, options and names of files.

    SHELL is bash, zsh or fish; if it is not given, the one that you use.

    \b
    eval "$(detic-crop completion bash)"        in ~/.bashrc
    eval "$(detic-crop completion zsh)"         in ~/.zshrc, below compinit
    detic-crop completion fish | source         in ~/.config/fish/config.fish
    """
    shell = shell or os.path.basename(os.environ.get("SHELL", ""))
    kind = get_completion_class(shell) if shell in _INSTALL else None
    if kind is None:
        raise click.UsageError("which shell? e.g. `detic-crop completion bash`; known: bash, zsh, fish", ctx)
    for line in kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source().splitlines():
        click.echo(line)
    if sys.stdout.isatty():
        messages.say(_INSTALL[shell], err=True)
    return 0
