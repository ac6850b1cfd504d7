"""audit.html: what a run did, and the photos most worth a look, in one file that needs nothing else.

No script, no network: style, histograms and thumbnails are inside, so the page works from a mail attachment.
It holds a bounded number of photos and bytes however large the run, says nothing about when or where it was
made, and so is the same for the same journal.
"""

from __future__ import annotations

from markupsafe import Markup

from detic_crop.folder.folder import OutputFolder
from detic_crop.report.html.gallery import make_galleries
from detic_crop.report.html.overview import Tally, overview
from detic_crop.report.html.rendering import COLOURS, environment, style
from detic_crop.report.model import Audit
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import utf8

_MAX_BYTES = 25_000_000  # what mail servers still take


def write_page(folder: OutputFolder, audit: Audit, memory: MemoryBudget | None = None) -> None:
    """Write audit.html.

    A photo that has moved or cannot be read any more keeps the picture that the page had of it, else it is
    shown without one; it never stops the page.

    Args:
        folder: the output folder; its candidates, its crops and its page are read.
        audit: what the page shows.
        memory: where memory for photos is borrowed; None: half of what there is.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    template = environment().get_template("page.html.j2")
    tally = Tally(audit)
    values = {"css": Markup(style(COLOURS, "report.css")), "galleries": (), **overview(audit, tally)}
    max_bytes = _MAX_BYTES - len(utf8(template.render(values)))
    memory = memory or MemoryBudget.of_machine()
    values["galleries"] = make_galleries(folder, audit, tally, max_bytes, memory)
    # Piece by piece: of the pictures there is one copy as text and one as bytes.
    page = b"".join(map(utf8, template.generate(values)))
    folder.write(folder.layout.audit_html, page)
