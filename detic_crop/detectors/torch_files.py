"""What `torch.save` writes, looked at from outside: whether a file may be opened at all. Needs no torch."""

from __future__ import annotations

import zipfile
from pathlib import Path

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how torch.save began before version 1.6


def damage_of(path: Path, *, thorough: bool) -> str | None:
    """Return why this is no whole file of `torch.save`, as a phrase that follows its name; None if it may be.

    torch opens other files, too, and believes what they say of their lengths: a kilobyte would become a
    terabyte.

    Args:
        path: the file.
        thorough: read all of it, and compare its checksums.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(len(_LEGACY))
    if start == _LEGACY:  # only opening it will tell
        return None
    if not start.startswith(b"PK"):
        what = (
            "a web page" if start.lstrip().startswith(b"<") else f"something that begins with {start[:8]!r}"
        )
        return f"is not a PyTorch checkpoint but {what}"
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:  # its table of contents comes last
            parts = archive.infolist()
            is_packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
            if is_packed or sum(part.file_size for part in parts) > size:
                return "claims to hold more than its own bytes, which no file of torch.save does"
            if not any(part.filename.endswith("/data.pkl") for part in parts):
                return "is damaged (it has no data.pkl)"
            damaged = archive.testzip() if thorough else None
    except OSError:
        raise
    except Exception as error:  # zipfile raises a dozen kinds of error for a damaged one
        return f"is cut off or damaged ({error})"
    return f"is damaged ({damaged})" if damaged else None
