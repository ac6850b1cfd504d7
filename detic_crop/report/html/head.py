"""What a page says of where, when and with what it was made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Made:
    """Where, when and with what the crops of a page were made.

    Two pages of the same journal differ in nothing else.

    Attributes:
        folder: name of the output folder, without the path to it, for the page may be mailed; of a store its
            address.
        day: when the last run began; None if nobody knows any more.
        version: version of detic-crop that did that; empty if nobody knows any more.
    """

    folder: str
    day: date | None = None
    version: str = ""

    @classmethod
    def of(cls, folder: str, started: str, version: str) -> Made:
        """Return the same from the beginning of a run as ISO 8601; what is no such time is unknown."""
        try:
            day = date.fromisoformat(started[:10])
        except ValueError:
            day = None
        return cls(folder, day, version)

    @property
    def quoted(self) -> str:
        """The folder as a word of a command line, for whoever is in the folder where it lies."""
        return shlex.quote(f"./{self.folder}" if self.folder.startswith("-") else self.folder)

    @property
    def day_in_words(self) -> str:
        """The day as ``29 November 2026``; empty if it is unknown."""
        return "" if self.day is None else f"{self.day.day} {MONTHS[self.day.month - 1]} {self.day.year}"


MONTHS = (  # strftime would speak the language of the machine
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
)
