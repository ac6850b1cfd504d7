"""Assert which error was raised by its code; the sentence is held against `WORDING`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

import pytest

from detic_crop.errors import DeticCropError
from tests.kit.wording import WORDING


@contextlib.contextmanager
def refused(
    code: str, kind: type[DeticCropError] = DeticCropError, *, names: Sequence[str] = (), match: str = ""
) -> Iterator[pytest.ExceptionInfo[DeticCropError]]:
    """Expect the error of that code, as `pytest.raises` expects one of a class.

    Args:
        code: of the error; its sentence must be as in `WORDING`.
        kind: its class.
        names: what the sentence must name: a path, a number, an option.
        match: pattern of what else it must say; options are as the command line has them.
    """
    wording = WORDING[code]
    with pytest.raises(kind) as caught:
        yield caught
    error, said = caught.value, caught.value.message
    assert error.code == code, f"expected the error {code}, got {error.code or 'one without a code'}: {said}"
    assert re.search(wording, said), (
        f"the sentence of {code} is not as in the table, tests/kit/wording.py: {said}"
    )
    assert [name for name in names if name not in said] == [], said
    assert re.search(match, said), said


def complained(code: str, stderr: str) -> str:
    """Assert that the command line told that error; return its line."""
    lines = [line for line in stderr.splitlines() if re.search(WORDING[code], _sentence(line))]
    assert lines, f"expected the error {code}, got {', '.join(codes_in(stderr)) or 'none'}: {stderr}"
    return lines[0]


def codes_in(stderr: str) -> list[str]:
    """Return the codes of the errors that the command line told."""
    lines = [_sentence(line) for line in stderr.splitlines()]
    return [code for code, pattern in WORDING.items() if any(re.search(pattern, line) for line in lines)]


def _sentence(line: str) -> str:
    return line.removeprefix("detic-crop: ")
