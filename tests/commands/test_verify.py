"""`verify`: every kind of damage is found and named, a folder without any is called as it was made."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.problem import PROBLEMS
from detic_crop.photos.keys import STATE
from tests.kit.big_run import write_big_run
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, files_of, records_of, untouched
from tests.kit.photos import photo_bytes, write_difficult_photos, write_photo, write_photos, write_tar
from tests.kit.processes import run_python
from tests.kit.stores import objects, set_objects
from tests.kit.verdicts import give_verdicts

WAYS: dict[str, dict[str, Any]] = {
    "files": {},
    "animals": {"animals": "all"},
    "tar": {"out_format": "tar", "per_tar": 4},
    "png": {"format": "png"},
    "webp": {"format": "webp", "max_bytes": 10_000, "size": "long:40"},
    "exif": {"exif": "keep", "metadata": True},
    "native": {"size": "native", "fit": "pad"},
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_difficult_photos(tmp_path / "in", 8)
    return tmp_path / "in"


@pytest.fixture
def out(photos: Path, tmp_path: Path) -> Path:
    """A folder of crops with a manifest."""
    crop(photos, tmp_path / "out")
    api.write_audit(tmp_path / "out", manifest=True)
    return tmp_path / "out"


def found(folder: Path | str, **given: Any) -> list[tuple[str, str]]:
    """Kind and name of every problem."""
    result = api.verify(folder, quiet=True, **given)
    assert set(result.kinds) <= set(PROBLEMS)
    assert result.kinds.total() == len(result.problems)
    assert result.is_as_made == (not result.problems)
    return [(problem.kind, problem.name) for problem in result.problems]


def published(out: Path) -> Path:
    """A copy as a reader of a paper has it: crops and manifest.csv."""
    copy = out.with_name("published")
    shutil.copytree(out, copy, ignore=shutil.ignore_patterns(STATE, "audit.*", "run.json"))
    return copy


# ---------------------------------------------------------------- all is well


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("manifest", [False, True])
def test_what_a_run_made_is_as_it_was_made(
    way: str, manifest: bool, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cropped"
    crop(photos, out, **WAYS[way])
    give_verdicts(out, {"photo003.jpg": "rejected", "photo006.jpg": "box", "day1/photo001.jpg": "accepted"})
    api.apply(out, quiet=True)
    api.write_audit(out, manifest=manifest)
    with untouched(out):
        result = api.verify(out, quiet=True)
    assert (result.problems, result.notes) == ([], [])
    assert (result.by_journal, result.by_manifest) == (True, manifest)
    assert result.photos == 13
    assert result.photos_checked == (13 if manifest else 9)
    assert result.crops >= 9
    assert cli.main(["verify", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    if manifest:
        copy = published(out)
        alone = api.verify(copy, quiet=True)
        assert (alone.problems, alone.by_journal, alone.photos_checked) == ([], False, 0)
        assert api.verify(copy, input=photos, quiet=True).photos_checked == 13


def test_with_labels_that_leave_photos_out(photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("image,crop,status\nphoto003.jpg,x,y\nphoto003.jpg,x,y\ngone.jpg,,\n")
    crop(photos, tmp_path / "cropped")
    crop(photos, tmp_path / "cropped", labels=labels)
    api.write_audit(tmp_path / "cropped", manifest=True, csv_safe=True)
    result = api.verify(tmp_path / "cropped", quiet=True)
    assert result.problems == []


def test_photos_in_a_tar_file(photos: Path, tmp_path: Path) -> None:
    files = files_of(photos)
    tar = write_tar(tmp_path / "photos.tar", files)
    crop(tar, tmp_path / "cropped")
    api.write_audit(tmp_path / "cropped", manifest=True)
    assert found(tmp_path / "cropped") == []
    assert found(published(tmp_path / "cropped"), input=tar) == []
    flip(tar, tar.read_bytes().index(files["photo003.jpg"]) + 100)
    assert found(tmp_path / "cropped") == [("photo_changed", "photo003.jpg")]
    assert found(tmp_path / "published", input=tar) == [("photo_changed", "photo003.jpg")]


def test_names_that_spreadsheets_take_for_formulas(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "=1+1.jpg")
    crop(tmp_path / "in", tmp_path / "out", csv_safe=True)
    api.write_audit(tmp_path / "out", manifest=True)
    assert found(tmp_path / "out") == []
    assert found(published(tmp_path / "out")) == []


def test_shards_and_another_recrop(photos: Path, tmp_path: Path) -> None:
    for shard in ("0/2", "1/2"):
        crop(photos, tmp_path / "shards", shard=shard)
    with refused("not_merged"):
        api.verify(tmp_path / "shards")
    api.merge(tmp_path / "shards")
    assert found(tmp_path / "shards") == []
    api.recrop(tmp_path / "shards", tmp_path / "again", size=24, quiet=True)
    assert found(tmp_path / "again") == []


# ---------------------------------------------------------------- what is found


def flip(path: Path, place: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def replace(path: Path, before: bytes, after: bytes) -> None:
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after, 1))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def change_a_verdict(out: Path) -> None:
    give_verdicts(out, {"photo003.jpg": "accepted", "photo006.jpg": "rejected"})
    replace(out / STATE / "review.csv", b"photo006.jpg", b"photo000.jpg")


FOUND: dict[str, tuple[Callable[[Path, Path], object], list[tuple[str, str]]]] = {
    "a crop is gone": (
        lambda out, photos: (out / "photo003.jpg").unlink(),
        [("crop_missing", "photo003.jpg")],
    ),
    "a crop is a folder": (
        lambda out, photos: make_folder(out / "photo003.jpg"),
        [("crop_missing", "photo003.jpg")],
    ),
    "a bit of a crop": (lambda out, photos: flip(out / "photo003.jpg"), [("crop_changed", "photo003.jpg")]),
    "a crop is cut": (
        lambda out, photos: (out / "photo003.jpg").write_bytes((out / "photo003.jpg").read_bytes()[:-9]),
        [("crop_changed", "photo003.jpg")],
    ),
    "a photo is gone": (
        lambda out, photos: (photos / "photo003.jpg").unlink(),
        [("photo_missing", "photo003.jpg")],
    ),
    "a bit of a photo": (
        lambda out, photos: flip(photos / "photo003.jpg"),
        [("photo_changed", "photo003.jpg")],
    ),
    "a bit of a photo that failed": (
        lambda out, photos: flip(photos / "bad/text.jpg", 3),
        [("photo_changed", "bad/text.jpg")],
    ),
    "a photo has grown": (
        lambda out, photos: (photos / "photo003.jpg").write_bytes(photo_bytes(9) * 2),
        [("photo_changed", "photo003.jpg")],
    ),
    "a picture of somebody": (
        lambda out, photos: write_photo(out / "day1" / "mine.PNG"),
        [("not_ours", "day1/mine.PNG")],
    ),
    "a tar file of somebody": (
        lambda out, photos: write_tar(out / "crops-00000.tar", {}),
        [("not_ours", "crops-00000.tar")],
    ),
    "the table": (
        lambda out, photos: replace(
            out / "audit.csv", b"photo003.jpg,photo003.jpg", b"photo003.jpg,photo006.jpg"
        ),
        [("table", "audit.csv")],
    ),
    "the page": (lambda out, photos: (out / "audit.html").unlink(), [("table", "audit.html")]),
    "run.json": (lambda out, photos: replace(out / "run.json", b"{", b"{ "), [("table", "run.json")]),
    "a row of the manifest": (
        lambda out, photos: replace(out / "manifest.csv", b"day1/photo001.jpg,1", b"day1/photo001.jpg,x"),
        [
            ("table", "manifest.csv"),
            ("manifest", "manifest.csv, line 6"),
            ("manifest", "day1/photo001.jpg"),
        ],
    ),
    "a line of the journal": (
        lambda out, photos: replace(
            out / STATE / "journal.jsonl", b'"image":"photo003.jpg"', b'"image":"photo003.jpk"'
        ),
        [
            ("journal", f"{STATE}/journal.jsonl"),
            ("table", "audit.csv"),
            ("manifest", "photo003.jpg"),
            ("not_ours", "photo003.jpg"),
        ],
    ),
    "the boxes": (
        lambda out, photos: replace(out / STATE / "candidates.jsonl", b'"photo003.jpg"', b'"photo004.jpg"'),
        [("journal", "photo003.jpg")],
    ),
    "the boxes are gone": (
        lambda out, photos: (out / STATE / "candidates.jsonl").unlink(),
        [("journal", f"{STATE}/candidates.jsonl")],
    ),
    "the listing": (
        lambda out, photos: replace(out / STATE / "listing.json", b"photo003", b"photo004"),
        [("state", STATE)],
    ),
    "written.json": (
        lambda out, photos: replace(out / STATE / "written.json", b'"audit.csv"', b'"audit.cvs"'),
        [("state", f"{STATE}/written.json")],
    ),
    "a line of review.csv": (
        lambda out, photos: change_a_verdict(out),
        [("state", f"{STATE}/review.csv"), ("verdict", "photo003.jpg")],
    ),
    "a verdict that waits": (
        lambda out, photos: give_verdicts(out, {"photo003.jpg": "rejected"}),
        [("verdict", "photo003.jpg")],
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_it_is_found_and_named_and_nothing_else(
    what: str, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, expected = FOUND[what]
    damage(out, photos)
    with untouched(out):
        if what == "the listing":  # by which photos are found
            with refused("listing_damaged"):
                api.verify(out, quiet=True)
            assert found(out, photos=False) == expected
        else:
            assert sorted(found(out)) == sorted(expected)
            assert cli.main(["verify", str(out)]) == 5
            said = capsys.readouterr().out
            assert [f"{kind}: {name}: " in said for kind, name in expected] == [True] * len(expected)


def test_the_advice_on_a_crop_with_other_bytes_mends_it(photos: Path, out: Path) -> None:
    flip(out / "photo003.jpg")
    (problem,) = api.verify(out).problems
    assert "delete the file, then run the `detic-crop run` command again" in problem.said
    (out / "photo003.jpg").unlink()
    crop(photos, out)
    assert found(out) == []


def test_without_a_manifest_size_and_decoding_tell(photos: Path, out: Path) -> None:
    (out / "manifest.csv").unlink()
    assert found(out) == []
    flip(photos / "photo003.jpg")
    (out / "photo006.jpg").write_bytes(b"x" * (out / "photo006.jpg").stat().st_size)
    flip(out / "photo000.jpg", 2)  # the marker of the first segment
    assert sorted(found(out)) == [
        ("crop_damaged", "photo000.jpg"),
        ("crop_damaged", "photo006.jpg"),
        ("photo_changed", "photo003.jpg"),
    ]


def test_crops_set_aside_are_checked_too(out: Path) -> None:
    give_verdicts(out, {"photo003.jpg": "rejected"})
    api.apply(out, quiet=True)
    api.write_audit(out, manifest=True)
    assert found(out) == []
    (out / STATE / "rejected" / "photo003.jpg.rejected").unlink()
    assert found(out) == [("crop_missing", "photo003.jpg")]


def test_a_manifest_that_is_older_is_told_from_changed_crops(photos: Path, out: Path) -> None:
    give_verdicts(out, {"photo003.jpg": "box", "photo006.jpg": "rejected"})
    api.apply(out, quiet=True)
    write_photo(photos / "later.jpg", 40)
    crop(photos, out)
    problems = found(out)
    assert problems == [("manifest", "photo003.jpg"), ("manifest", "photo006.jpg"), ("manifest", "later.jpg")]
    api.write_audit(out, manifest=True)
    assert found(out) == []


def test_a_run_that_was_stopped(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "cropped", limit=5)
    first = api.verify(tmp_path / "cropped", quiet=True)
    assert first.problems == []  # all that was asked for
    [note] = first.notes
    assert note.startswith("photos that are not done: 8 (the first: day1/photo004.png)")
    table = (tmp_path / "cropped" / "audit.csv").read_bytes()
    crop(photos, tmp_path / "cropped")
    (tmp_path / "cropped" / "audit.csv").write_bytes(table)
    kinds = [kind for kind, _ in found(tmp_path / "cropped")]
    assert kinds == ["table", "table"]  # not as written, and not of these crops


def test_none_of_the_photos_is_there_any_more(photos: Path, out: Path) -> None:
    moved = photos.rename(photos.with_name("moved"))
    [(kind, name)] = found(out)
    assert (kind, name) == ("photo_missing", str(photos))
    assert found(out, photos=False) == []
    assert found(out, input=moved) == []
    (photos / "other").mkdir(parents=True)
    write_photo(photos / "other" / "else.jpg")
    with refused("photos_not_in_input"):
        api.verify(out, input=photos, quiet=True)


def test_what_nobody_reads_as_a_crop_is_only_mentioned(out: Path) -> None:
    (out / "README.txt").write_text("about these crops")
    (out / "day1" / "Thumbs.db").write_bytes(b"")
    result = api.verify(out, quiet=True)
    assert result.problems == []
    assert result.notes == ["not ours, but nothing that is read as a crop: 2 (the first: README.txt)"]


def test_a_command_that_is_at_work_is_mentioned(out: Path) -> None:
    (out / STATE / "lock-owner.json").write_text("{}")
    [note] = api.verify(out, quiet=True).notes
    assert note.startswith("a command is at work in this folder, or was killed")


# ---------------------------------------------------------------- tar files


@pytest.fixture
def tars(photos: Path, tmp_path: Path) -> Path:
    crop(photos, tmp_path / "tars", out_format="tar", per_tar=7)
    api.write_audit(tmp_path / "tars", manifest=True)
    return tmp_path / "tars"


def test_crops_in_tar_files(tars: Path) -> None:
    crops = sorted(record.crop for record in records_of(tars).values() if record.crop)
    first = tars / "crops-00000.tar"
    data = first.read_bytes()
    with tarfile.open(first) as opened:
        name = next(info for info in opened if info.name.endswith(".jpg"))
        place = name.offset_data + name.size - 40
    flip(first, place)
    for folder in (tars, published(tars)):
        assert found(folder) == [("crop_changed", f"crops-00000.tar/{name.name}")]
    first.write_bytes(data[: len(data) // 2])
    missing = found(tars)
    assert {kind for kind, _ in missing} == {"crop_missing"}
    assert {name for _, name in missing} < set(crops)
    first.write_bytes(data)
    with tarfile.open(first, "a") as opened:
        opened.add(write_photo(tars.with_name("mine.jpg")), "other/mine.jpg")
    assert found(tars) == [("not_ours", "crops-00000.tar/other/mine.jpg")]


def test_crops_that_wait_to_be_packed(tars: Path) -> None:
    waiting = tars / STATE / "pending" / "crops-00000.tar"
    waiting.mkdir(parents=True)
    (waiting / "photo003.jpg.gone").write_bytes(b"")
    assert ("unfinished", f"{STATE}/pending") in found(tars)


# ---------------------------------------------------------------- the manifest alone


def test_a_copy_that_is_not_whole(photos: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = published(out)
    flip(copy / "photo003.jpg")
    (copy / "photo006.jpg").unlink()
    write_photo(copy / "day1" / "mine.jpg")
    flip(photos / "photo000.jpg")
    expected = [
        ("photo_changed", "photo000.jpg"),
        ("crop_changed", "photo003.jpg"),
        ("crop_missing", "photo006.jpg"),
        ("not_ours", "day1/mine.jpg"),
    ]
    with untouched(copy):
        assert found(copy, input=photos) == expected
        assert found(copy) == expected[1:]
    capsys.readouterr()
    assert cli.main(["verify", str(copy)]) == 5
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{copy}: 3 problems (1 crop_changed, 1 crop_missing, 1 not_ours); checked by manifest.csv: 9 crops, "
        "0 of 13 photos"
    )


def test_a_manifest_that_leads_elsewhere(out: Path, tmp_path: Path) -> None:
    copy = published(out)
    secret = write_photo(tmp_path / "secret.jpg")
    (copy / "manifest.csv").write_text(
        f"{(copy / 'manifest.csv').read_text().splitlines()[0]}\n"
        f"a.jpg,,,../secret.jpg,,\nb.jpg,,,{secret},,\nc.jpg,,,link.jpg,,\n"
    )
    (copy / "link.jpg").symlink_to(secret)
    kinds = [kind for kind, _ in found(copy) if kind != "not_ours"]
    assert kinds == ["manifest", "manifest", "crop_missing"]


def test_neither_journal_nor_manifest(photos: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (photos, tmp_path / "empty", tmp_path / "nowhere"):
        with refused("nothing_to_verify_by", names=[str(folder)]):
            api.verify(folder)
    (photos / "manifest.csv").write_text("container,weight\n1,2\n")
    with refused("nothing_to_verify_by"):
        api.verify(photos)
    (out / "manifest.csv").write_text("container,weight\n1,2\n")
    result = api.verify(out, quiet=True)
    assert not result.by_manifest
    assert "manifest.csv is not one of detic-crop" in result.notes[0]


# ---------------------------------------------------------------- the report, and what is printed


def test_the_report_has_all_problems(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(out / "mine", 30)
    report = tmp_path / "problems.csv"
    for _ in range(2):  # an earlier one is replaced
        assert cli.main(["verify", str(out), "--report", str(report)]) == 5
        lines = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("not_ours: ") for line in lines) == 20
        assert f"… and 10 more problems; {report} has all" in lines
        with open(report, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        assert len(rows) == 30
        assert {row["problem"] for row in rows} == {"not_ours"}
    assert cli.main(["verify", str(out)]) == 5
    assert "… and 10 more problems; --report FILE writes all" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "problems.csv"]


def test_a_report_never_replaces_another_file(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with untouched(out), refused("not_a_report", names=["audit.csv"]):
        api.verify(out, report=out / "audit.csv", quiet=True)
    assert cli.main(["verify", str(out), "--report", str(tmp_path / "no" / "file.csv")]) == 2
    complained("no_folder_for_report", capsys.readouterr().err)


def test_every_kind_of_problem_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    assert [kind for kind, meaning in PROBLEMS.items() if f"| `{kind}` | {meaning} |" not in page] == []


def test_a_folder_of_an_earlier_version_has_nothing_to_hold_its_tables_against(out: Path) -> None:
    replace(out / "audit.html", b"</body>", b"<p>mine</p></body>")
    assert found(out) == [("table", "audit.html")]
    (out / STATE / "written.json").unlink()
    assert found(out) == []


def test_a_table_of_somebody_else_is_refused_as_by_every_command(out: Path) -> None:
    (out / "audit.html").write_text("mine")
    with refused("foreign_table"):
        api.verify(out, quiet=True)


# ---------------------------------------------------------------- in a store


@pytest.mark.slow
@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("way", ["files", "tar"])
def test_a_folder_in_a_store(way: str, photos: Path, tmp_path: Path) -> None:
    there = "memory://bucket/out"
    crop(photos, there, **WAYS[way])
    crop(photos, tmp_path / "local", **WAYS[way])
    api.write_audit(there, manifest=True)
    api.write_audit(tmp_path / "local", manifest=True)
    assert objects(there)["manifest.csv"] == (tmp_path / "local" / "manifest.csv").read_bytes()
    before = objects(there)
    result = api.verify(there, quiet=True)
    assert (result.problems, result.notes, result.by_manifest) == ([], [], True)
    assert objects(there) == before
    published = "memory://bucket/published"
    set_objects(published, {name: data for name, data in before.items() if not name.startswith(STATE)})
    assert api.verify(published, input=photos, quiet=True).problems == []

    crops = [record.crop for record in records_of(tmp_path / "local").values() if record.crop]
    first = crops[0].partition("/")[0] if way == "tar" else crops[0]
    held = before | {first: before[first][: len(before[first]) // 3], "mine.png": photo_bytes(3, ".png")}
    set_objects(
        there, held | {"audit.csv": before["audit.csv"].replace(b"photo003.jpg,", b"photo333.jpg,", 1)}
    )
    set_objects(published, {name: data for name, data in held.items() if not name.startswith(STATE)})
    kinds = {kind for kind, _ in found(published)}
    assert kinds == {"not_ours", "crop_missing" if way == "tar" else "crop_changed"}
    assert {kind for kind, _ in found(there)} == {*kinds, "table"}
    with refused("nothing_to_verify_by"):
        api.verify("memory://bucket/nowhere")


# ---------------------------------------------------------------- a long run


MOST_BYTES = 600
"""Of memory that a further photo may take: its names in journal, manifest and folder, and its label row.

Its photo is not looked for: these folders name each photo's place by itself, which folders of runs do not.
"""


PEAKS = """
import json, tracemalloc
from detic_crop import api
from detic_crop.folder import folder
folder._PART = 1 << 16  # what is read of a table together, and copied, would hide what photos take
found = []
for out in {outs}:
    tracemalloc.start()
    result = api.verify(out, photos=False, quiet=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found.append([peak, result.crops, [problem.kind for problem in result.problems]])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_photo_takes_little_memory(tmp_path: Path) -> None:
    counts, outs = (200, 1000, 3000), []  # the first for what is imported and kept for all photos
    for count in counts:
        outs.append(write_big_run(tmp_path / str(count), count, width=60, height=40, own_crops=True))
        api.write_audit(outs[-1], manifest=True)
    # A process of its own: the interpreter's tables grow in leaps with all that other tests have left.
    found = json.loads(run_python(PEAKS.format(outs=[str(out) for out in outs])))
    peaks = []
    for count, (peak, checked, kinds) in zip(counts, found, strict=True):
        assert checked > count / 2
        assert set(kinds) <= {"not_ours"}  # crops that are shared
        peaks.append(peak)
    assert (peaks[2] - peaks[1]) / 2000 < MOST_BYTES
