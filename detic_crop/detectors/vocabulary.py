"""Class names, and the groups of them that people ask for."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.errors import UsageError

MARINE = ("Dolphin", "Whale", "Marine mammal", "Marine invertebrates", "Sea lion", "Harbor seal")
"""The original data set's "dolphins, whales, and marine life" in Open Images names."""

GROUPS = {"marine": MARINE}

VOCABULARIES = ("openimages", "lvis", "objects365", "coco")
"""The vocabularies whose names are in the package, as ``--vocabulary`` calls them."""

# The same animals as other vocabularies call them: LVIS has dolphin, manatee and walrus, Objects365 Dolphin
# and Seal, and ImageNet's many species end in one of these words. Of the Open Images names it fits none but
# the group's own, so that the group stays the original's there, also where only some of the names are known.
_MARINE_MAMMAL = re.compile(
    r"""(?:.*\ )?(?:whale|dolphin|porpoise|rorqual|sea\ lion|sea\ cow|manatee|dugong|walrus)
    | orca | beluga | narwhal | humpback | grampus | cetacean | pinniped(?:\ mammal)?
    | (?:(?:harbou?r|common|gr[ea]y|harp|hooded|ringed|ribbon|bearded|monk|leopard|crabeater|elephant|eared
        |earless|(?:\w+\ )*fur)\ )?seal
    | (?:marine|aquatic|sea)\ (?:mammal|animal)""",
    re.VERBOSE,
)

_KINDRED = {"marine": _MARINE_MAMMAL}

_FEW_LABELS = 10
_STAND_INS = ("bird", "boat", "surfboard")  # COCO's names, as examples


@cache
def names_of(vocabulary: str) -> tuple[str, ...]:
    """Return class names of one of `VOCABULARIES`, in the order of its embedding rows.

    Spelled as published: LVIS has underscores, Open Images has Bench and Mouse twice.
    """
    if vocabulary not in VOCABULARIES:
        raise UsageError(
            "unknown_vocabulary",
            f"there is no vocabulary {vocabulary!r}; known are {', '.join(VOCABULARIES)}",
        )
    text = (files("detic_crop.detectors") / "names" / f"{vocabulary}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def split_names(text: str) -> list[str]:
    """Return names joined by commas; a name that holds one is in quotes: ``Dolphin,"orca, killer whale"``."""
    try:
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:  # a line break outside of quotes, or megabytes
        raise UsageError(
            "bad_value", f"--classes must be names joined by commas, got {text!r:.200}"
        ) from error
    return [name.strip() for name in names if name.strip()]


def join_names(names: Iterable[str]) -> str:
    """Return names as one text, which `split_names` takes apart."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def wanted_classes(classes: str | None) -> tuple[str, ...] | None:
    """Return the class names in the ``classes`` of resolved settings; None for any class."""
    return None if classes in (None, "any") else tuple(split_names(classes))


def resolve_classes(wanted: str, vocabulary: Sequence[str], model: str) -> tuple[str, ...] | None:
    """Return what ``--classes`` means for one model.

    Args:
        wanted: ``any``, a group, or names as `split_names` reads them; case does not matter, underscores
            are blanks, and what LVIS adds in brackets may be left out.
        vocabulary: the names the model can answer with; empty when it has none of its own.
        model: name of the model, for messages.

    Returns:
        The wanted names as the model spells them, or None for any.

    Raises:
        UsageError: the model has none of them; lists close names.
    """
    words = split_names(wanted)
    if [word.casefold() for word in words] == ["any"]:
        return None
    named = [name for name in vocabulary if name != UNKNOWN_CLASS]
    if not named:  # boxes without classes are always eligible
        return (UNKNOWN_CLASS,)
    spellings, short_spellings = _index(named, _plain), _index(named, _short)
    chosen: list[str] = []
    for word in words:
        plain = _plain(word)
        if plain in GROUPS:
            members = _group_members(plain, named, spellings)
        else:
            members = spellings.get(plain) or short_spellings.get(plain, [])
        if not members:
            raise UsageError("unknown_class", _unknown_class(word, spellings, model))
        chosen += members
    return tuple(dict.fromkeys(chosen))


def default_classes_of(names: Sequence[str]) -> str:
    """Return the ``--classes`` of a detector with labels of its own, if none are given.

    ``marine``, if one of the labels is; ``any``, if they are so few that the detector was trained for these
    photos; else ``marine``, which is refused with the names that may stand in.
    """
    if len(names) > _FEW_LABELS or _group_members("marine", names, _index(names, _plain)):
        return "marine"
    return "any"


def _group_members(group: str, named: Sequence[str], spellings: dict[str, list[str]]) -> list[str]:
    """Return the group's own names, and what other vocabularies call such animals."""
    members = [name for wanted in GROUPS[group] for name in spellings.get(_plain(wanted), [])]
    return members + [name for name in named if _KINDRED[group].fullmatch(_plain(name))]


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _short(name: str) -> str:
    """Return a name without its brackets: LVIS's ``crab_(animal)`` is a crab."""
    return _plain(re.sub(r"\([^)]*\)", "", name))


def _index(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(key(name), []).append(name)
    return spellings


def _unknown_class(word: str, spellings: dict[str, list[str]], model: str) -> str:
    plain = _plain(word)
    group = GROUPS.get(plain, ())
    near = [
        match
        for name in group or (word,)
        for match in difflib.get_close_matches(_plain(name), spellings, n=5, cutoff=0.7 if group else 0.5)
    ]
    shown = list(dict.fromkeys(near))[:5] or list(spellings)[:8]
    names = [spellings[name][0] for name in shown]
    what, instead = f"class {word!r}", "pass --classes any"
    if group:
        what = f"class of the group {word!r} ({', '.join(group)})"
        stand_ins = [name for name in _STAND_INS if name in spellings] or names[:2]
        instead += f" or names that may stand in for them, e.g. --classes '{','.join(stand_ins)}'"
    return f"model {model} has no {what}; close or known names: {', '.join(names)}; or {instead}"
