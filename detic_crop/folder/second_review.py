"""second_review.csv: what further persons said of the sample without knowing of each other.

Its lines are those of review.csv, but they change no crop: they are only held against it. Each person has a
last word of their own on each photo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import Review, VerdictLog, now


class SecondReview(NamedTuple):
    """What the file says.

    Attributes:
        by_person: name → key → that person's last word on the photo; none that was taken back.
        damage: as of `Review`, without verdicts.
    """

    by_person: Mapping[str, Mapping[str, Verdict]]
    damage: Review

    @property
    def images(self) -> set[str]:
        """Keys of the photos of which anything was said."""
        return {image for said in self.by_person.values() for image in said}


def is_same_person(one: str, other: str) -> bool:
    """Return whether two names are spelled alike, but for case and blanks."""
    return plain_name(one) == plain_name(other)


def plain_name(name: str) -> str:
    """Return a name as it is compared."""
    return " ".join(name.split()).casefold()


def read_second_review(path: Path) -> SecondReview:
    """Read the file; an absent file holds nothing."""
    log = VerdictLog(path)
    spelled: dict[str, str] = {}
    said: dict[str, dict[str, Verdict]] = {}
    for verdict in log.read_all():
        name = spelled.setdefault(plain_name(verdict.reviewer), verdict.reviewer)
        said.setdefault(name, {})[verdict.image] = verdict
    standing = {
        name: {image: last for image, last in of_one.items() if last.verdict != "undone"}
        for name, of_one in said.items()
    }
    by_person = {name: standing[name] for name in sorted(standing, key=plain_name) if standing[name]}
    return SecondReview(by_person, Review({}, log.damaged, log.first_damaged))


def take_back_second(path: Path, review: SecondReview, images: Set[str]) -> None:
    """Take back all that was said of some photos.

    Raises:
        OutputError: it may not be on the disk.
    """
    lines = [
        Verdict(image, "undone", (), name, now())
        for name, said in review.by_person.items()
        for image in said
        if image in images
    ]
    if lines:
        VerdictLog(path).append(*lines)


class OwnVerdicts:
    """What one person says, in a file that several write to; what the others say is not seen.

    Args:
        log: the file.
        reviewer: name of the person.
    """

    def __init__(self, log: VerdictLog, reviewer: str) -> None:
        self._log = log
        self._reviewer = reviewer

    def refresh(self) -> list[Verdict]:
        """Return what is new of this person's; see `VerdictLog.refresh`."""
        return self._own(self._log.refresh())

    def append_decided(self, decide: Callable[[list[Verdict]], Sequence[Verdict]]) -> list[Verdict]:
        """Write what is decided on this person's verdicts; see `VerdictLog.append_decided`."""
        return self._own(self._log.append_decided(lambda new: decide(self._own(new))))

    def _own(self, verdicts: list[Verdict]) -> list[Verdict]:
        return [verdict for verdict in verdicts if is_same_person(verdict.reviewer, self._reviewer)]
