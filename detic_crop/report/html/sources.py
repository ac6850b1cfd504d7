"""What the pictures and words of a photo on the page are made from."""

from __future__ import annotations

from dataclasses import dataclass

from detic_crop.boxes.detections import Detections
from detic_crop.folder.animals import main_crop
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import candidates_of
from detic_crop.folder.records import Record
from detic_crop.report.html.earlier import EarlierPictures
from detic_crop.report.html.thumbnails import crop_picture
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.reasons import reasons_for
from detic_crop.system.memory_budget import MemoryBudget


class CropPictures:
    """Small JPEGs of crops; that of a photo which several parts of the page show is made once.

    Args:
        folder: the output folder; its crops are read.
        memory: where memory for crops is borrowed.
    """

    def __init__(self, folder: OutputFolder, memory: MemoryBudget) -> None:
        self._folder, self._memory = folder, memory
        self._made: dict[str, tuple[bytes | None, str]] = {}

    def of(self, record: Record) -> tuple[bytes | None, str]:
        """Return the JPEG of a photo's crop, and an empty text; or None, and why there is none."""
        if record.image not in self._made:
            name = main_crop(record)
            self._made[record.image] = crop_picture(
                lambda: self._folder.crops.read(name), record.crop, self._memory
            )
        return self._made[record.image]


@dataclass(frozen=True, slots=True)
class Sources:
    """What the pictures and words of a photo are made from.

    Attributes:
        folder: the output folder; its candidates, its crops and its page are read.
        audit: what the page shows.
        crops: the pictures of its crops.
        earlier: the pictures of the page that is there.
        memory: where memory for photos is borrowed.
    """

    folder: OutputFolder
    audit: Audit
    crops: CropPictures
    earlier: EarlierPictures
    memory: MemoryBudget

    def candidates_of(self, photo: AuditPhoto) -> Detections | None:
        """Return every box that was kept of a photo; None if they cannot be read any more."""
        return candidates_of(photo.record, self.folder.layout.candidates)

    def reasons_of(self, photo: AuditPhoto) -> list[str]:
        """Return why a photo deserves a look, see `reasons.reasons_for`."""
        standing = self.audit.photos.standing(photo.record.image)
        return reasons_for(photo, self.audit.config, standing, self.candidates_of(photo))
