"""XML as a tree, without what XML can do to its reader."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from detic_crop.detectors.boxes_file.table import RowError


def parse_xml(data: bytes) -> Element:
    """Return the root element.

    Raises:
        RowError: it is not XML, or declares a document type: its entities could grow without bounds or read
            other files, and no tool for labels writes any.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data, True)
        root = builder.close()
    except RowError:
        raise
    except (expat.ExpatError, AssertionError, ValueError, LookupError) as error:
        raise RowError(f"expected XML, got text that cannot be read as such ({error})") from error
    return root


def _refuse(*_: object) -> None:
    raise RowError("expected XML without a document type, got a <!DOCTYPE; remove that line")


def text_of(element: Element | None, path: str) -> str | None:
    """Return the text of a sub-element without outer blanks; None if there is no such element or text."""
    text = None if element is None else element.findtext(path)
    return (text or "").strip() or None
