"""manifest.csv: SHA-256 of every photo and crop, in the order of audit.csv, always the same bytes."""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.manifest import MANIFEST_COLUMNS, Entry, FileHash, read_manifest
from detic_crop.photos.keys import STATE
from detic_crop.report.table import csv_parts
from tests.kit.folders import animals_of, crop, files_of, records_of, rows_of, samples
from tests.kit.photos import photo_bytes, write_difficult_photos, write_photo, write_photos
from tests.kit.verdicts import give_verdicts


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest_of(out: Path) -> list[dict[str, str]]:
    """manifest.csv as the csv module reads it."""
    with open(out / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_difficult_photos(tmp_path / "in", 8)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_every_photo_and_crop_is_there_in_the_order_of_the_table(photos: Path, out: Path) -> None:
    crop(photos, out)
    result = api.write_audit(out, manifest=True)
    rows = manifest_of(out)
    assert list(rows[0]) == list(MANIFEST_COLUMNS)
    assert [(row["image"], row["crop"]) for row in rows] == [(r["image"], r["crop"]) for r in rows_of(out)]
    for row in rows:
        photo = (photos / row["image"]).read_bytes()
        assert (row["photo_bytes"], row["photo_sha256"]) == (str(len(photo)), sha256(photo))
        data = (out / row["crop"]).read_bytes() if row["crop"] else None
        expected = ("", "") if data is None else (str(len(data)), sha256(data))
        assert (row["crop_bytes"], row["crop_sha256"]) == expected
    assert any(not row["crop"] for row in rows)
    own = sha256((out / "manifest.csv").read_bytes())
    assert f"manifest.csv: {len(rows)} photos, 9 crops; its own SHA-256 is {own}" in result.notes


def test_a_photo_with_several_animals_has_several_rows(photos: Path, out: Path) -> None:
    crop(photos, out, animals="all")
    api.write_audit(out, manifest=True)
    rows = manifest_of(out)
    listed = [(row["image"], row["crop"]) for row in rows if row["crop"]]
    assert listed == [(row["image"], row["crop"]) for row in animals_of(out) if row["crop"]]
    assert len(listed) > len({image for image, _ in listed})
    assert list(dict.fromkeys(row["image"] for row in rows)) == [row["image"] for row in rows_of(out)]


def test_crops_in_tar_files_have_their_own_hash(photos: Path, out: Path) -> None:
    crop(photos, out, out_format="tar", per_tar=3)
    api.write_audit(out, manifest=True)
    expected = {name: sha256(data) for name, (data, _) in samples(out).items()}
    assert {row["crop"]: row["crop_sha256"] for row in manifest_of(out) if row["crop"]} == expected


def test_it_is_the_same_again_and_after_other_ways(photos: Path, out: Path, tmp_path: Path) -> None:
    crop(photos, out)
    api.write_audit(out, manifest=True)
    first = (out / "manifest.csv").read_bytes()
    api.write_audit(out, manifest=True)
    assert (out / "manifest.csv").read_bytes() == first
    for shard in ("0/2", "1/2"):
        crop(photos, tmp_path / "shards", shard=shard)
    api.merge(tmp_path / "shards")
    api.write_audit(tmp_path / "shards", manifest=True)
    assert (tmp_path / "shards" / "manifest.csv").read_bytes() == first


def test_a_row_for_each_photo_though_labels_name_it_twice(tmp_path: Path, out: Path) -> None:
    [first, second] = write_photos(tmp_path / "in", 2)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"image,species\n{second},a\n{first},b\n{second},c\ngone.jpg,d\n")
    crop(tmp_path / "in", out, labels=labels)
    api.write_audit(out, manifest=True)
    assert [row["image"] for row in manifest_of(out)] == [second, first, "gone.jpg"]
    assert manifest_of(out)[2]["photo_sha256"] == ""


def test_photos_that_labels_leave_out_come_last(tmp_path: Path, out: Path) -> None:
    [first, second, third] = write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", out)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"image\n{third}\n")
    crop(tmp_path / "in", out, labels=labels)
    api.write_audit(out, manifest=True)
    assert [row["image"] for row in rows_of(out)] == [third]
    assert [row["image"] for row in manifest_of(out)] == [third, first, second]


def test_photos_that_moved_and_photos_that_are_gone_or_others(photos: Path, out: Path) -> None:
    crop(photos, out)
    moved = photos.with_name("moved")
    photos.rename(moved)
    notes = " ".join(api.write_audit(out, manifest=True).notes)
    assert {row["photo_sha256"] for row in manifest_of(out)} == {""}
    assert (
        "manifest.csv: 9 photos are gone (the first: day1/photo001.jpg), so the hash is left empty" in notes
    )
    api.write_audit(out, input=moved, manifest=True)
    assert {row["photo_sha256"] for row in manifest_of(out)} == {
        sha256(data) for data in files_of(moved).values()
    }
    (moved / "photo003.jpg").unlink()
    other = photo_bytes(77)
    before = (moved / "photo006.jpg").read_bytes()
    (moved / "photo006.jpg").write_bytes((other + before)[: len(before)])  # as many bytes
    (moved / "photo000.png").write_bytes(other)
    notes = " ".join(api.write_audit(out, input=moved, manifest=True).notes)
    assert "manifest.csv: 1 photo is gone (the first: photo003.jpg)" in notes
    assert "manifest.csv: 2 photos have changed (the first: photo000.png)" in notes
    empty = [row["image"] for row in manifest_of(out) if not row["photo_sha256"]]
    assert empty == ["photo000.png", "photo003.jpg", "photo006.jpg"]


def test_a_crop_that_is_not_as_the_journal_says_has_no_hash(photos: Path, out: Path) -> None:
    crop(photos, out)
    (out / "photo003.jpg").unlink()
    (out / "photo006.jpg").write_bytes(b"another")
    notes = " ".join(api.write_audit(out, manifest=True).notes)
    assert "2 crops are missing or have changed (the first: photo003.jpg)" in notes
    empty = [row["crop"] for row in manifest_of(out) if row["crop"] and not row["crop_sha256"]]
    assert empty == ["photo003.jpg", "photo006.jpg"]


def test_rejected_crops_are_not_in_it(photos: Path, out: Path) -> None:
    crop(photos, out)
    give_verdicts(out, {"photo003.jpg": "rejected"})
    api.apply(out, quiet=True)
    api.write_audit(out, manifest=True)
    [row] = [row for row in manifest_of(out) if row["image"] == "photo003.jpg"]
    assert row["photo_sha256"]
    assert (row["crop"], row["crop_sha256"]) == ("", "")


OLDER = "manifest.csv is older than these crops; `detic-crop audit` with --manifest writes a new one"


def test_a_command_that_changes_crops_says_that_it_is_older(photos: Path, out: Path) -> None:
    crop(photos, out)
    api.write_audit(out, manifest=True)
    assert OLDER not in api.write_audit(out).notes
    write_photo(photos / "later.jpg", 40)
    assert OLDER in crop(photos, out).notes
    assert OLDER in api.write_audit(out, manifest=False).notes + crop(photos, out).notes  # failed ones again
    give_verdicts(out, {"photo003.jpg": "box"})
    assert OLDER in api.apply(out, quiet=True).notes
    assert OLDER not in api.write_audit(out, manifest=True).notes


def test_what_a_person_changed_is_set_aside(
    photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crop(photos, out)
    (out / "manifest.csv").write_text("my own list of cargo\n")
    assert cli.main(["audit", str(out), "--manifest"]) == 0
    assert (out / "manifest.edited.csv").read_text() == "my own list of cargo\n"
    assert f"manifest: {out / 'manifest.csv'}" in capsys.readouterr().out
    (out / "manifest.csv").write_text((out / "manifest.csv").read_text() + "more\n")
    assert cli.main(["audit", str(out), "--manifest"]) == 0
    assert (out / "manifest.edited-2.csv").read_text().endswith("more\n")
    crop(photos, out, overwrite=True)
    assert not (out / "manifest.csv").exists()


def test_a_crop_never_takes_its_name(tmp_path: Path, out: Path) -> None:
    write_photo(tmp_path / "in" / "manifest.csv" / "a.jpg")
    crop(tmp_path / "in", out)
    api.write_audit(out, manifest=True)
    assert [row["crop"] for row in manifest_of(out)] == ["manifest.csv_/a.jpg"]


def test_odd_names_are_read_as_they_were_written(tmp_path: Path) -> None:
    names = ["a,b.jpg", 'say "cheese".jpg', "two\nlines.jpg", "lone\rreturn.jpg", "=1+1.jpg", "ÿ/é.jpg"]
    found = FileHash.of(b"photo")
    entries = [Entry(name, found, name, FileHash.of(b"crop")) for name in names] + [Entry("none.jpg")]
    text = b"".join(csv_parts([[*MANIFEST_COLUMNS], *(entry.cells() for entry in entries)])).decode()
    assert list(read_manifest(line + "\n" for line in text.split("\n")[:-1])) == entries


def test_rows_that_are_none_are_named_by_their_line() -> None:
    good = ",".join(Entry("a.jpg", FileHash.of(b"a"), "a.jpg", FileHash.of(b"b")).cells()) + "\n"
    bad = ["a.jpg,1,xyz,,,\n", "a.jpg,,,../a.jpg,,\n", "a.jpg\n", "\n", good.replace(",1,", ",-1,")]
    found = list(read_manifest([",".join(MANIFEST_COLUMNS) + "\n", *bad, good]))
    assert found[:5] == [2, 3, 4, 5, 6]
    assert isinstance(found[5], Entry)
    for header in ([], ["image,crop\n"], ['"']):
        with pytest.raises(ValueError, match="expected the columns image,photo_bytes"):
            list(read_manifest(header))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_checks_the_crops(photos: Path, out: Path) -> None:
    """The command of docs/output.md."""
    crop(photos, out)
    api.write_audit(out, manifest=True)
    page = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^python3 -c .* \|\n +sha256sum -c$", page, flags=re.MULTILINE)

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", line], cwd=out, capture_output=True, text=True, check=False)

    assert check().returncode == 0
    assert check().stdout.count(": OK") == 9
    (out / "photo003.jpg").write_bytes(b"another")
    assert check().returncode == 1


def test_the_journal_is_left_alone(photos: Path, out: Path) -> None:
    crop(photos, out)
    before = {name: data for name, data in files_of(out / STATE).items() if name != "written.json"}
    records = records_of(out)
    api.write_audit(out, manifest=True)
    assert {name: data for name, data in files_of(out / STATE).items() if name != "written.json"} == before
    assert records_of(out) == records


def test_every_column_is_explained_as_in_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
    for name, meaning in MANIFEST_COLUMNS.items():
        assert f"| `{name}` | {meaning} |" in page
