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
        file_name: name of the file, for messages.
    """

    def __init__(self, entries: Iterable[str], file_name: str) -> None:
        self._entries = list(entries)
        self._file_name = file_name
        self._index = NameIndex(self._entries)
        self._photos: Mapping[str, str] = {}
        self.asked_next = ""  # the detector that is asked about photos without an entry
        self._matching = Matching()

    def expect(self, photos: Mapping[str, str] | Iterable[str]) -> None:
        """Match the entries to all photos of the input: key → where it is, or keys alone.

        Raises:
            UsageError: the file names none of them.
        """
        self._photos = photos if isinstance(photos, Mapping) else dict.fromkeys(photos, "")
        self._matching = self._index.match(self._photos)
        if not self._matching.name_of and not self._matching.unclear_photos:
            photo = next(iter(self._photos), "nothing")
            entry = next(iter(self._entries), "nothing")
            many = len(self._photos) > 1
            none = f"none of the {len(self._photos):,} photos is" if many else "the one photo is not"
            cure = self._matching.note_on_refused or "pass the boxes file of these photos"
            raise UsageError(
                "boxes_match_no_photo",
                f"{none} in {self._file_name} (its first entry is {entry}, the first photo {photo}); {cure}",
            )

    def _fate(self, here: int) -> str:
        """Return what became of photos without an entry."""
        them = either(here, "it", "them")
        if self.asked_next:
            return f"{self.asked_next} was asked about {them}"
        return f"nobody looked at {them}: resized whole, reason not_listed"

    def find(self, key: str) -> str | None:
        """Return the entry's path, or None when the file does not name the photo.

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

    def left(self) -> list[str]:
        """Return the entries that mean no photo of the input."""
        found = self._matching
        # An entry that fits several photos has met too many, not none.
        return [
            entry
            for entry in self._entries
            if entry not in found.photo_of and entry not in found.unclear_names
        ]

    def notes_on_matching(self) -> list[str]:
        """Return how folders were matched, and which entries were not used."""
        found = self._matching
        said = [f"{self._file_name}: {found.note_on_moved}"] if found.note_on_moved else []
        if unused := self._index.describe_unused(found, self._photos):
            said.append(
                f"{self._file_name}: entries that were not used, because another entry fits their photo "
                f"better: {unused}"
            )
        return said

    def notes(self) -> list[str]:
        """Return which photos and entries match nothing, the first of each, and how folders were matched."""
        found = self._matching
        said = self.notes_on_matching()
        missing = [
            key for key in self._photos if key not in found.name_of and key not in found.unclear_photos
        ]
        if missing:
            left = self.left()
            here, there = len(missing), len(left)
            lonely = (
                f"; {there:,} of the {counted(len(self._entries), 'photo')} in the file "
                f"{either(there, 'is', 'are')} not in --in (first: {left[0]})"
                if left
                else ""
            )
            said.append(
                f"{here:,} of {counted(len(self._photos), 'photo')} {either(here, 'is', 'are')} not in "
                f"{self._file_name} (first: {missing[0]}), so {self._fate(here)}{lonely}"
                + (f"; {found.note_on_refused}" if found.refused else "")
            )
        return said
