"""Assert which error was raised by its code; the sentence is held against `WORDING`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from detic_crop.errors import DeticCropError
from tests.kit.wording import WORDING


@contextlib.contextmanager
def refused(
    code: str, kind: type[DeticCropError] = DeticCropError
) -> Iterator[pytest.ExceptionInfo[DeticCropError]]:
    """Expect the error of that code, as `pytest.raises` expects one of a class.

    ``with refused("other_settings") as caught: …``, then ``str(caught.value)`` for paths and numbers in it.
    """
    pattern = WORDING[code]
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, f"expected the error {code}, got {error.code or 'one without a code'}: {error}"
    assert re.search(pattern, str(error)), (
        f"the sentence of {code} is not as in the table, tests/kit/wording.py: {error}"
    )


def complained(code: str, stderr: str) -> str:
    """Assert that the command line told that error; return its line."""
    lines = [line for line in stderr.splitlines() if re.search(WORDING[code], line)]
    assert lines, f"expected the error {code}, got {', '.join(codes_in(stderr)) or 'none'}: {stderr}"
    return lines[0]


def codes_in(stderr: str) -> list[str]:
    """Return the codes of the errors that the command line told."""
    return [code for code, pattern in WORDING.items() if re.search(pattern, stderr)]
