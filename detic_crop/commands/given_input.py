"""What an output folder was given before, and what this call adds to it."""

from __future__ import annotations

from detic_crop.config import RunOptions
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import KnownInputs
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.folder.state import Given, load_listing
from detic_crop.photos.find import root_of
from detic_crop.photos.location import FileOrObject, LocalFile
from detic_crop.photos.photo import Listing, Photo
from detic_crop.shards.state import check_same_shards


def given_inputs(
    where: FileOrObject, listing: Listing, folder: OutputFolder, options: RunOptions
) -> tuple[list[Given], list[Photo]]:
    """What the folder has been given, this call's input among it, and all of their photos in order.

    Raises:
        UsageError: these are other photos than it has, and are not to be added.
    """
    given = Given(str(where.absolute().redact()), root_of(where), [photo.key for photo in listing.photos])
    if options.overwrite:
        return [given], listing.photos
    known = KnownInputs(load_listing(folder.whole), folder.shown)
    inputs = known.with_input(given, listing.photos, _SamePhoto(folder.whole), options.add)
    photos = known.photos_of(inputs, listing.photos)
    if folder.shard is not None:
        check_same_shards(folder, inputs, photos, options.add, _SamePhoto)
    return inputs, photos


class _SamePhoto:
    """Whether a photo is the one that a folder has under its key; None where that is not known."""

    _READ = 20  # of so many the bytes are compared, where size and time leave it open

    def __init__(self, folder: OutputFolder) -> None:
        self._folder = folder
        self._records: dict[str, Record] | None = None
        self._left = self._READ

    def __call__(self, photo: Photo) -> bool | None:
        if self._records is None:
            self._records = replay(self._folder.layout.journal).records
        record = self._records.get(photo.key)
        if record is None or -1 in (record.file_size, photo.size):
            return None
        if record.file_size != photo.size:
            return False
        if record.file_time == photo.version or not isinstance(photo.location, LocalFile) or not self._left:
            return True
        self._left -= 1
        return is_same_photo(record, photo, moved=True)
