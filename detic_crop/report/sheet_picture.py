"""A contact sheet as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from detic_crop.report.sheet import SheetCrop

_COLUMNS = 6
_SIDE = 200  # of a thumbnail, px
_GAP = 16
_FONT_SIZE = 14
_LINE = 18
_LINES = 4  # below a crop: name, score, flags on two
_GREY = (90, 90, 90)


def sheet_png(title: str, crops: Sequence[SheetCrop]) -> bytes:
    """Return a contact sheet as a PNG: a heading, then rows of crops with their text below."""
    font = ImageFont.load_default(_FONT_SIZE)
    columns = max(1, min(_COLUMNS, len(crops)))
    rows = -(-len(crops) // columns)
    cell_w, cell_h = _SIDE + _GAP, _SIDE + _LINES * _LINE + _GAP
    width = max(columns * cell_w + _GAP, 3 * cell_w)
    sheet = Image.new("RGB", (width, 2 * _GAP + _LINE + rows * cell_h), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), _cut(title, width - 2 * _GAP, font), "black", font)
    for place, crop in enumerate(crops):
        left, top = _GAP + place % columns * cell_w, 2 * _GAP + _LINE + place // columns * cell_h
        _draw_picture(sheet, draw, crop, (left, top), font)
        flags = ", ".join(crop.flags).replace("_", " ")
        lines = [_cut(crop.name, _SIDE, font), _cut(crop.found, _SIDE, font), *_wrapped(flags, font)]
        for number, line in enumerate(lines[:_LINES]):
            colour = "black" if number == 0 else _GREY
            draw.text((left, top + _SIDE + 4 + number * _LINE), line, colour, font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def _draw_picture(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, crop: SheetCrop, corner: tuple[int, int], font: _Font
) -> None:
    left, top = corner
    if crop.jpeg is None:
        draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=_GREY)
        draw.text((left + 8, top + 8), "no picture", _GREY, font)
        return
    with Image.open(io.BytesIO(crop.jpeg)) as picture:
        sheet.paste(picture, (left, top + _SIDE - picture.height))


def _cut(text: str, width: int, font: _Font) -> str:
    """Return as much of a text as fits on a line; of a long path the end is kept."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())[-300:]
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"…{line}") > width:
        line = line[1:]
    return f"…{line}"


def _wrapped(text: str, font: _Font) -> list[str]:
    """Return a text as lines that fit below a crop, two at most."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= _SIDE:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > 2:
        lines = [lines[0], f"{lines[1]} …"]
    return lines
