"""What the commands that serve a page share."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from detic_crop.errors import UsageError


@contextmanager
def server_needed(page: str, extra: str) -> Iterator[None]:
    """Import in this block what the server of a page needs.

    Args:
        page: what the page is called in the message.
        extra: the extra of this package that brings it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            "missing_extra",
            f"{page} needs {missing}, which is not installed: pip install 'detic-crop[{extra}]'",
        ) from error


def login_name() -> str:
    """Return the name that is noted with verdicts where nobody gave another."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return "unknown"
