"""Nothing of the user's is ever touched: photos, files in the output folder, files elsewhere."""

from __future__ import annotations

import contextlib
import csv
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.errors import UsageError
from detic_crop.folder.journal import Journal, replay
from detic_crop.photos.keys import STATE
from tests.kit.detectors import fake_boxes
from tests.kit.errors import refused
from tests.kit.folders import assert_one_row_each, crop, files_of, product, rows_of, untouched
from tests.kit.photos import photo_bytes, write_photo, write_photos

posix = pytest.mark.skipif(os.name != "posix", reason="such names and links are POSIX")


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Path]:
    """A folder of photos that must be the same afterwards."""
    write_photos(tmp_path / "in", 6)
    with untouched(tmp_path / "in"):
        yield tmp_path / "in"


# ---------------------------------------------------------------- folders that are refused


@pytest.mark.parametrize("spelling", ["in", "in/", "in/../in", "./in/day1/.."])
def test_output_equal_to_input(photos: Path, spelling: str) -> None:
    for overwrite in (False, True):
        with refused("out_is_input", UsageError):
            crop(photos, f"{photos.parent}/{spelling}", overwrite=overwrite)


@posix
def test_output_equal_to_input_through_a_link(photos: Path) -> None:
    (photos.parent / "link").symlink_to(photos)
    with refused("out_is_input", UsageError):
        crop(photos, photos.parent / "link")
    with refused("out_is_input", UsageError):
        crop(photos.parent / "link", photos)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebody_else(photos: Path, tmp_path: Path, overwrite: bool) -> None:
    write_photo(tmp_path / "out" / "precious.jpg")
    with untouched(tmp_path / "out"), refused("foreign_folder", UsageError):
        crop(photos, tmp_path / "out", overwrite=overwrite)


def test_an_output_that_is_a_file(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with refused("out_is_file", UsageError):
        crop(photos, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_output_folder_is_fine(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert crop(photos, tmp_path / "out").counts.total() == 6


@pytest.mark.parametrize("overwrite", [False, True])
def test_photos_inside_the_output(photos: Path, tmp_path: Path, overwrite: bool) -> None:
    crop(photos, tmp_path / "out")
    write_photo(tmp_path / "out" / "mine" / "whale.jpg")
    with untouched(tmp_path / "out"), refused("photos_in_output", UsageError):
        crop(tmp_path / "out" / "mine", tmp_path / "out", overwrite=overwrite)
    (tmp_path / "list.txt").write_text("out/mine/whale.jpg")
    with untouched(tmp_path / "out"), refused("photos_in_output", UsageError):
        crop(tmp_path / "list.txt", tmp_path / "out", overwrite=overwrite)


def test_overwrite_with_a_misspelt_input_changes_nothing(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    with untouched(tmp_path / "out"):
        for settings in ({}, {"classes": "Whael"}, {"labels": tmp_path / "no.csv"}, {"model": "nonsense"}):
            with pytest.raises(UsageError):
                crop(
                    photos if settings else tmp_path / "inn",
                    tmp_path / "out",
                    overwrite=True,
                    **({"detector": None, **settings} if "model" in settings else settings),
                )


# ---------------------------------------------------------------- links inside the output folder


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_to_the_photos_inside_the_output(photos: Path, tmp_path: Path, overwrite: bool) -> None:
    crop(photos, tmp_path / "out", limit=1)
    (tmp_path / "out" / "day2").symlink_to(photos / "day2")
    with refused("link_in_output", UsageError):
        crop(photos, tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "day2").is_symlink()


@posix
def test_a_link_that_appears_during_the_run(photos: Path, tmp_path: Path) -> None:
    from tests.kit.detectors import FakeDetector

    class Linking(FakeDetector):
        def detect(self, image: object, key: str = "") -> object:  # type: ignore[override]
            if not (tmp_path / "out" / "day2").is_symlink():
                (tmp_path / "out" / "day2").symlink_to(photos / "day2")
            return fake_boxes(key, 60, 40)

    with refused("link_in_output", UsageError):
        crop(photos, tmp_path / "out", detector=Linking())


@posix
def test_a_link_to_one_photo_in_place_of_its_crop(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", limit=1)
    link = tmp_path / "out" / "photo000.jpg"
    link.symlink_to(photos / link.name)
    crop(photos, tmp_path / "out")
    assert link.is_symlink()  # somebody's own, so the crop has another name
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert len(rows) == 6
    assert rows[link.name]["crop"] != link.name
    assert crop(photos, tmp_path / "out").done == 0


@posix
def test_a_crop_replaced_by_a_link_to_its_photo(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    path = tmp_path / "out" / "photo000.jpg"
    path.unlink()
    path.symlink_to(photos / path.name)
    with contextlib.suppress(UsageError):  # refusing is fine, replacing the link as well
        crop(photos, tmp_path / "out")
    with contextlib.suppress(UsageError):
        crop(photos, tmp_path / "out", overwrite=True)


@posix
def test_crops_that_became_hard_links_of_photos(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.jpg"):
        path.unlink()
        path.hardlink_to(photos / "photo000.jpg")
    crop(photos, tmp_path / "out")
    crop(photos, tmp_path / "out", overwrite=True)


@posix
def test_overwrite_does_not_follow_links(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    away = tmp_path / "away"
    (tmp_path / "out" / "day1").rename(away)
    (tmp_path / "out" / "day1").symlink_to(away)
    before = files_of(away)
    with refused("link_in_output", UsageError):
        crop(photos, tmp_path / "out", overwrite=True)
    assert files_of(away) == before


@posix
def test_an_output_reached_through_a_link(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    crop(photos, tmp_path / "out")
    assert crop(photos, tmp_path / "real").done == 0


# ---------------------------------------------------------------- files of others in the output folder


def mine(out: Path) -> dict[str, bytes]:
    """Files of the user's own where crops would like to be; some names of ours among them."""
    files = {
        "photo000.jpg": b"mine",
        "day1/photo001.jpg": b"mine too",
        "day1/notes.txt": b"notes",
        "photo003.jpg.jpg": b"odd",
        ".hidden": b"h",
    }
    for name, data in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    return files


def test_files_of_others_are_never_overwritten(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / STATE).mkdir(parents=True)
    files = mine(tmp_path / "out")
    for limit, overwrite, format in (
        (2, False, "jpg"),
        (None, False, "jpg"),
        (None, True, "jpg"),
        (None, True, "png"),
        (None, False, "png"),
    ):
        crop(photos, tmp_path / "out", limit=limit, overwrite=overwrite, format=format)
        made = product(tmp_path / "out")
        assert {name: made[name] for name in files} == files
        assert [row["image"] for row in rows_of(tmp_path / "out")] == sorted(files_of(photos))[:limit]


def test_files_that_came_after_a_kill_are_not_overwritten(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "reference")
    crop(photos, tmp_path / "out", limit=1)
    files = mine(tmp_path / "out")
    done = {record.crop for record in replay(tmp_path / "out" / STATE / "journal.jsonl").records.values()}
    files = {name: data for name, data in files.items() if name not in done}
    crop(photos, tmp_path / "out")
    made = product(tmp_path / "out")
    assert {name: made[name] for name in files} == files
    assert len({row["crop"] for row in rows_of(tmp_path / "out")}) == 6


def test_a_crop_without_a_line_is_known_as_ours(photos: Path, tmp_path: Path) -> None:
    """Killed between the crop and its journal line."""
    crop(photos, tmp_path / "reference")
    state = tmp_path / "out" / STATE
    crop(photos, tmp_path / "out", limit=1)
    done = next(iter(replay(state / "journal.jsonl").records.values())).crop
    name = next(row["crop"] for row in rows_of(tmp_path / "reference") if row["crop"] != done)
    journal = Journal(state / "journal.jsonl", state / "candidates.jsonl")
    journal.append_candidates("some.jpg", name, fake_boxes("some.jpg", 60, 40))
    journal.close()
    (tmp_path / "out" / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / "out" / name).write_bytes(b"whatever the crop was")
    crop(photos, tmp_path / "out")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


def test_a_file_where_a_folder_must_be(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / STATE).mkdir(parents=True)
    (out / "day1").write_text("mine")
    assert "failed" not in crop(photos, out).counts
    assert (out / "day1").read_text() == "mine"
    crops = {row["image"]: row["crop"] for row in rows_of(out)}
    assert crops["day1/photo001.jpg"] == "day1_/photo001.jpg"
    assert crop(photos, out).done == 0


def test_a_folder_where_a_crop_must_be_costs_that_photo(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / STATE).mkdir(parents=True)
    (out / "photo000.jpg").mkdir()
    result = crop(photos, out)
    rows = {row["image"]: row for row in rows_of(out)}
    if result.counts["failed"]:
        assert (rows["photo000.jpg"]["reason"], rows["photo000.jpg"]["crop"]) == ("write_error", "")
    (out / "photo000.jpg").rmdir()
    crop(photos, tmp_path / "reference")
    crop(photos, out)
    if result.counts["failed"]:
        assert product(out) == product(tmp_path / "reference")


def test_overwrite_removes_only_what_the_journal_lists(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out)
    ours = {row["crop"] for row in rows_of(out)}
    (out / "day1" / "mine.jpg").write_bytes(b"mine")
    (out / "mine" / "empty").mkdir(parents=True)
    (out / STATE / "mine.txt").write_bytes(b"mine")
    (photos.parent / "one").mkdir()
    write_photo(photos.parent / "one" / "only.jpg")
    crop(photos.parent / "one", out, overwrite=True)
    assert set(product(out)) == {"audit.csv", "audit.html", "only.jpg", "day1/mine.jpg"}
    assert (out / "mine" / "empty").is_dir()
    assert (out / STATE / "mine.txt").is_file()
    assert not ours & set(product(out))
    assert not (out / "day2").exists()


def test_overwrite_keeps_a_reviewers_verdicts(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out)
    (out / STATE / "review.csv").write_text("image,verdict\n")
    crop(photos, tmp_path / "other")
    before = files_of(out)
    with refused("verdicts_would_be_lost", UsageError):
        crop(photos, out, overwrite=True, scale=2)
    with refused("verdicts_would_be_lost", UsageError):
        api.recrop(tmp_path / "other", out, overwrite=True, quiet=True)
    assert files_of(out) == before
    crop(photos, out, overwrite=True, scale=2, discard_review=True)
    assert not (out / STATE / "review.csv").exists()


def test_a_dry_run_with_overwrite_removes_nothing(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    with untouched(tmp_path / "out"):
        result = crop(photos, tmp_path / "out", overwrite=True, dry_run=True, scale=2)
    assert result.remaining == 6


# ---------------------------------------------------------------- names that would leave, names that are odd


def test_a_list_cannot_make_crops_leave_the_output(photos: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "x.jpg", 1)
    write_photo(tmp_path / "lists" / "deep" / "audit.csv.jpg", 2)
    absolute = tmp_path / "elsewhere" / "y.jpg"
    write_photo(absolute, 3)
    lines = [
        "../../x.jpg",
        str(absolute),
        "../../in/photo000.jpg",
        "./../../in/day1/../photo003.jpg",
        "audit.csv.jpg",
        "../../../../../../../../../../etc/passwd",
        "/",
        "..",
    ]
    listing = tmp_path / "lists" / "deep" / "list.txt"
    listing.write_text("\n".join(lines), encoding="utf-8")
    before = set(files_of(tmp_path))
    crop(listing, tmp_path / "out")
    assert {name.split("/")[0] for name in set(files_of(tmp_path)) - before} == {"out"}
    rows = rows_of(tmp_path / "out")
    assert len(rows) == len(lines)
    assert [row["status"] == "failed" for row in rows] == [False] * 5 + [True] * 3
    assert len({row["image"] for row in rows}) == len(lines)
    for row in rows:
        assert ".." not in row["crop"].split("/")
        assert not row["crop"].startswith("/")
    assert rows[0]["crop"] == "x.jpg"
    assert rows[4]["crop"] == "audit.csv.jpg"


def test_a_list_may_name_files_like_ours(tmp_path: Path) -> None:
    names = ["run.json", "audit.html", "audit.csv", ".detic-crop/journal.jsonl", ".detic-crop/tmp/1.jpg"]
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    (tmp_path / "in" / "list.txt").write_text("\n".join(names))
    crop(tmp_path / "in" / "list.txt", tmp_path / "out")
    assert_one_row_each(tmp_path / "out", names)
    assert crop(tmp_path / "in" / "list.txt", tmp_path / "out").done == 0


ODD = [
    'quote"s.jpg',
    "apo'strophe.jpg",
    "=cmd()|' calc'!A0.jpg",
    "@SUM(1).jpg",
    "+1-1.jpg",
    "-leading.jpg",
    "--out.jpg",
    "comma, semicolon; space .jpg",
    " blanks  .jpg",
    "trailing...jpg",
    "dots.../a.jpg",
    "con.jpg",
    "CON.tar.jpg",
    "lpt1/nul.jpg",
    "con_.jpg",
    "🐳 é ß.jpg",
    unicodedata.normalize("NFD", "é") + "1.jpg",
    "%41.jpg",
    "{brace} [1] * ?.jpg",
    "a" * 246 + ".jpg",
    "ä" * 120 + ".jpg",
    "nan.jpg",
    "NULL.png",
    "back\\slash.jpg",
    "noext.jpg.jpg",
    "#hash.jpg",
    "percent%sd.jpg",
    "$HOME `ls`.jpg",
    "tab\tbed.jpg",
    "line\nbreak.jpg",
    "carriage\rreturn.jpg",
    "line\u2028separator.jpg",
    "next\x85line.jpg",
    "escape\x1b[31m.jpg",
]


@posix
def test_odd_names(tmp_path: Path) -> None:
    for seed, name in enumerate(ODD):
        write_photo(tmp_path / "in" / name, seed)
    with untouched(tmp_path / "in"):
        crop(tmp_path / "in", tmp_path / "out")
        assert_one_row_each(tmp_path / "out", ODD)
        assert {row["status"] for row in rows_of(tmp_path / "out")} <= {"cropped", "resized"}
        assert crop(tmp_path / "in", tmp_path / "out").done == 0
        folded = {unicodedata.normalize("NFC", name).casefold() for name in product(tmp_path / "out")}
        assert len(folded) == len(ODD) + 2
        table = api.read_audit(tmp_path / "out")
        assert sorted(table["image"]) == sorted(ODD)
        reserved = [part for name in product(tmp_path / "out") for part in name.split("/")]
        assert not [part for part in reserved if part.split(".")[0].casefold() in ("con", "nul", "lpt1")]
        crop(tmp_path / "in", tmp_path / "webp", format="webp")
        assert_one_row_each(tmp_path / "webp", ODD)


@posix
def test_odd_names_in_labels(tmp_path: Path) -> None:
    names = [name for name in ODD if "\\" not in name and name == name.strip()]
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    with open(tmp_path / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["image", "id"])
        writer.writerows([name, name] for name in names)
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    rows = rows_of(tmp_path / "out")
    assert [(row["image"], row["id"]) for row in rows] == [(name, name) for name in names]
    assert "failed" not in {row["status"] for row in rows}


@posix
def test_odd_names_in_a_csv_list(tmp_path: Path) -> None:
    names = [name for name in ODD if name == name.strip()]
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    with open(tmp_path / "in" / "list.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["note", "path"])
        writer.writerows(["two\nlines", name] for name in names)
    crop(tmp_path / "in" / "list.csv", tmp_path / "out")
    assert [row["image"] for row in rows_of(tmp_path / "out")] == names
    assert "failed" not in {row["status"] for row in rows_of(tmp_path / "out")}


def test_a_csv_list_with_an_enormous_cell_is_refused_in_one_line(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    (tmp_path / "list.csv").write_text("note,path\n" + "x" * 200_000 + ",a.jpg\n")
    with refused("not_csv", UsageError):
        crop(tmp_path / "list.csv", tmp_path / "out")


@posix
def test_names_and_folders_that_are_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/in\xff"
    os.mkdir(folder)
    names = [b"latin\xe9.jpg", b"latin%E9.jpg", b"\xff\xfe.png", b"plain.jpg"]
    try:
        for name in names:
            with open(folder + b"/" + name, "wb") as file:
                file.write(photo_bytes(len(name)))
    except OSError:
        names = []  # this file system takes text only
    out = os.fsdecode(os.fsencode(tmp_path) + b"/out\xff")
    if names:
        crop(os.fsdecode(folder), out)
        rows = rows_of(Path(out))
        assert sorted(row["image"] for row in rows) == [
            "%FF%FE.png",
            "latin%E9.jpg",
            "latin%E9~2.jpg",
            "plain.jpg",
        ]
        assert "failed" not in {row["status"] for row in rows}
        assert crop(os.fsdecode(folder), out).done == 0
        assert api.recrop(out, tmp_path / "again", quiet=True).counts.total() == 4


@posix
def test_pipes_and_links_among_the_photos(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    write_photo(folder / "real.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "link.jpg").symlink_to(photos / "photo000.jpg")
    (folder / "up").symlink_to(folder)
    (folder / "folder").symlink_to(photos / "day1")
    crop(folder, tmp_path / "out")
    rows = {row["image"]: row["reason"] for row in rows_of(tmp_path / "out")}
    assert rows.pop("pipe.jpg") == "not_a_file"
    assert rows.pop("broken.jpg") == rows.pop("self.jpg") == "missing_file"
    assert set(rows) == {"real.jpg", "link.jpg", "folder/photo001.jpg", "folder/photo004.png"}
    assert set(rows.values()) <= {"largest_box", "not_found"}


def test_the_longest_paths(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)
    for where in ("x" * 5000, "x" * 300):
        with refused("missing_input", UsageError):
            crop(where, tmp_path / "out")
    listing = tmp_path / "in" / "list.txt"
    listing.write_text("photo000.jpg\na\\" + "b" * 300 + ".jpg\n" + "c/" * 3000 + "d.jpg")
    crop(listing, tmp_path / "out")
    assert [row["status"] == "failed" for row in rows_of(tmp_path / "out")] == [False, True, True]


def test_another_folder_with_the_same_names_is_refused(tmp_path: Path) -> None:
    """Cameras begin at IMG_0001 every day."""
    write_photo(tmp_path / "day1" / "IMG_1.jpg", 1)
    write_photo(tmp_path / "day2" / "IMG_1.jpg", 2, width=90)
    write_photo(tmp_path / "day2" / "IMG_2.jpg", 3)
    crop(tmp_path / "day1", tmp_path / "out")
    before = product(tmp_path / "out")
    with refused("same_name_other_photo"):
        crop(tmp_path / "day2", tmp_path / "out")
    assert product(tmp_path / "out") == before
    (tmp_path / "day1").rename(tmp_path / "moved")  # the same photos elsewhere may go on
    assert crop(tmp_path / "moved", tmp_path / "out").skipped == 1


def test_a_file_in_the_place_of_a_removed_crop_is_not_ours(tmp_path: Path) -> None:
    photo = tmp_path / "in" / "a.jpg"
    write_photo(photo, 1)
    good = photo.read_bytes()
    crop(tmp_path / "in", tmp_path / "out")
    photo.write_bytes(b"spoiled")
    assert crop(tmp_path / "in", tmp_path / "out").counts["failed"] == 1
    (tmp_path / "out" / "a.jpg").write_bytes(b"somebody's")
    photo.write_bytes(good)
    crop(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"somebody's"
    assert rows_of(tmp_path / "out")[0]["crop"] == "a.jpg.jpg"


def test_a_link_to_a_crop_is_no_photo(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg", 1)
    crop(tmp_path / "in", tmp_path / "out")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "b.jpg").symlink_to(tmp_path / "out" / "a.jpg")
    with refused("photos_in_output", UsageError):
        crop(tmp_path / "links", tmp_path / "out")


def test_what_a_run_records_cannot_be_given(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg", 1)
    for name, value in (("weights", "my.pth"), ("algorithm", 99)):
        with refused("setting_not_accepted", UsageError, match=f"{name} is recorded by a run"):
            crop(tmp_path / "in", tmp_path / "out", **{name: value})


@pytest.mark.parametrize(
    ("out", "code"),
    [
        ("s3:/bucket/crops", "address_as_path"),
        ("file:///crops", "address_as_path"),
        ("https://example.org/crops", "out_not_writable"),
        ("s3://", "out_not_writable"),
    ],
)
def test_what_only_looks_like_a_store_is_no_folder(
    photos: Path, out: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder named `s3:` in the working folder is where the crops would go."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with refused(code, UsageError):
        crop(photos, out)
    assert sorted(tmp_path.iterdir()) == before
