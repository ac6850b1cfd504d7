"""Class names, and the groups of them that people ask for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.errors import UsageError

MARINE = ("Dolphin", "Whale", "Marine mammal", "Marine invertebrates", "Sea lion", "Harbor seal")
"""The original data set's "dolphins, whales, and marine life" in Open Images names."""

GROUPS = {"marine": MARINE}


def resolve_classes(wanted: str, vocabulary: Sequence[str], model: str) -> tuple[str, ...] | None:
    """What ``--classes`` means for one model.

    Args:
        wanted: ``any``, a group, or names joined by commas; case does not matter.
        vocabulary: the names the model can answer with; empty when it has none of its own.
        model: its name, for the message.

    Returns:
        The wanted names as the model spells them, or None for any.

    Raises:
        UsageError: the model has none of them; lists close names.
    """
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    if [word.casefold() for word in words] == ["any"]:
        return None
    named = [name for name in vocabulary if name != UNKNOWN_CLASS]
    if not named:  # boxes without classes are always eligible
        return (UNKNOWN_CLASS,)
    spelling = {name.casefold(): name for name in named}
    chosen: list[str] = []
    for word in words:
        group = GROUPS.get(word.casefold())
        members = [name for name in group or (word,) if name.casefold() in spelling]
        if not members:
            raise UsageError(_unknown_class(word, spelling, model))
        chosen += [spelling[name.casefold()] for name in members]
    return tuple(dict.fromkeys(chosen))


def _unknown_class(word: str, spelling: dict[str, str], model: str) -> str:
    near = difflib.get_close_matches(word.casefold(), spelling, n=5, cutoff=0.5) or list(spelling)[:8]
    names = ", ".join(spelling[name] for name in near)
    return f"model {model} has no class {word!r}; close or known names: {names}; or pass --classes any"
