"""What a choice among boxes, and a photo's EXIF, mean for its record."""

from __future__ import annotations

from typing import Any

from detic_crop.boxes.choose import Choice
from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.images.exif import Exif
from detic_crop.images.metadata import metadata_of


def fields_of_choice(candidates: Detections, choice: Choice) -> dict[str, Any]:
    """Return the fields of `Record` that follow from the detector's boxes and the choice among them.

    Args:
        candidates: the boxes that are kept, in pixels of the upright photo.
        choice: indices into `candidates`.
    """
    chosen, best, larger, rival = choice.index, choice.best, choice.larger, choice.rival
    fields: dict[str, Any] = {
        "status": "resized" if chosen is None else "cropped",
        "reason": choice.reason,
        "presence": candidates.presence,
        "unlisted": not candidates.listed,
        "n_candidates": choice.n_candidates,
        "n_apart": choice.n_apart,
    }
    if chosen is not None:
        fields["class_name"] = candidates.class_names[chosen]
        fields["score"] = candidates.score(chosen)
        fields["box"] = candidates.edges(chosen)
    if best is not None and best != chosen:
        fields["best_class"] = candidates.class_names[best]
        fields["best_score"] = candidates.score(best)
        fields["best_box"] = candidates.edges(best)
    if larger is not None:
        fields["larger_score"] = candidates.score(larger)
    if rival is not None:
        fields["rival_class"] = candidates.class_names[rival]
        fields["rival_score"] = candidates.score(rival)
    return fields


def fields_of_exif(exif: Exif | None, config: CropConfig) -> dict[str, Any]:
    """Return the fields of `Record` that follow from a photo's EXIF: none that was not asked for."""
    if exif is None or not config.metadata:
        return {}
    found = metadata_of(exif)
    return (found if config.gps else found._replace(latitude=None, longitude=None))._asdict()
