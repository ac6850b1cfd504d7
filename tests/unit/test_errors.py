"""Every error has a code that names its cause, and every code a line in the table of sentences."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import detic_crop
import detic_crop.detectors.download
from detic_crop.errors import DeticCropError, Interrupted, PhotoError, Terminated, UsageError
from tests.kit.errors import codes_in, complained, refused
from tests.kit.wording import WORDING

PACKAGE = Path(detic_crop.__file__).parent


def _kinds(kind: type[DeticCropError]) -> Iterator[type[DeticCropError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _errors(of_photos: bool = False) -> Iterator[tuple[str, ast.Call]]:
    """Return (place, call) of every error that the package makes: those of single photos, or the others."""
    names = {kind.__name__ for kind in _kinds(DeticCropError) if issubclass(kind, PhotoError) == of_photos}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", node


def _codes(of_photos: bool = False) -> dict[str, str]:
    """Return code → one place where it is given."""
    return {
        call.args[0].value: place
        for place, call in _errors(of_photos)
        if len(call.args) > 1
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_every_error_has_a_code() -> None:
    assert [place for place, call in _errors() if len(call.args) < 2] == []


def test_every_code_has_its_wording_in_the_table() -> None:
    missing = {code: place for code, place in _codes().items() if code not in WORDING}
    assert missing == {}, "add a line to tests/kit/wording.py"


def test_the_table_has_no_code_that_is_gone() -> None:
    assert sorted(WORDING.keys() - _codes().keys() - _codes(of_photos=True).keys()) == []


def test_a_code_is_in_snake_case() -> None:
    assert [code for code in WORDING if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", code)] == []


def test_refused_looks_at_the_code_and_at_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORDING, "no_sea", "there is no sea")
    with refused("no_sea", UsageError) as caught:
        raise UsageError("no_sea", "there is no sea at 52° N")
    assert "52° N" in caught.value.message
    with pytest.raises(AssertionError, match="expected the error no_sea, got no_land"), refused("no_sea"):
        raise UsageError("no_land", "there is no sea at 52° N")
    with pytest.raises(AssertionError, match="is not as in the table"), refused("no_sea"):
        raise UsageError("no_sea", "there is no land")


def test_a_line_of_the_command_line_is_mapped_to_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORDING, "no_sea", "there is no sea")
    stderr = "looking\ndetic-crop: there is no sea at 52° N\n"
    assert complained("no_sea", stderr) == "detic-crop: there is no sea at 52° N"
    assert codes_in(stderr) == ["no_sea"]


def test_what_ends_a_call_early_can_be_pickled() -> None:
    result = SimpleNamespace(remaining=3)
    interrupted = pickle.loads(pickle.dumps(Interrupted(result)))
    assert interrupted.result == result
    assert str(interrupted).startswith("3 photos to do; ")
    terminated = pickle.loads(pickle.dumps(Terminated(result)))
    assert (terminated.code, terminated.result) == (143, result)
