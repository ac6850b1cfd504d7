"""What a journal adds up to: photos by status and failures by reason, without holding or checking its lines.

`replay` checks every line, for those who go on from it. Whoever only wants to know how far a run is, perhaps
while it is at work, should not wait for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from detic_crop.folder.records import Record
from detic_crop.folder.typed_json import decode, decode_lines

_CHUNK = 1 << 20  # bytes that are read together


class _Said(msgspec.Struct, frozen=True, gc=False):
    """What counts of a line; the first one, with the settings, has no image."""

    image: str = ""
    status: str = ""
    reason: str = ""


_said = msgspec.json.Decoder(_Said)


@dataclass(slots=True)
class Tally:
    """What a journal adds up to; the last line of each photo counts.

    Attributes:
        statuses: number of photos by status.
        failures: number of failed photos by reason.
        records: last record of those photos that were wanted, by key.
        newer: number of lines behind the byte that was asked for.
        missing: number of photos that should have a line and have none.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    records: dict[str, Record] = field(default_factory=dict)
    newer: int = 0
    missing: int = 0

    @property
    def photos(self) -> int:
        """Number of photos with a line."""
        return self.statuses.total()


def tally(
    path: Path, wanted: Container[str] = frozenset(), expected: Iterable[str] = (), behind: int = 0
) -> Tally:
    """Add up a journal, as far as it has whole lines; an absent one has nothing.

    Args:
        path: the journal; a run may be writing to it.
        wanted: keys of photos whose records are wanted.
        expected: keys of photos that should have a line, each once.
        behind: byte from which on lines are counted as newer.

    Raises:
        OSError: it cannot be read.
    """
    found = Tally()
    last: dict[str, tuple[str, str]] = {}
    kinds: dict[tuple[str, str], tuple[str, str]] = {}  # a million photos have few of them
    for start, block in _whole_lines(path):
        if start + len(block) > behind:
            found.newer += block.count(b"\n", max(0, behind - start))
        lines = block.split(b"\n")[:-1]
        for said, line in zip(
            decode_lines(block, _said, len(lines)) or _one_by_one(lines), lines, strict=True
        ):
            if said.image:
                kind = said.status, said.reason if said.status == "failed" else ""
                last[said.image] = kinds.setdefault(kind, kind)
                if said.image in wanted:
                    _keep(line, said.image, found.records)
    found.missing = sum(key not in last for key in expected)
    for (status, reason), number in Counter(last.values()).items():
        found.statuses[status] += number
        if status == "failed":
            found.failures[reason] += number
    return found


def _one_by_one(lines: list[bytes]) -> list[_Said]:
    """Return what each of some lines says, of which one is damaged: that says nothing."""
    found = []
    for line in lines:
        try:
            found.append(decode(line, _said))
        except ValueError:
            found.append(_Said())
    return found


def _keep(line: bytes, image: str, records: dict[str, Record]) -> None:
    try:
        records[image] = Record.from_line(line)
    except ValueError:  # damaged: what an earlier line says no longer holds
        records.pop(image, None)


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, lines), some lines at a time, without a torn last one."""
    try:
        file = open(path, "rb")  # noqa: SIM115
    except (FileNotFoundError, NotADirectoryError):
        return
    offset, begun = 0, b""
    with file:
        while part := file.read(_CHUNK):
            whole, feed, begun = (begun + part).rpartition(b"\n")
            if feed:
                yield offset, whole + feed
                offset += len(whole) + 1
