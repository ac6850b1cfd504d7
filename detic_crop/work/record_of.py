"""What a choice among boxes, and a photo's EXIF, mean for its record."""

from __future__ import annotations

from dataclasses import replace as replace_in
from typing import Any

from msgspec.structs import replace

from detic_crop.boxes.choose import Choice, choose_all, choose_and_keep, presence_of
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import rectangle_of
from detic_crop.config import CropConfig
from detic_crop.folder.animals import numbered_animals, with_animals
from detic_crop.folder.records import Record, status_and_reason
from detic_crop.images.exif import Exif
from detic_crop.images.metadata import metadata_of


def record_as_detected(
    record: Record,
    detections: Detections,
    config: CropConfig,
    classes: tuple[str, ...] | None,
    conf: float,
) -> tuple[Record, Detections]:
    """Return a record with what a detector alone decides, and the boxes to keep.

    Of the crops it has the rectangles to cut out; those without one are not to be made.

    Args:
        record: record of the photo so far, with its size.
        detections: all boxes of the photo.
        config: the settings as resolved.
        classes: wanted class names; None for any.
        conf: lowest score of an eligible box, where the settings do not have one for what found the boxes.
    """
    conf = config.confs.get(detections.found_by, conf)
    kept, choice = choose_and_keep(detections, classes, conf, (record.width, record.height))
    kept = replace_in(kept, presence=presence_of(detections.rounded(), classes))
    record = replace(
        record,
        presence=kept.presence,
        unlisted=not kept.listed,
        n_candidates=choice.n_candidates,
        found_by="" if choice.index is None else kept.found_by,
    )
    size = record.width, record.height
    if config.animals == "all":
        found = [_fields_of(each, kept) for each in choose_all(kept, classes, conf, config.max_animals)]
        record = with_animals(record, numbered_animals(found, config, size))
        record = replace(record, n_apart=max(0, len(found) - 1))
    else:
        fields = _fields_of(choice, kept)
        rectangle = rectangle_of(fields.get("box"), config, size)
        record = replace(record, **fields, n_apart=choice.n_apart, crop_box=rectangle)
    status, reason = status_and_reason(record)
    return replace(record, status=status, reason=reason), kept


def _fields_of(choice: Choice, kept: Detections) -> dict[str, Any]:
    """Return the fields of a photo or an animal that follow from a choice.

    Args:
        choice: indices into `kept`.
        kept: the boxes that are kept, in pixels of the upright photo.
    """
    chosen, best, larger, rival = choice.index, choice.best, choice.larger, choice.rival
    fields: dict[str, Any] = {}
    if chosen is not None:
        fields["class_name"] = kept.class_names[chosen]
        fields["score"] = kept.score(chosen)
        fields["box"] = kept.edges(chosen)
    if best is not None and best != chosen:
        fields["best_class"] = kept.class_names[best]
        fields["best_score"] = kept.score(best)
        fields["best_box"] = kept.edges(best)
    if larger is not None:
        fields["larger_score"] = kept.score(larger)
    if rival is not None:
        fields["rival_class"] = kept.class_names[rival]
        fields["rival_score"] = kept.score(rival)
    return fields


def fields_of_exif(exif: Exif | None, config: CropConfig) -> dict[str, Any]:
    """Return the fields of `Record` that follow from a photo's EXIF: none that was not asked for."""
    if exif is None or not config.metadata:
        return {}
    found = metadata_of(exif)
    return (found if config.gps else found._replace(latitude=None, longitude=None))._asdict()
