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

VERDICTS = ("accepted", "whole", "box", "rejected", "unsure", "undone")
"""Keep the detector's crops, take the whole photo, take other boxes, reject the photo, cannot tell; and take
the last one back."""

VIEWPOINTS = ("left", "right", "top", "fluke")
"""From which side the animal is seen: its left or right side, from above, or the fluke."""

HEADER = ("image", "verdict", "box", "reviewer", "time", "note", "viewpoint")
CHECKSUM = "crc"
"""Column after these in files that are begun now."""

_HEADERS = (HEADER, HEADER[:6], HEADER[:5])
"""Each version only added columns: the number of cells of a line tells which it has."""
_FEWEST = len(_HEADERS[-1])
_BETWEEN_BOXES = "; "

_DELIMITERS = (",", ";", "\t")
_BLANK = "\r\n " + '"' + "".join(_DELIMITERS)
_BYTE_ORDER_MARK = "\ufeff"
_TORN = b",,,,,,,,torn\n"  # more cells than a verdict has
_EARLIER_TORN = b",,,,,torn"
_CHECKSUM = re.compile(rf"{CHECKSUM}-[0-9a-f]{{8}}$")
_EDGE = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")


class Verdict(NamedTuple):
    """One line of the file.

    Attributes:
        image: key of the photo.
        verdict: one of `VERDICTS`.
        boxes: of each animal xyxy in pixels of the upright photo; none unless the verdict is ``box``.
        reviewer: name of the person.
        time: time of the verdict, ISO 8601 with the offset from UTC.
        note: what the person wrote about the photo.
        viewpoint: one of `VIEWPOINTS`; empty: nothing was said of it.
    """

    image: str
    verdict: str
    boxes: tuple[Box, ...] = ()
    reviewer: str = ""
    time: str = ""
    note: str = ""
    viewpoint: str = ""

    @property
    def says_something(self) -> bool:
        """Whether it is more than that all is taken back: a verdict, a note or a viewpoint."""
        return self.verdict != "undone" or self.has_remarks

    @property
    def has_remarks(self) -> bool:
        """Whether there is a note or a viewpoint, which stay when a verdict is taken back."""
        return bool(self.note or self.viewpoint)


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
        self._header: Sequence[str] = _HEADERS[-1]
        self._has_checksums = False

    # ------------------------------------------------------------ writing

    def take(self, verdict: Verdict) -> bool:
        """Return whether the lines that are written now have a cell for all that a verdict says."""
        return not any(_further_cells(verdict)[len(self._header) - _FEWEST :])

    def header(self) -> bytes:
        """Return the header of lines that are begun now."""
        self._header, self._has_checksums = HEADER, True
        return _csv_line([*HEADER, CHECKSUM])

    def line(self, verdict: Verdict) -> bytes:
        """Return a verdict as a line; with a checksum only where the header has a column for it."""
        boxes = (" ".join(f"{edge:.12g}" for edge in box) for box in verdict.boxes)
        cells = [verdict.image, verdict.verdict, _BETWEEN_BOXES.join(boxes), verdict.reviewer, verdict.time]
        cells = [*cells, *_further_cells(verdict)][: len(self._header)]
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
            if (header := _header_in(cells)) is not None:
                self._delimiters.add(delimiter)
                self._header, self._has_checksums = header, CHECKSUM in cells
                return _NOTHING
            if delimiter in self._delimiters and (found := _found_in(cells, self._header)) is not None:
                return found
        return _DAMAGED


def _is_odd(line: bytes) -> bool:
    return line.count(b'"') % 2 == 1


def _cells(text: str, delimiter: str) -> list[str]:
    """Return the cells of one row, without empty ones that spreadsheets add; none of what is not one row."""
    try:
        (cells,) = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    except (ValueError, csv.Error):
        return []
    while len(cells) > _FEWEST and not cells[-1]:
        cells.pop()
    return cells


def _header_in(cells: Sequence[str]) -> Sequence[str] | None:
    """Return the columns that a header names before the checksum; None where cells are no header."""
    for header in _HEADERS:
        if tuple(cells) in (header, (*header, CHECKSUM)):
            return header
    return None


def _found_in(cells: Sequence[str], header: Sequence[str]) -> Found | None:
    """Return the verdict that cells are; None where one of them is not what it must be.

    Args:
        cells: of a line as `VerdictLines.line` writes it under this header or an earlier one; people and
            earlier versions leave the checksum out.
        header: the columns; a line with a checksum may have others, where the header is damaged.
    """
    has_checksum = bool(cells) and bool(_CHECKSUM.search(cells[-1]))
    said = cells[:-1] if has_checksum else cells
    if not _FEWEST <= len(said) <= len(HEADER if has_checksum else header):
        return None
    if has_checksum and cells[-1] != _checksum(said):
        return None
    verdict = _verdict_of(said)
    return None if verdict is None else Found(verdict=verdict, is_certain=has_checksum)


def _verdict_of(cells: Sequence[str]) -> Verdict | None:
    image, verdict, box, reviewer, time = cells[:_FEWEST]
    note, viewpoint, *_ = [*cells[_FEWEST:], "", ""]
    boxes = _boxes_of(box)
    if not image or verdict not in VERDICTS or boxes is None or bool(boxes) != (verdict == "box"):
        return None
    if viewpoint not in ("", *VIEWPOINTS):
        return None
    return Verdict(image, verdict, boxes, reviewer, time, note, viewpoint)


def _further_cells(verdict: Verdict) -> list[str]:
    """Return the cells that lines of the earliest version do not have."""
    return [verdict.note, verdict.viewpoint]


def _boxes_of(cell: str) -> tuple[Box, ...] | None:
    """Return the boxes in a cell; None where one of them is not four numbers that make one."""
    if not cell.strip():
        return ()
    boxes = [_box_of(part) for part in cell.split(_BETWEEN_BOXES.strip())]
    found = tuple(box for box in boxes if box is not None)
    return found if len(found) == len(boxes) else None


def _box_of(text: str) -> Box | None:
    edges = [float(edge) for edge in text.split() if _EDGE.fullmatch(edge)]
    if len(edges) != 4 or len(text.split()) != 4 or not all(map(math.isfinite, edges)):
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
