"""audit.html: what a run did, and the photos most worth a look, in one file that needs nothing else.

No script, no network: style, histograms and thumbnails are inside, so the page works from a mail attachment.
It holds a bounded number of photos and bytes however large the run, says nothing about when or where it was
made, and so is the same for the same journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from types import MappingProxyType

from markupsafe import Markup

from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import recorded_inputs, short_names
from detic_crop.folder.listing import paths_now, read_listing
from detic_crop.folder.verdicts import Verdict
from detic_crop.photos.labels import Labels
from detic_crop.report.absent import Absent
from detic_crop.report.estimate import Estimate
from detic_crop.report.html.gallery import filter_style, galleries
from detic_crop.report.html.histograms import histograms
from detic_crop.report.html.markup import html, joined, utf8
from detic_crop.report.html.photos import PagePhoto, photos_of
from detic_crop.report.html.review_section import review_part
from detic_crop.report.html.summary import counts, failures, flag_table, navigation, settings
from detic_crop.report.rates import class_table, leak_warning, species_rates, species_table
from detic_crop.report.suspicion import Doubts
from detic_crop.report.table import Row

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


def write_report(
    folder: OutputFolder,
    rows: Sequence[Row],
    labels: Labels | None,
    config: CropConfig,
    verdicts: Mapping[str, Verdict] = MappingProxyType({}),
    estimate: Estimate | None = None,
    doubts: Mapping[str, Doubts] | None = None,
    paths: Mapping[str, str] | None = None,
    absent: Absent | None = None,
) -> None:
    """Write audit.html.

    A photo that has moved or cannot be read any more keeps the picture that the page had of it, else it is
    shown without; it never stops the page.

    Args:
        folder: the output folder; its candidates, crops and the page there is are read.
        rows: of audit.csv, in its order; a photo of several rows is shown once.
        labels: the label table, or None.
        config: the settings as resolved.
        verdicts: a reviewer's last word on each photo.
        estimate: what a reviewed random sample says; None where none was drawn.
        doubts: what `row_doubts` says of the rows, where that is known already.
        paths: where the photos are, by key; None: where the run found them.
        absent: how many of them are not there.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    photos = photos_of(rows, config, verdicts, doubts)
    listing = read_listing(folder)
    overview = _overview(
        photos, len(rows), labels, config, estimate, absent, short_names(recorded_inputs(listing))
    )
    top = joined((Markup(_HEAD.replace("/*style*/", _style())), overview))
    max_bytes = _MAX_BYTES - len(utf8(top + _FOOT))
    if paths is None:
        paths = paths_now(listing, [photo.record.image for photo in photos], None)
    gallery = galleries(folder, photos, labels, config, max_bytes, paths)
    folder.write(folder.layout.audit_html, utf8(joined((top, gallery, Markup(_FOOT)))))


def _style() -> str:
    css = resources.files("detic_crop.report.html").joinpath("report.css").read_text("utf-8")
    return css + filter_style()


def _overview(
    photos: Sequence[PagePhoto],
    n_rows: int,
    labels: Labels | None,
    config: CropConfig,
    estimate: Estimate | None,
    absent: Absent | None,
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


def _moved(absent: Absent | None) -> Markup:
    """That pictures may be missing or old; without a path, since the page may be mailed."""
    if not absent:
        return Markup()
    return html(
        '<p class="warning">Not where they were looked for when this page was made: {absent:,} of {photos:,} '
        "photos. Their pictures are those of an earlier page; where there was none, they are missing. "
        "<code>detic-crop audit FOLDER --in PHOTOS</code>, with the folder where the photos are now, makes "
        "them anew.</p>\n",
        absent=absent.absent,
        photos=absent.photos,
    )
