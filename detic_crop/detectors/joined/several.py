"""What several detectors are together: one description, and how each is asked in the groups that it takes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.batches import in_groups
from detic_crop.detectors.vocabulary import join_names, resolve_classes
from detic_crop.errors import UsageError

ANIMAL = ""
"""What all wanted classes are where boxes are compared: models have different names for one animal."""

_NO_PIXEL = np.zeros(3, np.uint8)


class Several(Detector):
    """Detectors that answer as one; a subclass says how.

    Attributes:
        members: the detectors.
        classes: class names that are wanted; None for any.
        lookups: those single models that look their answers up, by name. Another process takes them as they
            are: it may not have what they read, and they have been told of the photos.
    """

    def __init__(self, members: Iterable[Detector]) -> None:
        self.members = tuple(members)
        self.preferred_batch = max(member.preferred_batch for member in self.members)
        self.classes: tuple[str, ...] | None = None
        self.lookups: Mapping[str, Detector] = {}

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return the boxes in one photo; see `Detector`."""
        return self.detect_batch([self.prepare(image, key)])[0]

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Tell each member which classes are wanted."""
        self.classes = None if classes is None else tuple(classes)
        for member in self.members:
            member.ask_for(classes, conf)

    def kinds_of(self, found: Detections) -> list[str]:
        """Return what each box is when boxes are compared: `ANIMAL`, or the class that nobody wants."""
        wanted = wanted_mask(found, self.classes)
        return [ANIMAL if w else name for w, name in zip(wanted, found.class_names, strict=True)]

    def apart(self) -> Self:
        """Return another one that may be asked for something else; what takes memory is shared."""
        other = copy.copy(self)
        other.members = tuple(
            member.apart() if isinstance(member, Several) else copy.copy(member) for member in self.members
        )
        return other

    def expect(self, photos: Mapping[str, str]) -> None:
        """Tell each member of the photos.

        Raises:
            UsageError: one of them looks photos up and knows none of these.
        """
        for member in self.members:
            member.expect(photos)

    def notes(self) -> list[str]:
        """Return what each member says, once."""
        return list(dict.fromkeys(note for member in self.members for note in member.notes()))


def prepared_for(
    member: Detector, image: NDArray[np.uint8], key: str, photo_hw: tuple[int, int] | None
) -> Any:
    """Return what a member makes of a photo; one that needs no pixels is told the photo's own size."""
    if not member.info.needs_pixels and photo_hw is not None:
        return member.prepare(np.broadcast_to(_NO_PIXEL, (*photo_hw, 3)), key, photo_hw)
    return member.prepare(image, key, photo_hw)


def ask(member: Detector, prepared: Sequence[Any]) -> list[Detections]:
    """Return a member's answers, in order; it is given photos of one group, and no more than it prefers."""

    def in_batches(photos: Sequence[Any]) -> list[Detections]:
        found: list[Detections] = []
        while photos:  # what the member prefers may fall on the way
            some, photos = photos[: member.preferred_batch], photos[member.preferred_batch :]
            found += member.detect_batch(some)
        return found

    return in_groups(in_batches, prepared, member.group_of)


def described(
    name: str, members: Sequence[Detector], default_conf: float, confs: Mapping[str, float] | None = None
) -> DetectorInfo:
    """Return the description of several detectors that answer as one.

    Args:
        name: their joined name.
        members: the detectors.
        default_conf: see `DetectorInfo`.
        confs: see `DetectorInfo`.
    """
    infos = [member.info for member in members]
    return DetectorInfo(
        name=name,
        class_names=tuple(dict.fromkeys(each for info in infos for each in info.class_names)),
        default_conf=default_conf,
        weights=_all_weights(infos),
        vocabulary=next((info.vocabulary for info in infos if info.vocabulary), ""),
        default_classes=_default_classes(infos),
        floor=max(info.floor for info in infos),
        thread_safe=all(info.thread_safe for info in infos),
        needs_pixels=any(info.needs_pixels for info in infos),
        input_size=_input_size(infos),
        memory_per_photo=max(info.memory_per_photo for info in infos),
        confs=confs or {},
    )


def unique(names: Iterable[str]) -> list[str]:
    """Return the names, each that was there before with a number: ``boxes.csv``, ``boxes.csv (2)``."""
    found: list[str] = []
    for name in names:
        number, other = 1, name
        while other in found:
            number += 1
            other = f"{name} ({number})"
        found.append(other)
    return found


def default_wanted(info: DetectorInfo) -> tuple[str, ...] | None:
    """Return the classes that a detector's default asks for; None for any, also if it has none of them."""
    try:
        return resolve_classes(info.default_classes, info.class_names, info.name)
    except UsageError:
        return None


def _all_weights(infos: Sequence[DetectorInfo]) -> dict[str, str]:
    """Return the files of all; another file of a name that is there gets a number."""
    found: dict[str, str] = {}
    for name, sha256 in (pair for info in infos for pair in info.weights.items()):
        if found.get(name, sha256) != sha256:
            name = unique([*found, name])[-1]
        found[name] = sha256
    return found


def _default_classes(infos: Sequence[DetectorInfo]) -> str:
    """Return ``--classes`` that mean of each detector what its own default means."""
    defaults = {info.default_classes for info in infos}
    if len(defaults) == 1:
        return defaults.pop()
    wanted: dict[str, None] = {}
    for info in infos:
        names = default_wanted(info)
        wanted.update(dict.fromkeys(info.class_names if names is None else names))
    return join_names(wanted) if wanted else "any"


def _input_size(infos: Sequence[DetectorInfo]) -> tuple[int, int] | None:
    """Return bounds that keep to those of every detector that looks at pixels."""
    sizes = [info.input_size for info in infos if info.needs_pixels]
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes):
        return None
    return max(shortest for shortest, _ in known), max(longest for _, longest in known)
