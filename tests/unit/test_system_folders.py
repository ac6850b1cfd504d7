"""Thumbnails, bins, snapshots and caches beside photos are ignored and counted; named ones are taken."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from detic_crop.folder.state import Given, save_listing
from detic_crop.photos.find import discover
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.stores.store import Store
from detic_crop.system.system_folders import is_system_folder, system_folder_of
from tests.kit.errors import refused
from tests.kit.folders import crop, product, rows_of
from tests.kit.helpers import write
from tests.kit.photos import write_photo

FOLDERS = [
    "@eaDir/dolphin.jpg",
    "day1/@eaDir/IMG_1.JPG",
    "@EADIR",
    "#recycle",
    "day1/#recycle",
    "#snapshot/GMT-2024/day1",
    "@tmp",
    "$RECYCLE.BIN/S-1-5-21",
    "$Recycle.Bin",
    "RECYCLER",
    "System Volume Information",
    "__MACOSX/day1",
    "@Recycle",
    "@Recently-Snapshot/x",
    ".@__thumb",
    ".snapshot/hourly.0",
    ".Trash-1000/files",
    ".Trashes/501",
    ".thumbnails/normal",
    ".AppleDouble",
    ".picasaoriginals",
    "lost+found",
    "_gsdata_",
    "Catalog Previews.lrdata/0",
    "FOUND.000",
    "Mine.photoslibrary/resources/derivatives/0",
    "Mine.photoslibrary/Thumbnails",
    "Mine.migratedphotolibrary/Previews",
    "iPhoto Library/Data.noindex",
    "CaptureOne/Cache/Thumbnails",
    "PaxHeaders.1234",
    "~snapshot/hourly.0",
    "Network Trash Folder",
    "Temporary Items/folders.501",
]
ORDINARY = [
    "day1",
    "originals",
    "Mine.photoslibrary/originals/0",
    "Mine.photoslibrary/Masters/2019",
    "resources",
    "Cache",
    "Thumbnails of whales",
    "recycled plastics",
    "@home",
    "#1",
    "previews",
]
BOTH = [f"{folder}/a.jpg" for folder in (*FOLDERS, *ORDINARY)]
KEPT = sorted(f"{folder}/a.jpg" for folder in ORDINARY)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for key in BOTH:
        write(tmp_path / "in" / key)
    return tmp_path / "in"


def keys(where: Path | str) -> list[str]:
    return [photo.key for photo in discover(where).photos]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_system_folder(folder: str) -> None:
    found = system_folder_of(f"{folder}/a.jpg")
    assert found
    assert f"{folder}/a.jpg".startswith(f"{found}/")


@pytest.mark.parametrize("folder", ORDINARY)
def test_an_ordinary_folder(folder: str) -> None:
    assert system_folder_of(f"{folder}/a.jpg") == ""
    assert system_folder_of("@eaDir") == ""  # a file of that name


def test_a_search_passes_them_over_and_counts_them(photos: Path) -> None:
    listing = discover(photos)
    assert [photo.key for photo in listing.photos] == KEPT
    (note,) = listing.notes
    assert note.startswith(f"system folders ignored: {len(FOLDERS)} (")
    assert "#recycle (2)" in note


def test_so_does_a_pattern(photos: Path) -> None:
    for pattern in ("**/*.jpg", "*", "**"):
        listing = discover(str(photos / pattern))
        assert sorted(photo.key for photo in listing.photos) == KEPT, pattern
        assert any("system folders ignored" in note and "#recycle" in note for note in listing.notes)


def test_what_is_named_is_taken(photos: Path, tmp_path: Path) -> None:
    assert keys(photos / "@eaDir") == ["dolphin.jpg/a.jpg"]
    assert keys(photos / "#recycle" / "a.jpg") == ["a.jpg"]
    assert keys(str(photos / "*" / "@eaDir" / "*" / "*.jpg")) == ["day1/@eaDir/IMG_1.JPG/a.jpg"]
    assert keys(photos / "Mine.photoslibrary" / "resources") == ["derivatives/0/a.jpg"]
    assert keys(photos / "Mine.photoslibrary") == ["Masters/2019/a.jpg", "originals/0/a.jpg"]
    write(tmp_path / "in" / "list.txt", b"#recycle/a.jpg\nday1/a.jpg\n")
    assert keys(photos / "list.txt") == ["#recycle/a.jpg", "day1/a.jpg"]


def test_an_input_of_nothing_else_says_so(tmp_path: Path) -> None:
    write(tmp_path / "in" / "@eaDir" / "a.jpg")
    with refused("no_photos") as caught:
        discover(tmp_path / "in")
    assert "system folders ignored: 1 (@eaDir)" in caught.value.message


def test_in_a_store(memory: Store) -> None:
    for key in BOTH:
        memory.write(f"memory://bucket/p/{key}", b"x")
    listing = discover("memory://bucket/p")
    assert sorted(photo.key for photo in listing.photos) == KEPT
    assert listing.notes[0].startswith(f"system folders ignored: {len(FOLDERS)} (")
    assert sorted(keys("memory://bucket/p/**/*.jpg")) == KEPT
    assert keys("memory://bucket/p/@eaDir") == ["dolphin.jpg/a.jpg"]


def test_in_a_tar_file(tmp_path: Path) -> None:
    photo = write(tmp_path / "a.jpg")
    with tarfile.open(tmp_path / "p.tar", "w") as tar:
        for key in BOTH:
            tar.add(photo, key)
        tar.add(photo, "__MACOSX/._b.jpg")
    listing = discover(tmp_path / "p.tar")
    assert sorted(photo.key for photo in listing.photos) == KEPT
    assert any("system folders ignored" in note for note in listing.notes)


def test_what_an_earlier_version_took_keeps_its_crop_and_is_named(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg", 1)
    write_photo(tmp_path / "in" / "@eaDir" / "a.jpg", 2)
    write(tmp_path / "list.txt", b"in/a.jpg\nin/@eaDir/a.jpg\n")
    crop(tmp_path / "list.txt", tmp_path / "out")
    folder = crop(tmp_path / "list.txt", tmp_path / "out").folder
    before = product(tmp_path / "out")
    taken = [Photo(key, LocalFile(str(tmp_path / key))) for key in ("in/@eaDir/a.jpg", "in/a.jpg")]
    save_listing(folder, taken, [Given(str(tmp_path / "in"), str(tmp_path), [s.key for s in taken])])
    write(tmp_path / "list.txt", b"in/a.jpg\n")
    result = crop(tmp_path / "list.txt", tmp_path / "out")
    assert any(
        "photos of system folders that an earlier version took: 1 (first: in/@eaDir/a.jpg)" in n
        for n in result.notes
    )
    assert [row["image"] for row in rows_of(tmp_path / "out")] == ["in/a.jpg", "in/@eaDir/a.jpg"]
    crops = {name for name in before if name.endswith(".jpg")}
    assert {name: product(tmp_path / "out")[name] for name in crops} == {name: before[name] for name in crops}


def test_names_are_told_by_their_case_nowhere() -> None:
    assert is_system_folder("system volume information")
    assert is_system_folder("RESOURCES", "MINE.PHOTOSLIBRARY")
    assert not is_system_folder("resources", "mine")
