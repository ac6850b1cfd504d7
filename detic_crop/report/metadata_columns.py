"""Columns with what the EXIF of each photo says: when, with what and where it was taken."""

from __future__ import annotations

from collections.abc import Mapping

from detic_crop.folder.records import Record

METADATA: Mapping[str, str] = {
    "taken": "when it was taken, by the camera's clock, ISO 8601; with the offset from UTC where EXIF has it",
    "camera": "make and model",
    "lens": "model of the lens",
    "focal_mm": "focal length, millimetres",
}
POSITION: Mapping[str, str] = {
    "latitude": "with --gps: where it was taken, decimal degrees, WGS 84, north positive",
    "longitude": "with --gps: decimal degrees, east positive",
}
NUMBERS = ("focal_mm", *POSITION)


class MetadataColumns:
    """The columns of ``--metadata``, and with ``--gps`` the position.

    Args:
        gps: with the position.
    """

    are_of_photo = True

    def __init__(self, gps: bool) -> None:
        self._gps = gps
        self.columns: Mapping[str, str] = {**METADATA, **(POSITION if gps else {})}
        self.numbers = [name for name in NUMBERS if name in self.columns]

    def cells(self, record: Record) -> dict[str, str]:
        """Return the cells of the row of a photo; empty where its EXIF does not say."""
        cells = {
            "taken": record.taken,
            "camera": record.camera,
            "lens": record.lens,
            "focal_mm": "" if record.focal_mm is None else f"{record.focal_mm:g}",
        }
        if self._gps:
            cells["latitude"] = _degrees(record.latitude)
            cells["longitude"] = _degrees(record.longitude)
        return cells


def _degrees(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
