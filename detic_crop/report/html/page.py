"""audit.html: what a run did, and the photos most worth a look, in one file that needs nothing else.

No script, no network: style, histograms and thumbnails are inside, so the page works from a mail attachment.
It holds a bounded number of photos and bytes however large the run, says nothing about when or where it was
made, and so is the same for the same journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from markupsafe import Markup

from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.whereabouts import Whereabouts
from detic_crop.photos.labels import Labels
from detic_crop.report.estimate import Estimate
from detic_crop.report.html.gallery import filter_style, galleries
from detic_crop.report.html.histograms import histograms
from detic_crop.report.html.markup import html, joined
from detic_crop.report.html.review_section import review_part
from detic_crop.report.html.summary import counts, failures, flag_table, navigation, settings
from detic_crop.report.model import Audit, AuditPhoto
from detic_crop.report.rates import class_table, leak_warning, species_rates, species_table
from detic_crop.wording import utf8

_MAX_BYTES = 25_000_000  # what mail servers still take

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>detic-crop audit</title>
<style>
/*style*/</style>
</head>
<body>
<main>
<h1>detic-crop audit</h1>
"""
_FOOT = "</main>\n</body>\n</html>\n"


def write_page(folder: OutputFolder, audit: Audit) -> None:
    """Write audit.html.

    A photo that has moved or cannot be read any more keeps the picture that the page had of it, else it is
    shown without; it never stops the page.

    Args:
        folder: the output folder; its candidates, crops and the page there is are read.
        audit: what the page shows.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    photos = list(audit.photos.values())
    overview = _overview(
        photos,
        len(audit.rows),
        audit.labels,
        audit.config,
        audit.estimate,
        audit.whereabouts,
        audit.inputs,
    )
    top = joined((Markup(_HEAD.replace("/*style*/", _style())), overview))
    max_bytes = _MAX_BYTES - len(utf8(top + _FOOT))
    gallery = galleries(folder, photos, audit.labels, audit.config, max_bytes, audit.whereabouts.locations)
    folder.write(folder.layout.audit_html, utf8(joined((top, gallery, Markup(_FOOT)))))


def _style() -> str:
    css = resources.files("detic_crop.report.html").joinpath("report.css").read_text("utf-8")
    return css + filter_style()


def _overview(
    photos: Sequence[AuditPhoto],
    n_rows: int,
    labels: Labels | None,
    config: CropConfig,
    estimate: Estimate | None,
    absent: Whereabouts,
    inputs: Sequence[str],
) -> Markup:
    """Everything above the pictures."""
    if not photos:
        return joined((Markup("<p>No photo is finished yet.</p>\n"), settings(config, inputs)))
    species = species_rates(photos, labels)
    return joined(
        (
            navigation(photos),
            _moved(absent),
            counts(photos, n_rows),
            leak_warning(species),
            settings(config, inputs),
            review_part(photos, estimate),
            failures(photos),
            flag_table(photos),
            class_table(photos),
            species_table(species),
            histograms(photos, config),
        )
    )


def _moved(absent: Whereabouts) -> Markup:
    """That pictures may be missing or old; without a path, since the page may be mailed."""
    if not absent.absent:
        return Markup()
    return html(
        '<p class="warning">Not where they were looked for when this page was made: {absent:,} of {photos:,} '
        "photos. Their pictures are those of an earlier page; where there was none, they are missing. "
        "<code>detic-crop audit FOLDER --in PHOTOS</code>, with the folder where the photos are now, makes "
        "them anew.</p>\n",
        absent=absent.absent,
        photos=absent.photos,
    )
