"""A result that is told in lines: what its command prints, and what Python and a notebook show of it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from detic_crop.keywords import in_python
from detic_crop.photos.keys import printable
from detic_crop.wording import visible


class Told(ABC):
    """A result that is told in lines, the last of which says what became of it."""

    __slots__ = ()

    @abstractmethod
    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return what the command prints, with options as the command line has them.

        Args:
            quiet: only those that ``--quiet`` leaves.
        """

    @property
    def sentences(self) -> list[str]:
        """What the command prints; options are named as keyword arguments."""
        return [in_python(visible(printable(line))) for line in self.lines()]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sentences[-1]}>"

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows; None: it shows the text."""
        try:
            from detic_crop.report.html.notebook import lines_html

            return lines_html(self.sentences)
        except Exception:  # to look at a result never stops a notebook
            return None
