"""Write `docs/options.md`, and the settings as keyword arguments, from the options of the commands.

python docs/make_options.py
"""

from __future__ import annotations

from pathlib import Path

import click

from detic_crop.cli.main import cli
from detic_crop.cli.options import Command
from detic_crop.commands import keyword_settings
from detic_crop.commands.signature import RECROP, RUN, keyword_types, text_of

PAGE = Path(__file__).with_name("options.md")
MODULE = Path(keyword_settings.__file__)
MODULE_HEAD = '''\
"""The settings as a type checker sees them; made from `config` by `python docs/make_options.py`."""

from __future__ import annotations

import os
from typing import Literal, TypedDict
'''
HEAD = r"""# Options

This page is made by `python docs/make_options.py`; `detic-crop COMMAND --help` says the same.

Every option is also an environment variable: `DETIC_CROP_MODEL` for `--model`, and so on. An option on the
command line comes first.

| exit code | meaning |
|---|---|
| 0 | done, even if photos failed, and if `--time-limit` was reached (`run.json` says `stopped`) |
| 1 | could not continue; `apply`: a crop could not be written; the next `apply` tries again |
| 2 | wrong usage, nothing was changed |
| 3 | with `--strict`: a photo failed, or keeps its earlier crop because the new one could not be written |
| 4 | `teach`: it does not help, nothing was written |
| 5 | `verify`: something is not as it was made |
| 130, 143 | interrupted; run the same command to continue |

To have your shell complete commands, options, label columns and paths, add the line for it to its start file:

| shell | file | line |
|---|---|---|
| bash | `~/.bashrc` | `eval "$(detic-crop completion bash)"` |
| zsh | `~/.zshrc`, below `compinit` | `eval "$(detic-crop completion zsh)"` |
| fish | `~/.config/fish/config.fish` | `detic-crop completion fish \| source` |

Where there is a terminal, errors, warnings, numbers of doubtful crops and the next command have colours;
`NO_COLOR=1` forbids that.

A second Ctrl-C or SIGTERM ends the command within a second. When messages cannot be printed (stderr or
stdout closed, full, gone), the work continues, and the exit code is the same.
"""


def page() -> str:
    """Return the text of the page: a section for each command, with a table for each group of options."""
    parts = [HEAD]
    for name, command in cli.commands.items():
        parts += section(f"detic-crop {name}", command)
        if isinstance(command, click.Group):
            for sub, subcommand in command.commands.items():
                parts += section(f"detic-crop {name} {sub}", subcommand)
    return "\n".join(parts)


def module() -> str:
    """Return the text of `commands/keyword_settings.py`: a class for each function that takes settings."""
    classes = (
        ("RunSettings", "Keyword arguments of `run`.", keyword_types(RUN)),
        (
            "RecropSettings",
            "Keyword arguments of `recrop`; None: as it was.",
            keyword_types(RECROP, changes=True),
        ),
    )
    parts = [MODULE_HEAD]
    for name, meaning, types in classes:
        fields = [f"    {field}: {text_of(hint)}" for field, hint in types.items()]
        head = [f"class {name}(TypedDict, total=False):", f'    """{meaning}"""', ""]
        parts.append("\n".join(["", *head, *fields, ""]))
    return "\n".join(parts)


def section(title: str, command: click.Command) -> list[str]:
    """Return heading, first sentence and tables of one command."""
    context = click.Context(command, info_name=title)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    help = (command.help or "").partition("\n\n")[0].replace("\n", " ")
    parts = [f"## {title}{f' {usage}' if usage else ''}\n", f"{help}\n"]
    options = [option for option in command.params if isinstance(option, click.Option)]
    groups = command.by_group(context) if isinstance(command, Command) else {"Options": options}
    for heading, members in groups.items():
        records = [option.get_help_record(context) for option in members if "--help" not in option.opts]
        rows = [row(*record) for record in records if record is not None]  # None: a hidden option
        if rows:
            parts += [f"| {heading.lower()} | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"]
    return parts


def row(name: str, help: str) -> str:
    """Return the line of the table: name and values, help and default."""
    name, help = (text.replace("|", "/") for text in (name, help))
    return f"| `{name}` | {help.replace('  [', ' [').replace(' [0<=x<=65535]', '')} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    MODULE.write_text(module(), encoding="utf-8")
