"""A contact sheet: crops of a folder side by side, with what is doubtful about each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.errors import UsageError
from detic_crop.folder.folder import open_folder
from detic_crop.folder.journal import replay
from detic_crop.folder.whereabouts import Whereabouts
from detic_crop.report.html.notebook import sheet_html, sheet_page
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.sheet import SheetCrop, crops_to_show, with_pictures
from detic_crop.report.sheet_picture import sheet_png
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted, utf8

Order: TypeAlias = Literal["suspicious", "random"]
Only: TypeAlias = Literal["cropped", "resized", "all"]

MOST_SHOWN = 1000


@dataclass(frozen=True, slots=True, repr=False)
class ContactSheet:
    """Crops side by side. A notebook shows it; `save` writes it to a file.

    Attributes:
        title: what is shown, in words.
        crops: the crops, with their thumbnails.
    """

    title: str
    crops: Sequence[SheetCrop]

    def save(self, path: PathLike) -> None:
        """Write the sheet as a picture, ``.png``, or as a page that needs nothing else, ``.html``.

        A file that is there is replaced.

        Raises:
            UsageError: the name ends with neither.
            OSError: the file cannot be written.
        """
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending == ".png":
            Path(path).write_bytes(sheet_png(self.title, self.crops))
        elif ending in (".html", ".htm"):
            Path(path).write_bytes(utf8(sheet_page(self.title, self.crops)))
        else:
            raise UsageError(
                "bad_sheet_name", f"a contact sheet is saved as .png or .html, got {os.fspath(path)}"
            )

    def __repr__(self) -> str:
        return f"<ContactSheet {self.title}>"

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows; None: it shows the text."""
        try:
            return sheet_html(self.title, self.crops)
        except Exception:  # to look at a sheet never stops a notebook
            return None


def show(
    output: PathLike, n: int = 24, *, order: Order = "suspicious", only: Only = "cropped", seed: int = 0
) -> ContactSheet:
    """Return a contact sheet of a folder's crops: in a notebook, the last line of a cell shows it.

    With ``animals="all"`` every animal's crop counts, those of one photo beside each other.

    Args:
        output: the output folder of a run, or its address.
        n: number of crops, 1 to 1000.
        order: ``suspicious``, the most suspicious first, reviewed ones last, as audit.html has them; or
            ``random``.
        only: ``cropped``; ``resized``, the whole photos in which nothing was found; or ``all`` of them.
        seed: of the random order.

    Raises:
        UsageError: there is no run, or a value is out of its range.
        OutputError: the folder cannot be read.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_SHOWN:
        raise UsageError("bad_value", f"--n must be a whole number from 1 to {MOST_SHOWN}, got {n!r}")
    for name, value, known in (("order", order, get_args(Order)), ("only", only, get_args(Only))):
        if value not in known:
            raise UsageError(
                "bad_value", f"--{name} must be {', '.join(known[:-1])} or {known[-1]}, got {value!r}"
            )
    with open_folder(output) as folder:
        folder.require_run()
        state = replay(folder.layout.journal)
        config = require_finished(state.config, folder.shown)
        audit = Audit.of(folder, state.records, config, Whereabouts())
        wanted = ("cropped", "resized") if only == "all" else (only,)
        of_kind = (photo.record.status in wanted for photo in audit.photos.in_order())
        places = np.flatnonzero(np.fromiter(of_kind, np.bool_, len(audit.photos)))
        photos: list[AuditPhoto]
        if order == "random":
            photos = audit.photos.any_of(places, n, seed)
        else:
            photos = audit.photos.most_suspicious(places, n)
        crops = with_pictures(crops_to_show(photos, audit, n), folder, MemoryBudget.of_machine())
        how = "in random order" if order == "random" else "most suspicious first"
        kind = "photo with a crop" if only == "all" else f"{only} photo"
        many = "photos with crops" if only == "all" else f"{only} photos"
        of = f"of {counted(len(places), kind, many)} in {folder.shown}, {how}"
        return ContactSheet(f"{counted(len(crops), 'crop')} {of}", crops)
