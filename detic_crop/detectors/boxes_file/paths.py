"""Which entry of a boxes file is meant by a photo's key, and what to say of those without a partner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from detic_crop.errors import PhotoError, UsageError
from detic_crop.naming import Matching, NameIndex
from detic_crop.wording import counted, either


class PathIndex:
    """The entries of a boxes file by photo; see `naming` for what belongs together.

    Args:
        entries: the paths in the file, in its order.
        file_name: of the file, for messages.
    """

    def __init__(self, entries: Iterable[str], file_name: str) -> None:
        self._entries = list(entries)
        self._file_name = file_name
        self._index = NameIndex(self._entries)
        self._photos: dict[str, None] = {}
        self._matching = Matching()

    def expect(self, photos: Mapping[str, str] | Iterable[str]) -> None:
        """Be told every photo of the input: key → where it is, or keys alone.

        Raises:
            UsageError: the file names none of them.
        """
        self._photos = dict.fromkeys(photos)
        self._matching = self._index.match(photos)
        if not self._matching.name_of and not self._matching.unclear_photos:
            photo = next(iter(self._photos), "nothing")
            entry = next(iter(self._entries), "nothing")
            raise UsageError(
                f"no photo of {len(self._photos):,} is in {self._file_name} (it has {entry}, "
                f"the first photo is {photo}); {self._refused or 'pass the boxes file of these photos'}"
            )

    def find(self, key: str) -> str | None:
        """The entry's path, or None when the file does not name the photo.

        Raises:
            PhotoError: `ambiguous_boxes`, several entries could be meant, or one fits several photos.
        """
        matching = self._matching if key in self._photos else self._index.match([key])
        if entries := matching.unclear_photos.get(key):
            raise PhotoError("ambiguous_boxes", self._unclear(key, entries, matching))
        return matching.name_of.get(key)

    def _unclear(self, key: str, entries: list[str], matching: Matching) -> str:
        photos = matching.unclear_names.get(entries[0], [])
        if len(entries) == 1:
            return (
                f"the boxes file says only {entries[0]}, and several photos have that name "
                f"({', '.join(photos[:3])}{', …' * (len(photos) > 3)}); write relative paths in it"
            )
        return (
            f"expected one entry for {key} in the boxes file, got {len(entries)} with that file "
            f"name ({', '.join(entries[:3])}{', …' * (len(entries) > 3)}); "
            "write the photo's relative path in it"
        )

    @property
    def _refused(self) -> str:
        if self._matching.refused is None:
            return ""
        entry, key = self._matching.refused
        return (
            f"{entry} was not taken for {key}, since it is in another folder: pass the folder of these "
            "photos as --in; if they are the same photos under another folder's name, give that folder the "
            "name that the file has (a link will do)"
        )

    def notes(self) -> list[str]:
        """Which photos and entries have no partner, with the first of each, and how folders were matched."""
        found = self._matching
        said = [f"{self._file_name}: {found.how}"] if found.how else []
        missing = [
            key for key in self._photos if key not in found.name_of and key not in found.unclear_photos
        ]
        if missing:
            # An entry that fits several photos has met too many, not none.
            left = [
                entry
                for entry in self._entries
                if entry not in found.photo_of and entry not in found.unclear_names
            ]
            said_of = either(len(missing), "it", "them")
            all_photos, are = counted(len(self._photos), "photo"), either(len(missing), "is", "are")
            lonely = ""
            if left:
                of = f"{len(left):,} of {len(self._entries):,}"
                lonely = f"; its entries that are not in --in: {of} (first: {left[0]})"
            said.append(
                f"{len(missing):,} of {all_photos} {are} not in {self._file_name} (first: {missing[0]}), so "
                f"nobody looked at {said_of}: resized whole, reason not_listed{lonely}"
                + (f"; {self._refused}" if self._refused else "")
            )
        return said
