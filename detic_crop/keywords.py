"""What the options of the command line are called in Python, and messages that name them in its words."""

from __future__ import annotations

import re

_IRREGULAR = {"in": "input", "weights": "weights_file"}
"""Option → its keyword, where that is not the option's own name."""

_NEGATIVE = {
    "no-browser": "open_browser",
    "no-csv-safe": "csv_safe",
    "no-gps": "gps",
    "no-metadata": "metadata",
    "no-photos": "photos",
}
"""Option that turns something off → the keyword that is set to False."""

FLAGS = {
    **dict.fromkeys(
        (
            *(
                "add",
                "blind",
                "csv-safe",
                "discard-review",
                "dry-run",
                "force",
                "gps",
                "manifest",
                "metadata",
            ),
            *("no-labels", "overwrite", "partial", "photos", "profile", "quiet", "xlsx"),
        ),
        "True",
    ),
    **dict.fromkeys(_NEGATIVE, "False"),
}
"""Option without a value → what its keyword is set to."""

FOREIGN = frozenset(
    {
        *("array", "no-build-isolation", "no-deps", "no-index", "force-reinstall", "save-csv", "save-txt"),
        *("json", "mirror", "forget", "strict"),
    }
)
"""Options of other programs, and those that only the command line has."""

PROSE = frozenset(
    {
        *(
            "again",
            "allows",
            "and",
            "are",
            "asks",
            "be",
            "belongs",
            "cannot",
            "chooses",
            "does",
            "elsewhere",
            "exclude",
        ),
        *(
            "folder",
            "forgets",
            "goes",
            "has",
            "have",
            "holds",
            "if",
            "in",
            "is",
            "it",
            "lie",
            "lies",
            "may",
            "must",
        ),
        *("name", "names", "needs", "of", "on", "or", "out", "says", "separates", "so", "that", "the"),
        *("then", "there", "they", "to", "too", "was", "were", "with", "would", "writes", "wrong"),
    }
)
"""Words that follow an option in a sentence and are not its value."""

_VERBS = {
    **{
        verb: verb
        for verb in (
            *("run", "recrop", "review", "apply", "teach", "split", "merge", "export", "verify", "compare"),
        )
    },
    "audit": "write_audit",
}
"""Command → its function."""

_WORD = r"(?:[^\s`;,()]|[(][^\s`;,()]*[)]|,(?=\S))+"
_OPTION = re.compile(
    rf"(?<![\w'\"/-])--(?P<name>[a-z]+(?:-[a-z]+)*)(?![\w-])(?:(?P<blank>[ =])(?P<value>(?!--){_WORD}))?"
)
_COMMAND = re.compile(r"`(detic-crop )?([a-z]+)(?: ([^`]*))?`")
_KEPT = re.compile(
    r"(?P<shell>\bdetic-crop (?:[a-z]+)\b(?!`)[^;]*)"  # a command to be typed
    r"|(?P<code>`[^`]*`)"
    r"|(?P<quoted>(?<![\w'])'[^']*'(?!\w))"
)


def keyword_of(option: str, out: str = "output") -> str:
    """Return the keyword argument that an option without its ``--`` is in Python: ``in`` is ``input``."""
    if option == "out":
        return out
    return _IRREGULAR.get(option) or _NEGATIVE.get(option) or option.replace("-", "_")


def in_python(message: str, out: str = "output") -> str:
    """Return a message whose options, written as on the command line, are keyword arguments.

    ``pass --in FOLDER`` becomes ``pass input=FOLDER``, ``--size must be`` becomes ``size= must be``, and
    ``add --overwrite`` becomes ``add overwrite=True``. A whole command to be typed stays, and so does what
    stands in quotes: it is what somebody wrote.

    Args:
        message: the sentence.
        out: what ``--out`` is called.
    """

    def keyword(option: re.Match[str]) -> str:
        name, blank, value = option["name"], option["blank"] or "", option["value"] or ""
        if name in FOREIGN:
            return option[0]
        called = keyword_of(name, out)
        if name in FLAGS:
            return f"{called}={FLAGS[name]}{blank}{value}"
        is_prose = blank == " " and value.rstrip(".:?!") in PROSE
        return f"{called}={' ' if is_prose else ''}{value}"

    def function(command: re.Match[str]) -> str:
        program, verb, options = command.groups()
        if verb not in _VERBS or not (program or options):
            return command[0]
        called = f"detic_crop.{_VERBS[verb]}" if program else _VERBS[verb]
        arguments = re.sub(r" (?=\w+=)", ", ", _OPTION.sub(keyword, options or ""))
        return f"`{called}(…, {arguments})`" if arguments else f"`{called}`"

    parts, end = [], 0
    for kept in _KEPT.finditer(message):
        parts.append(_OPTION.sub(keyword, message[end : kept.start()]))
        parts.append(_COMMAND.sub(function, kept[0]) if kept["code"] else kept[0])
        end = kept.end()
    return "".join([*parts, _OPTION.sub(keyword, message[end:])])
