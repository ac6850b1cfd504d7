"""The grammar of joined names: ``a+b`` asks in turn, ``wbf(a,b*2)`` fuses.

    name  = term { "+" term }
    term  = model | "wbf(" item { "," item } ")"
    item  = name [ "*" weight ]

The names of models may hold paths, and paths may hold any of these signs: a ``+`` or ``,`` separates only
where what follows it is the name of a model, and a ``)`` closes only what the name of a model did not open.
So ``boxes:a+b.csv`` is one file, and ``boxes:a+b.csv+lite`` that file and `lite`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from detic_crop.errors import UsageError

FORMS = ("A+B", "wbf(A,B)")
"""Joined names, as help and messages write them."""

_WBF = "wbf("
_WEIGHT = re.compile(r"\s*\*\s*(\d{1,6}(?:\.\d{1,6})?)\s*")


@dataclass(frozen=True, slots=True)
class InTurn:
    """Models of which each is asked where those before it found nothing."""

    members: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mix:
    """Models whose boxes are fused, and the weight of each."""

    members: tuple[Node, ...]
    weights: tuple[float, ...]


Node: TypeAlias = str | InTurn | Mix
"""What a name says: one model, or several joined."""


def parse(name: str, forms: Sequence[str]) -> Node:
    """Return what a name says; one that joins nothing is returned as it is.

    Args:
        name: as given to ``--model``.
        forms: names of single models as people write them, see `Family.forms`.

    Raises:
        UsageError: it joins models, but not as the grammar has it.
    """
    reader = _Reader(name, forms)
    if not reader.joins():
        return name
    return reader.whole()


def written(node: Node, of_model: Callable[[str], str] = str) -> str:
    """Return the name of what `parse` returned.

    Args:
        node: the parts.
        of_model: gives the name of a single model another form.
    """
    if isinstance(node, str):
        return of_model(node)
    parts = [written(member, of_model) for member in node.members]
    if isinstance(node, InTurn):
        return "+".join(parts)
    weighted = (
        part if weight == 1 else f"{part}*{weight:g}"
        for part, weight in zip(parts, node.weights, strict=True)
    )
    return f"wbf({','.join(weighted)})"


def without(node: Node, model: str) -> Node | None:
    """Return what is left without one of the models; None if nothing is."""
    if isinstance(node, str):
        return None if node == model else node
    weights = node.weights if isinstance(node, Mix) else (1.0,) * len(node.members)
    left = [
        (kept, weight)
        for member, weight in zip(node.members, weights, strict=True)
        if (kept := without(member, model)) is not None
    ]
    if len(left) < 2:
        return left[0][0] if left else None
    members = tuple(member for member, _ in left)
    return Mix(members, tuple(w for _, w in left)) if isinstance(node, Mix) else InTurn(members)


def models_of(node: Node) -> Iterator[str]:
    """Yield the names of the single models, from left to right."""
    if isinstance(node, str):
        yield node
    else:
        for member in node.members:
            yield from models_of(member)


class _Reader:
    """Reads a name from left to right.

    Args:
        name: the name.
        forms: see `parse`.
    """

    def __init__(self, name: str, forms: Sequence[str]) -> None:
        self._name = name
        self._at = 0
        self._forms = ("auto", *forms)

    def joins(self) -> bool:
        """Return whether the name joins models at all."""
        plus = (sign.start() for sign in re.finditer(r"\+", self._name))
        return self._name.lstrip().startswith(_WBF) or any(self._is_model_at(at + 1) for at in plus)

    def whole(self) -> Node:
        """Return what the name says."""
        node = self._in_turn(inside=False)
        if self._at < len(self._name):
            self._refuse(f"{self._name[self._at :]!r} at its end")
        return node

    def _in_turn(self, inside: bool) -> Node:
        members = [self._term(inside)]
        while self._take("+"):
            members.append(self._term(inside))
        self._check_different(members)
        return members[0] if len(members) == 1 else InTurn(tuple(members))

    def _term(self, inside: bool) -> Node:
        self._skip_blanks()
        if not self._name.startswith(_WBF, self._at):
            return self._model(inside)
        self._at += len(_WBF)
        members: list[Node] = []
        weights: list[float] = []
        while not members or self._take(","):
            members.append(self._in_turn(inside=True))
            found = _WEIGHT.match(self._name, self._at)
            weights.append(float(found[1]) if found else 1.0)
            self._at = found.end() if found else self._at
        if not self._take(")"):
            self._refuse("no ) after the last model")
        if min(weights) <= 0:
            self._refuse("a weight of 0")
        self._check_different(members)
        return Mix(tuple(members), tuple(weights))

    def _model(self, inside: bool) -> str:
        start, opened = self._at, 0
        while self._at < len(self._name) and (opened or not self._ends_model(self._at, inside)):
            opened += {"(": 1, ")": -1}.get(self._name[self._at], 0) if inside else 0
            opened = max(opened, 0)
            self._at += 1
        model = self._name[start : self._at].strip()
        if not model:
            self._refuse("a sign without a model")
        return model

    def _ends_model(self, at: int, inside: bool) -> bool:
        sign = self._name[at]
        if sign == "+" or (sign == "," and inside):
            return self._is_model_at(at + 1)
        if sign == ")" and inside:
            return self._is_joint(at + 1)
        if sign == "*" and inside:
            weight = _WEIGHT.match(self._name, at)
            return weight is not None and self._name[weight.end() : weight.end() + 1] in (",", ")")
        return False

    def _is_joint(self, at: int) -> bool:
        rest = self._name[at:].lstrip()
        if not rest or rest[0] == ")" or _WEIGHT.match(rest):
            return True
        return rest[0] in "+," and self._is_model_at(len(self._name) - len(rest) + 1)

    def _is_model_at(self, at: int) -> bool:
        """Return whether the name of a model begins there."""
        rest = self._name[at:].lstrip()
        for form in self._forms:
            beginning, colon, _ = form.partition(":")
            if not rest.startswith(beginning + colon):
                continue
            if colon or rest[len(form) :].lstrip()[:1] in ("", "+", ",", ")", "*"):
                return True
        return rest.startswith(_WBF)

    def _take(self, sign: str) -> bool:
        self._skip_blanks()
        taken = self._name.startswith(sign, self._at)
        self._at += taken
        return taken

    def _skip_blanks(self) -> None:
        while self._name.startswith(" ", self._at):
            self._at += 1

    def _check_different(self, members: Sequence[Node]) -> None:
        for i, member in enumerate(members):
            if member in members[:i]:
                self._refuse(f"{written(member)} twice")

    def _refuse(self, found: str) -> None:
        raise UsageError(
            "bad_joined_model",
            f"--model must join different models as in A+B, wbf(A,B) or wbf(A,B*2), got {found} in "
            f"{self._name!r}",
        )
