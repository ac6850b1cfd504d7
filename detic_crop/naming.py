"""Which photo a name in a table means: the matcher for label tables and boxes files.

A name and a photo's key belong together if their file names agree, and their folders as far as both have any:
``D:/survey/CAM2/1.jpg`` is ``CAM2/1.jpg`` and never ``CAM1/1.jpg``. The folders of the input above a photo's
key count, too: with ``--in survey/CAM1`` the name ``CAM2/1.jpg`` is none of its photos, though all keys there
are bare file names.

Spellings are tried in this order: exact; Unicode's composed form (file names from a Mac have e + ´); without
case; ``.jpeg`` for ``.jpg``; without the extension (ids, 17.0 for 17).
A name that fits a photo better is matched first, and each name and photo is matched once. A name that fits
several photos equally well is reported as unclear, not guessed.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

from detic_crop.wording import counted

# `.jpg`, `.JP2`, `.webp`; but `whale.001` is a name with a dot in it.
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ONE_FORMAT = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".heif": ".heic"}
_FLOAT_ID = re.compile(r"(.*/)?(\d+)\.0+", re.DOTALL)  # 17.0: a program read a column of ids as floats
_COUNTER = re.compile(r"\D*\d{1,7}")  # IMG_0001, P1010001: another camera has the same
_RANDOM_ID = re.compile(r"(?=[0-9a-f-]*\d)(?=[0-9a-f-]*[a-f])[0-9a-f-]{12,}")  # 00021adfb725ed
# 2021; the A of siteA and site_a
_NUMBERED = re.compile(r"\d+|(?<![^\W_])[^\W\d_](?![^\W_])|[A-Z](?![^\W_])")

FLOAT_LIMIT = 2.0**53
"""Floats below it tell every whole number from the next."""

_T = TypeVar("_T")


class _Pair(NamedTuple):
    """A name that may mean a photo; pairs sort best first.

    Attributes:
        strange: minus the number of folders that agree.
        extension: 0 the same, 1 another one of the same format, 2 the name has none.
        spelling: 0 exact, 1 equal in composed form, 2 equal without case.
        name: cleaned name.
        key: key of the photo.
        prefix: folders of the name above the key that are not the input's; empty if all agree.
        siblings: the first folders that disagree look like two of one kind: CAM1 and CAM2.
    """

    strange: int
    extension: int
    spelling: int
    name: str
    key: str
    prefix: str = ""
    siblings: bool = False


@dataclass(slots=True)
class Matching:
    """Which names and photos belong together.

    Attributes:
        name_of: key → the name that means it.
        photo_of: name → key of the photo that it means.
        unclear_photos: key → names that fit it equally well.
        unclear_names: name → keys of photos that it fits equally well.
        moved: folders of matched names that differ from the input's own → (a name, its key, how many).
        refused: (name, key) with one file name that were not matched because folders above them differ.
    """

    name_of: dict[str, str] = field(default_factory=dict)
    photo_of: dict[str, str] = field(default_factory=dict)
    unclear_photos: dict[str, list[str]] = field(default_factory=dict)
    unclear_names: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    refused: tuple[str, str] | None = None

    @property
    def note_on_moved(self) -> str:
        """A phrase on names that were matched although their folders differ; empty if there are none."""
        if not self.moved:
            return ""
        (prefix, (name, key, _)), *more = self.moved.items()
        count = sum(number for _, _, number in self.moved.values())
        others = f" and {counted(len(more), 'other folder')}" if more else ""
        return (
            f"{counted(count, 'photo was', 'photos were')} matched by the end of the path alone: "
            f"there the folder is {prefix}{others}, here it has another name ({name} → {key})"
        )

    @property
    def note_on_refused(self) -> str:
        """A phrase on why a photo of that file name was not matched, and what to do; empty if none was."""
        if self.refused is None:
            return ""
        name, key = self.refused
        return (
            f"{name} was not taken for {key} because their folders differ; if it is the same photo, name its "
            "folder as the table does, or pass a link of that name as --in"
        )


def clean_path(path: str) -> str:
    """Return a path with `/` between parts, without `./` and outer blanks; NUL is spelled as in keys.

    Of an address this is what follows ``://``; of a web address without its query and percent-decoded.
    """
    path = path.strip().replace("\\", "/")
    while "://" in path and (scheme := _SCHEME.match(path)):
        path = path[scheme.end() :]
        if scheme[0].lower() in ("http://", "https://", "file://"):
            path = unquote(re.split("[?#]", path, maxsplit=1)[0], errors="surrogateescape")
        path = path.strip().replace("\\", "/")
    path = path.replace("\0", "%00")
    if "./" in path or "//" in path or path.endswith("/."):
        root = "/" if path.startswith("/") else ""
        parts: list[str] = []
        for part in path.split("/"):
            if part.strip() == ".." and parts:
                parts.pop()
            elif part.strip() not in ("", ".", ".."):
                parts.append(part)
        path = root + "/".join(parts).strip()
    return path


def whole_id(path: str) -> str:
    """Return a path whose last part is an id written as a float with the id as a whole number again.

    Any other path is returned as it is. From `FLOAT_LIMIT` on neighbouring ids share a float, so such an id
    stays as it is, too.
    """
    found = _FLOAT_ID.fullmatch(path)
    return (found[1] or "") + found[2] if found and float(found[2]) < FLOAT_LIMIT else path


def likely_id(path: str) -> str:
    """Return what all spellings of a photo's name have in common: its file name, bare and without case.

    Names that agree in it may mean one photo; `NameIndex` says whether they do.
    """
    return _folded(_stem(whole_id(clean_path(path))))


class NameIndex:
    """Names of a table, to be matched with photos.

    Args:
        names: names as in the table; several may be the same after cleaning.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._raw = dict.fromkeys(names)
        self._by_cleaned: dict[str, list[str]] = {}
        for name in self._raw:
            if (cleaned := clean_path(name)).strip("/"):
                self._by_cleaned.setdefault(cleaned, []).append(name)
        self._float_ids = [cleaned for cleaned in self._by_cleaned if whole_id(cleaned) != cleaned]

    def match(self, photos: Mapping[str, str] | Iterable[str]) -> Matching:
        """Match all photos at once, since the other photos decide what a name can mean.

        Args:
            photos: key → path or address of the photo, whose folders count, too; empty if it has none of its
                own, as in a tar file. Or keys alone.
        """
        paths = photos if isinstance(photos, Mapping) else {}
        found = Matching()
        free: list[str] = []
        taken: set[str] = set()  # cleaned
        by_cleaned = self._with_whole_ids(photos) if self._float_ids else self._by_cleaned
        for key in photos if isinstance(photos, Mapping) else dict.fromkeys(photos):
            cleaned = clean_path(key)
            names = [key] if key in self._raw else by_cleaned.get(cleaned)
            if names is None or cleaned in taken:
                free.append(key)
            else:
                taken.add(cleaned)
                found.name_of[key] = names[0]
        found.photo_of = {name: key for key, name in found.name_of.items()}
        left = {cleaned: names[0] for cleaned, names in by_cleaned.items() if cleaned not in taken}
        if free and left:
            pairs = list(_pairs(list(left), free, paths))
            _resolve(_plausible(pairs, free, found), left, found)
        for names in by_cleaned.values():
            if len(names) > 1:  # the same after cleaning
                _share(names, found.photo_of)
                _share(names, found.unclear_names)
        return found

    def describe_unused(self, found: Matching, photos: Mapping[str, str] | Iterable[str]) -> str:
        """Return how many names mean a photo that another name fits better, and the first of them.

        Args:
            found: result of `match`.
            photos: photos that `match` was given.
        """
        paths = photos if isinstance(photos, Mapping) else {}
        names = {
            cleaned: several[0]
            for cleaned, several in self._by_cleaned.items()
            if several[0] not in found.photo_of and several[0] not in found.unclear_names
        }
        pairs = _pairs(list(names), list(found.name_of), paths) if names else ()
        unused = {pair.name: pair.key for pair in pairs if not pair.prefix}
        if not unused:
            return ""
        name, key = next(iter(unused.items()))
        return f"{len(unused)} (first: {names[name]}, since {found.name_of[key]} fits {key} better)"

    def _with_whole_ids(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Return cleaned → names with ids as whole numbers, except where a photo is called 17.0.jpg."""
        called = {_EXTENSION.sub("", clean_path(key)).rpartition("/")[2] for key in keys}
        ids = {name: whole_id(name) for name in self._float_ids if name.rpartition("/")[2] not in called}
        by_cleaned: dict[str, list[str]] = {}
        for cleaned, names in self._by_cleaned.items():
            by_cleaned.setdefault(ids.get(cleaned, cleaned), []).extend(names)
        return by_cleaned


def _share(names: Sequence[str], what: dict[str, _T]) -> None:
    """Give all of the names the value that one of them has."""
    having = [name for name in names if name in what]
    for name in names if having else ():
        what.setdefault(name, what[having[0]])


def _pairs(names: Sequence[str], keys: Sequence[str], paths: Mapping[str, str]) -> Iterator[_Pair]:
    """Yield every name and photo whose file names agree and whose folders do not contradict each other.

    They are looked up by the ends of paths: a file name in a thousand folders does not cost a million looks.
    """
    folders = _Folders(paths)
    for with_extension in (True, False):
        by_name: dict[str, list[str]] = {}
        for name in names:
            by_name.setdefault(_canonical(name.strip("/")), []).append(name)
        by_key: dict[str, list[str]] = {}
        for key in keys:
            path = clean_path(key).strip("/")
            stem = path if with_extension else _EXTENSION.sub("", path)
            if not stem or stem.endswith("/") or (stem == path and not with_extension):
                continue
            canonical = _canonical(stem)
            by_key.setdefault(canonical, []).append(key)
            for end in _ends(canonical):
                if end in by_name:
                    for name in by_name[end]:
                        yield _pair(name, key, stem, with_extension, folders)
                    break
        for canonical, those in by_name.items():
            ends = _ends(canonical)
            next(ends)  # the whole name was looked up above
            for end in ends:
                if end in by_key:
                    for key in by_key[end]:
                        path = clean_path(key).strip("/")
                        stem = path if with_extension else _EXTENSION.sub("", path)
                        for name in those:
                            yield _pair(name, key, stem, with_extension, folders)
                    break


def _ends(path: str) -> Iterator[str]:
    """Yield `a/b/c`, `b/c` and `c` of `a/b/c`."""
    yield path
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def _pair(name: str, key: str, path: str, with_extension: bool, folders: _Folders) -> _Pair:
    """Return the pair of a name and a photo, one of whose paths ends in the other.

    Args:
        name: cleaned name.
        key: key of the photo.
        path: the cleaned key, without its extension if the name has none.
        with_extension: the name has an extension.
        folders: the folders above each photo's key.
    """
    ours, theirs = path.split("/"), name.strip("/").split("/")
    common = min(len(ours), len(theirs))
    one, other = "/".join(ours[-common:]), "/".join(theirs[-common:])
    extension = 0 if with_extension else 2
    if extension == 0 and _folded(one) != _folded(other):
        extension, one, other = 1, _EXTENSION.sub("", one), _EXTENSION.sub("", other)
    spelling = 0 if one == other else 1 if _composed(one) == _composed(other) else 2
    rest, above = theirs[:-common], folders.above(key)
    agreed = 0
    for part, folder in zip(reversed(rest), reversed(above), strict=False):
        if _folded(part) != _folded(folder):
            pair = _are_siblings(part, folder)
            prefix = ("/" if name.startswith("/") else "") + "/".join(rest[: len(rest) - agreed])
            return _Pair(1 - common - agreed, extension, spelling, name, key, prefix, pair)
        agreed += 1
    return _Pair(1 - common - agreed, extension, spelling, name, key)


class _Folders:
    """The folders above a photo's key."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._known: dict[str, list[str]] = {}

    def above(self, key: str) -> list[str]:
        """Return them from the outermost on; empty if nothing is known of them, as for a photo in a tar."""
        location = self._paths.get(key, "")
        if not location:
            return []
        root = location[: -len(key)] if location.endswith(key) else os.path.dirname(location)
        if root not in self._known:
            path = root if _SCHEME.match(root) else os.path.abspath(root or os.curdir)
            self._known[root] = [part for part in clean_path(path).split("/") if part]
        return self._known[root]


def _plausible(pairs: Sequence[_Pair], keys: Sequence[str], found: Matching) -> list[_Pair]:
    """Return the pairs without those whose folders above the key differ from the input's for no good reason.

    A good reason is that the photos were moved or copied to a folder of another name. None is that the table
    is about other photos with the same names, as cameras give them. The table is judged as a whole:

    - if some names have the input's own folders, the others belong to other folders;
    - CAM1 and CAM2, 2020 and 2021 are two folders, not one folder under two names;
    - if no folder agrees at all, the file names must be distinctive. Random ids are. Other names must be more
      than camera counters, or come from several folders that were put into one, and every photo and every
      name must find its partner.
    """
    doubtful = [pair for pair in pairs if pair.prefix]
    if not doubtful:
        return list(pairs)
    certain = [pair for pair in pairs if not pair.prefix]
    speaks_of_ours = any(
        pair.name.strip("/").count("/") > clean_path(pair.key).count("/") for pair in certain
    )
    moved = [pair for pair in doubtful if not speaks_of_ours and (not pair.siblings or _is_random(pair.name))]
    bare = [pair for pair in moved if pair.strange == 0]
    if not (all(_is_random(pair.name) for pair in bare) or _is_whole(bare, doubtful, keys, found)):
        moved = [pair for pair in moved if pair.strange < 0]
    if len(moved) < len(doubtful):
        kept = set(moved)
        refused = next(pair for pair in doubtful if pair not in kept)
        found.refused = refused.name, refused.key
    return certain + moved


def _is_whole(bare: Sequence[_Pair], doubtful: Sequence[_Pair], keys: Sequence[str], found: Matching) -> bool:
    """Return whether these are all of the photos, each once, with names beyond camera counters."""
    names, photos = {pair.name for pair in bare}, {pair.key for pair in bare}
    if found.name_of or not len(bare) == len(doubtful) == len(names) == len(photos) == len(keys) > 1:
        return False
    folders = {pair.name.rpartition("/")[0] for pair in bare}
    return len(folders) > 1 or not all(_COUNTER.fullmatch(_stem(pair.name)) for pair in bare)


def _resolve(pairs: Sequence[_Pair], names: Mapping[str, str], found: Matching) -> None:
    """Match the pairs, best first, but none of equally good ones that exclude each other.

    Args:
        pairs: pairs with cleaned names.
        names: cleaned name → name as in the table.
        found: matches are added to it.
    """
    used_names: set[str] = set()
    used_keys: set[str] = set()
    how: Counter[str] = Counter()
    example: dict[str, tuple[str, str]] = {}
    for _, group in groupby(sorted(set(pairs)), key=lambda pair: pair[:3]):
        free = [pair for pair in group if pair.name not in used_names and pair.key not in used_keys]
        of_name, of_key = Counter(pair.name for pair in free), Counter(pair.key for pair in free)
        for pair in free:
            name = names[pair.name]
            if of_name[pair.name] == of_key[pair.key] == 1:
                found.name_of[pair.key] = name
                found.photo_of[name] = pair.key
                if pair.prefix:
                    how[pair.prefix] += 1
                    example.setdefault(pair.prefix, (name, pair.key))
            else:
                if of_name[pair.name] > 1:
                    found.unclear_names.setdefault(name, []).append(pair.key)
                found.unclear_photos.setdefault(pair.key, []).append(name)
            used_names.add(pair.name)
            used_keys.add(pair.key)
    found.moved = {prefix: (*example[prefix], count) for prefix, count in how.most_common()}


def _canonical(path: str) -> str:
    """Return what all spellings of a path have in common."""
    path = _folded(path)
    stem, dot, extension = path.rpartition(".")
    return stem + _ONE_FORMAT.get(dot + extension, dot + extension)


def _folded(text: str) -> str:
    """Return the text without case, in composed form."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _stem(path: str) -> str:
    return _EXTENSION.sub("", path.rpartition("/")[2])


def _is_random(name: str) -> bool:
    """Return whether the file name is a hash or something similar that no other photo has."""
    return _RANDOM_ID.fullmatch(_stem(name).lower()) is not None


def _are_siblings(one: str, other: str) -> bool:
    """Return whether names differ only by a number or letter: CAM1 and CAM2, siteA and siteB."""
    return _NUMBERED.sub("#", one).lower() == _NUMBERED.sub("#", other).lower()
