"""Encounters and bursts of a folder, from times as the run recorded them, else as its photos say them now."""

from __future__ import annotations

from array import array

from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_labels, load_listing
from detic_crop.folder.times_file import Times, load_times, read_time
from detic_crop.photos.location import NOWHERE
from detic_crop.report.meetings import ROOT, Meetings, folders_of, meetings_of
from detic_crop.report.model import Audit
from detic_crop.splits.encounters import Moments
from detic_crop.work.progress import counting_bar


def look_for_meetings(
    folder: OutputFolder, audit: Audit, how: str, quiet: bool
) -> tuple[Meetings, Times | None]:
    """Return the encounters and bursts of a folder, and the times that are to be saved; None if none is new.

    Args:
        folder: the output folder; its listing and labels are read.
        audit: its photos, and where they are now.
        how: what makes an encounter, see `config.parse_encounter`.
        quiet: show no progress bar.

    Raises:
        UsageError: the labels do not have the column that names encounters.
    """
    keys = audit.photos.images
    folders = folders_of(keys, load_listing(folder).inputs, audit.inputs)
    times, is_new = _times_of(folder, audit, quiet)
    moments = Moments()
    for record, place in zip(audit.photos.records().values(), folders, strict=True):
        moments.add("" if place == ROOT else place, *_recorded(record, times))
    return meetings_of(how, keys, folders, moments, *load_labels(folder)), times if is_new else None


def _recorded(record: Record, times: Times) -> tuple[str, str]:
    """Return time and camera of a photo; empty where nobody knows them."""
    if record.taken:
        return record.taken, record.camera
    return times.of(record) or ("", "")


def _times_of(folder: OutputFolder, audit: Audit, quiet: bool) -> tuple[Times, bool]:
    """Return the times that no record has, and whether there are any that were not known before."""
    known, found = load_times(folder), Times()
    missing = array("q")
    for place, record in enumerate(audit.photos.records().values()):
        if record.taken or audit.config.metadata or record.status == "failed":
            continue
        if (earlier := known.of(record)) is None:
            missing.append(place)
        else:
            found.add(record, *earlier)
    before = len(found)
    if missing:
        records, keys, locations = audit.photos.records(), audit.photos.images, audit.whereabouts.locations
        with counting_bar(len(missing), "reading times", quiet) as step:
            for key in keys.of(missing):
                if (read := read_time(locations.get(key, NOWHERE), records[key])) is not None:
                    found.add(records[key], *read)
                step()
    return found, len(found) > before
