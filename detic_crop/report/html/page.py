"""audit.html: what a run did, and the photos most worth a look, in one file that needs nothing else.

No script, no network: style, histograms and thumbnails are inside, so the page works from a mail attachment.
It holds a bounded number of photos and bytes however large the run, and no path of this machine. It is the
same for the same journal but for its title and the elements of the classes `folder`, `made-on` and `made-by`,
which say where, when and with what it was made; see `head.Made`.
"""

from __future__ import annotations

from markupsafe import Markup

from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.times_file import Times
from detic_crop.report.html.contact_sheet import make_sheets
from detic_crop.report.html.earlier import EarlierPictures
from detic_crop.report.html.gallery import make_galleries
from detic_crop.report.html.head import Made
from detic_crop.report.html.overview import Tally, overview
from detic_crop.report.html.rendering import COLOURS, environment, style
from detic_crop.report.html.sources import CropPictures, Sources
from detic_crop.report.model import Audit
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import utf8

_MAX_BYTES = 18_000_000  # mail servers take 25 MB, in which attachments are a third larger


def write_page(
    folder: OutputFolder, audit: Audit, made: Made, times: Times, memory: MemoryBudget | None = None
) -> None:
    """Write audit.html.

    A photo that has moved or cannot be read any more keeps the picture that the page had of it, else it is
    shown without one; it never stops the page.

    Args:
        folder: the output folder; its candidates, its crops and its page are read.
        audit: what the page shows.
        made: where, when and with what the crops were made.
        times: when photos were taken, as far as that was looked up after the run.
        memory: where memory for photos is borrowed; None: half of what there is.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    template = environment().get_template("page.html.j2")
    tally = Tally(audit, times)
    values = {
        "css": Markup(style(COLOURS, "report.css")),
        "galleries": (),
        "sheets": (),
        "entries": frozenset(),
        **overview(audit, tally, made),
    }
    max_bytes = _MAX_BYTES - len(utf8(template.render(values)))
    memory = memory or MemoryBudget.of_machine()
    earlier = EarlierPictures(lambda: folder.read_at_most(folder.layout.audit_html, 2 * _MAX_BYTES))
    sources = Sources(folder, audit, CropPictures(folder, memory), earlier, memory)
    values["sheets"] = sheets = make_sheets(sources, tally, max_bytes)
    max_bytes -= sum(sheet.most_bytes for sheet in sheets)
    values["galleries"] = galleries = make_galleries(sources, tally, max_bytes)
    values["entries"] = frozenset().union(*(gallery.anchors for gallery in galleries))
    # Piece by piece: of the pictures there is one copy as text and one as bytes.
    page = b"".join(map(utf8, template.generate(values)))
    folder.write(folder.layout.audit_html, page)
