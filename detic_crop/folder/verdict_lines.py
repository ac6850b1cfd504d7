"""The lines of review.csv: how a verdict is written, and what a line means that came from anywhere.

People edit the file by hand and in spreadsheets, disks flip bits, and writers are killed. So a line is read
by itself where that is possible, and one that is not a verdict costs nothing but itself. The last cell is a
checksum of the others: no other photo or box than was meant is ever taken. A line without one, as people and
earlier versions write it, counts as it stands.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from detic_crop.boxes.geometry import Box

VERDICTS = ("accepted", "whole", "box", "rejected", "undone")
"""Keep the detector's crop, take the whole photo, take another box, reject the photo, undo the last one."""

HEADER = ("image", "verdict", "box", "reviewer", "time")
CHECKSUM = "crc"
"""Column after these in files that are begun now."""

_DELIMITERS = (",", ";", "\t")
_BLANK = "\r\n " + '"' + "".join(_DELIMITERS)
_BYTE_ORDER_MARK = "\ufeff"
_TORN = b",,,,,,torn\n"  # more cells than a verdict has
_EARLIER_TORN = b",,,,,torn"
_EDGE = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")


class Verdict(NamedTuple):
    """One line of the file.

    Attributes:
        image: key of the photo.
        verdict: one of `VERDICTS`.
        box: xyxy in pixels of the upright photo; None unless the verdict is ``box``.
        reviewer: name of the person.
        time: time of the verdict, ISO 8601 with the offset from UTC.
    """

    image: str
    verdict: str
    box: Box | None = None
    reviewer: str = ""
    time: str = ""


class Found(NamedTuple):
    """What some lines mean together.

    Attributes:
        lines: number of lines that were taken.
        verdict: what they say; None of a header, of a blank line, and of what is damaged.
        is_damaged: whether it is none of these.
        is_certain: whether a checksum says that the verdict is as it was written.
    """

    lines: int = 1
    verdict: Verdict | None = None
    is_damaged: bool = False
    is_certain: bool = False


_DAMAGED = Found(is_damaged=True)
_NOTHING = Found()


class VerdictLines:
    """Reads and writes the lines of one file, in order; what its header says counts for those after it."""

    def __init__(self) -> None:
        self._delimiters = {","}  # spreadsheets write others
        self._has_checksums = False

    # ------------------------------------------------------------ writing

    def header(self) -> bytes:
        """Return the header of a file that is begun now."""
        self._has_checksums = True
        return _csv_line([*HEADER, CHECKSUM])

    def line(self, verdict: Verdict) -> bytes:
        """Return a verdict as a line; with a checksum only where the header has a column for it."""
        box = "" if verdict.box is None else " ".join(f"{edge:.12g}" for edge in verdict.box)
        cells = [verdict.image, verdict.verdict, box, verdict.reviewer, verdict.time]
        cells = [cell.encode(errors="backslashreplace").decode() for cell in cells]
        return _csv_line([*cells, _checksum(cells)] if self._has_checksums else cells)

    def end_of(self, rest: bytes) -> bytes:
        """Return what ends a last line without an end; a torn one gets too many cells for a verdict."""
        if self.read(rest).verdict is not None:
            return b"\n"
        return (b'"' if _is_odd(rest) else b"") + _TORN

    # ------------------------------------------------------------ reading

    def read_all(self, lines: Sequence[bytes]) -> Iterator[Found]:
        """Yield what each line means, in order; a last one that may go on in lines to come is left out.

        A cell spans lines between two quotation marks. Where a mark is astray, the lines up to the next one
        are verdicts by themselves, and are read so. The time this takes grows with the lines, and no faster.

        Args:
            lines: whole lines, with their ends.
        """
        odd = deque(number for number, line in enumerate(lines) if _is_odd(line))
        number = 0
        while number < len(lines):
            if odd and odd[0] == number:
                odd.popleft()
                found = self._read_spanning(lines[number : odd[0] + 1 if odd else None], is_closed=bool(odd))
                if found is None:
                    return
                if found.lines > 1:
                    odd.popleft()
            else:
                found = self.read(lines[number])
            yield found
            number += found.lines

    def _read_spanning(self, lines: Sequence[bytes], *, is_closed: bool) -> Found | None:
        """Return what lines mean of which the first has an odd mark, and the last one the next, if any.

        Either that is one verdict, or the first line alone is damaged. None: it is not known yet.
        """
        line = b"".join(lines)
        found = self.read(line)._replace(lines=len(lines)) if is_closed else _DAMAGED
        if found.is_certain:
            return found
        if any(self.read(within).verdict is not None for within in lines[1:]):
            return _DAMAGED
        if not is_closed:
            return None
        return found if found.verdict is not None or line.rstrip().endswith(_EARLIER_TORN) else _DAMAGED

    def read(self, line: bytes) -> Found:
        """Return what a line means by itself, or several that are one."""
        if _is_odd(line):  # also where the csv module would take the mark for a part of a name
            return _DAMAGED
        try:
            text = line.decode().removeprefix(_BYTE_ORDER_MARK)
        except UnicodeDecodeError:
            return _DAMAGED
        if not text.strip(_BLANK):
            return _NOTHING
        for delimiter in _DELIMITERS:
            cells = _cells(text, delimiter)
            if _is_header(cells):
                self._delimiters.add(delimiter)
                self._has_checksums = CHECKSUM in cells
                return _NOTHING
            if delimiter in self._delimiters and (verdict := _verdict_of(cells)) is not None:
                return Found(verdict=verdict, is_certain=len(cells) > len(HEADER))
        return _DAMAGED


def _is_odd(line: bytes) -> bool:
    return line.count(b'"') % 2 == 1


def _cells(text: str, delimiter: str) -> list[str]:
    """Return the cells of one row, without empty ones that spreadsheets add; none of what is not one row."""
    try:
        (cells,) = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    except (ValueError, csv.Error):
        return []
    while len(cells) > len(HEADER) and not cells[-1]:
        cells.pop()
    return cells


def _is_header(cells: Sequence[str]) -> bool:
    return tuple(cells) in (HEADER, (*HEADER, CHECKSUM))


def _verdict_of(cells: Sequence[str]) -> Verdict | None:
    """Return the verdict that cells are; None where one of them is not what it must be."""
    said, rest = cells[: len(HEADER)], cells[len(HEADER) :]
    if len(said) < len(HEADER) or rest not in ([], [_checksum(said)]):
        return None
    image, verdict, box, reviewer, time = said
    xyxy = _box_of(box)
    if not image or verdict not in VERDICTS or (xyxy is None) == (verdict == "box") or (box and xyxy is None):
        return None
    return Verdict(image, verdict, xyxy, reviewer, time)


def _box_of(cell: str) -> Box | None:
    """Return the box in a cell; None unless it is four numbers that make one."""
    edges = [float(edge) for edge in cell.split() if _EDGE.fullmatch(edge)]
    if len(edges) != 4 or len(cell.split()) != 4 or not all(map(math.isfinite, edges)):
        return None
    left, top, right, bottom = edges
    return (left, top, right, bottom) if left < right and top < bottom else None


def _checksum(cells: Sequence[str]) -> str:
    # With a word before it: a spreadsheet would take 00123456 or 1234e567 for a number.
    return f"{CHECKSUM}-{zlib.crc32(chr(0).join(cells).encode(errors='surrogatepass')):08x}"


def _csv_line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    # Before Python 3.13 a lone carriage return, which a file name may hold, is not quoted of itself.
    quote_all = any("\r" in cell for cell in cells)
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator="\n", quoting=quoting).writerow(cells)
    return text.getvalue().encode()
