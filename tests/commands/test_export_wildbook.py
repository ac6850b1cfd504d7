"""Export for Flukebook and other Wildbooks, held against what docs.wildme.org asks of files and columns."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import sys
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest
from PIL import Image

from detic_crop import api
from detic_crop.errors import OutputError
from detic_crop.exports import wildbook
from detic_crop.exports.species import AMBIGUOUS, BINOMIALS, Taxon, taxon_of
from detic_crop.exports.wildbook import ENCOUNTERS_PER_SHEET, LONGEST, MOST_BYTES, SHORTEST, fitting_sides
from tests.kit.exif import ORIGINAL, camera_exif, exif, photo_with
from tests.kit.folders import crop, files_of, records_of
from tests.kit.photos import write_photos
from tests.kit.sightings import BrightDetector, crop_sightings
from tests.kit.verdicts import give_verdict

DOCUMENTED = {
    *("MarkedIndividual.individualID", "Encounter.verbatimLocality", "Encounter.locationID"),
    *("Encounter.decimalLatitude", "Encounter.decimalLongitude", "Encounter.year", "Encounter.month"),
    *("Encounter.day", "Encounter.hour", "Encounter.minutes", "Encounter.genus", "Encounter.specificEpithet"),
    *("Encounter.submitterID", "Encounter.sightingID", "Encounter.sex", "Encounter.keyword#"),
}
"""Fields of the page "Bulk Import", section "Fields Available", that appear in these tests."""


def sheet(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def as_text(cell: object) -> str:
    """A cell of a workbook as the CSV has it."""
    if cell is None:
        return ""
    return f"{cell:.6f}" if isinstance(cell, float) else str(cell)


def assert_as_documented(out: Path) -> list[dict[str, str]]:
    """Check every import of a folder against the rules of Wildbook's pages; return all rows."""
    names: list[str] = []
    rows: list[dict[str, str]] = []
    for path in sorted(out.glob("import*.csv"), key=lambda path: int(path.stem[6:])):
        photos = sorted(photo.name for photo in path.with_suffix("").iterdir())
        of_import = sheet(path)
        assert 0 < len(of_import) <= 200
        used = []
        for row in of_import:
            assets = [row[column] for column in row if column.startswith("Encounter.mediaAsset")]
            assert [column for column in row if "mediaAsset" in column] == [
                f"Encounter.mediaAsset{n}" for n in range(len(assets))
            ]
            assert assets[0]
            assert "" not in assets[: len(assets) - assets.count("")]  # it reads until one is empty
            used += [asset for asset in assets if asset]
            for n, asset in enumerate(assets):  # the keyword of a number belongs to that picture
                assert asset or not row.get(f"Encounter.keyword{n}")
            assert row.get("Encounter.year", "") == "" or re.fullmatch(r"\d{4}", row["Encounter.year"])
            assert 1 <= int(row.get("Encounter.month") or 1) <= 12
            assert 1 <= int(row.get("Encounter.day") or 1) <= 31
            assert re.fullmatch("([A-Z][a-z]+)?", row.get("Encounter.genus", ""))
            assert re.fullmatch("([a-z-]+)?", row.get("Encounter.specificEpithet", ""))
            assert re.fullmatch("[A-Za-z0-9_-]*", row.get("Encounter.sightingID", ""))
        columns = [column for column in of_import[0] if "mediaAsset" not in column]
        assert {re.sub(r"(keyword)\d+$", r"\1#", column) for column in columns} <= DOCUMENTED
        assert all(any(row[column] for row in of_import) for column in columns)  # none without data
        assert sorted(used) == photos
        names += photos
        rows += of_import
        book = openpyxl.load_workbook(path.with_suffix(".xlsx"))
        cells = [[as_text(cell) for cell in line] for line in book.worksheets[0].values]
        assert cells == [list(of_import[0]), *(list(row.values()) for row in of_import)]
    assert len({name.casefold() for name in names}) == len(names)
    for name, data in files_of(out).items():
        if name.endswith(".jpg"):
            assert re.fullmatch(r"import\d+/[A-Za-z0-9. ]+\.jpg", name)
            assert len(data) <= 3_000_000
            with Image.open(io.BytesIO(data)) as image:
                assert 480 <= max(image.size) <= 1600
                assert not image.getexif()
                assert "exif" not in image.info
                image.load()
    assert set(files_of(out)) == {
        "photos.csv",
        *(f"{path.stem}{ending}" for path in out.glob("import*.csv") for ending in (".csv", ".xlsx")),
        *(f"{path.parent.name}/{path.name}" for path in out.glob("import*/*.jpg")),
    }
    return rows


def test_one_row_for_each_encounter_of_an_individual(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path, encounter="trip")
    result = api.export(out, "wildbook", tmp_path / "to")
    rows = assert_as_documented(tmp_path / "to")
    by_photo = {row["Encounter.mediaAsset0"]: row for row in rows}
    anna = by_photo["day 1 Wal a.jpg"]
    assert [anna[f"Encounter.mediaAsset{n}"] for n in (1, 2, 3)] == [
        *("day 1 Wal a 2.jpg", "photo con.jpg", "two.jpg")
    ]
    assert anna["MarkedIndividual.individualID"] == "anna"
    assert (anna["Encounter.genus"], anna["Encounter.specificEpithet"]) == ("Megaptera", "novaeangliae")
    assert (anna["Encounter.year"], anna["Encounter.month"], anna["Encounter.day"]) == ("2019", "7", "4")
    assert anna["Encounter.hour"] == "10"  # of the first photo that says it
    other = by_photo["day2 Wal a.jpg"]  # another individual of that trip
    assert other["MarkedIndividual.individualID"] == "007"
    assert other["Encounter.specificEpithet"] == "truncatus"  # bottlenose_dolpin
    assert other["Encounter.sightingID"] == anna["Encounter.sightingID"]
    stranger = by_photo["day2 c r.jpg"]  # new_individual
    assert stranger["MarkedIndividual.individualID"] == ""
    assert stranger["Encounter.sightingID"] not in ("", anna["Encounter.sightingID"])
    assert by_photo["clear.png.jpg"]["Encounter.sightingID"] == ""
    assert (by_photo["side.jpg"]["Encounter.year"], by_photo["side.jpg"]["Encounter.hour"]) == ("2019", "9")
    said = " ".join(result.notes)
    assert "11 pictures without a location" in said
    assert "3 pictures without a date" in said
    assert (
        "1 date of the label column date is not taken, such as 04/07/2019: write dates as 2019-07-04" in said
    )
    assert "genus of minke_whale left empty" in said
    assert "Balaenoptera bonaerensis" in said
    assert "genus of sea serpent left empty" in said
    assert "11 photos have a long side below 480 px and were enlarged" in said


def test_without_encounters_every_photo_has_its_row(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path)
    api.export(out, "wildbook", tmp_path / "to")
    rows = assert_as_documented(tmp_path / "to")
    assert len(rows) == len(records_of(out))
    assert "Encounter.mediaAsset1" not in rows[0]
    assert "Encounter.sightingID" not in rows[0]
    photos = {row["file"]: row["photo"] for row in sheet(tmp_path / "to" / "photos.csv")}
    assert sorted(photos.values()) == sorted(records_of(out))


def test_rejected_photos_are_not_uploaded(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path, encounter="trip")
    give_verdict(out, "day 1/Wal ä.jpg", "rejected")
    api.apply(out, quiet=True)
    result = api.export(out, "wildbook", tmp_path / "to")
    rows = assert_as_documented(tmp_path / "to")
    assert result.left_out == {"rejected": 1}
    assert rows[0]["Encounter.mediaAsset0"] == "day 1 Wal a.jpg"  # of day_1/Wal_a.jpg
    assert "Encounter.mediaAsset3" not in rows[0]


def test_photos_that_are_gone_are_in_no_row(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path, encounter="trip")
    (tmp_path / "in" / "con.jpg").unlink()
    (tmp_path / "in" / "clear.png").unlink()
    result = api.export(out, "wildbook", tmp_path / "to")
    assert_as_documented(tmp_path / "to")
    assert result.left_out == {"photo: missing_file": 2}


def test_crops_of_several_animals_are_nobody(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path, animals="all")
    result = api.export(out, "wildbook", tmp_path / "to", of="crops")
    rows = {row["Encounter.mediaAsset0"]: row for row in assert_as_documented(tmp_path / "to")}
    assert rows["side.1.jpg"]["MarkedIndividual.individualID"] == "berta"
    assert rows["two.1.jpg"]["MarkedIndividual.individualID"] == ""
    assert "individual left empty of 2 crops" in " ".join(result.notes)
    assert "crops have a long side below 480 px" in " ".join(result.notes)


def test_columns_of_wildbook_in_the_labels_go_through(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 4)
    header = (
        "image,Encounter.locationID,Encounter.submitterID,Encounter.year,latitude,longitude,Encounter.sex"
    )
    lines = [f"{key},Zone 5,me,2020,{40 + n},{'x' if n else -70},female" for n, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    result = api.export(tmp_path / "cropped", "wildbook", tmp_path / "to")
    rows = assert_as_documented(tmp_path / "to")
    assert {row["Encounter.locationID"] for row in rows} == {"Zone 5"}
    assert {row["Encounter.submitterID"] for row in rows} == {"me"}
    assert {row["Encounter.year"] for row in rows} == {"2020"}
    assert rows[0]["Encounter.decimalLatitude"] == "40"
    assert rows[0]["Encounter.decimalLongitude"] == "-70"
    assert rows[1]["Encounter.decimalLatitude"] == ""
    assert not [note for note in result.notes if "location" in note or "date" in note]
    book = openpyxl.load_workbook(tmp_path / "to" / "import1.xlsx")
    year = list(rows[0]).index("Encounter.year") + 1
    assert book.worksheets[0].cell(2, year).value == 2020


def test_the_position_of_the_exif_only_with_gps(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo_with(camera_exif()))
    crop(tmp_path / "in", tmp_path / "with", metadata=True, gps=True)
    crop(tmp_path / "in", tmp_path / "without", metadata=True)
    api.export(tmp_path / "with", "wildbook", tmp_path / "w")
    (row,) = assert_as_documented(tmp_path / "w")
    record = records_of(tmp_path / "with")["a.jpg"]
    assert row["Encounter.decimalLatitude"] == f"{record.latitude:.6f}"
    assert row["Encounter.decimalLongitude"] == f"{record.longitude:.6f}"
    assert (row["Encounter.year"], row["Encounter.hour"], row["Encounter.minutes"]) == ("2019", "12", "31")
    api.export(tmp_path / "without", "wildbook", tmp_path / "wo")
    (row,) = assert_as_documented(tmp_path / "wo")
    assert "Encounter.decimalLatitude" not in row


def test_no_spreadsheet_has_more_encounters_than_wildbook_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ENCOUNTERS_PER_SHEET == 200
    monkeypatch.setattr(wildbook, "ENCOUNTERS_PER_SHEET", 4)
    keys = write_photos(tmp_path / "in", 22)
    lines = [f"{key},a{n % 3},t{n % 7}" for n, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,individual_id,trip", *lines]))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv", encounter="trip")
    result = api.export(tmp_path / "cropped", "wildbook", tmp_path / "to")
    rows = assert_as_documented(tmp_path / "to")
    assert len(list((tmp_path / "to").glob("import*.csv"))) == 6
    assert len(rows) == 21  # of 7 trips and 3 individuals; one of them has a second photo
    assert "6 imports of at most 4 encounters" in " ".join(result.notes)


def test_large_photos_become_smaller(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2400, 3), np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "large.png"), noise)
    crop(tmp_path / "in", tmp_path / "cropped", detector=BrightDetector())
    result = api.export(tmp_path / "cropped", "wildbook", tmp_path / "to")
    assert_as_documented(tmp_path / "to")
    with Image.open(tmp_path / "to" / "import1" / "large.png.jpg") as image:
        assert image.size == (1600, 1333)
    assert not [note for note in result.notes if "enlarged" in note]


def test_without_the_library_there_is_the_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = crop_sightings(tmp_path)
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    result = api.export(out, "wildbook", tmp_path / "to")
    assert not list((tmp_path / "to").glob("*.xlsx"))
    assert (tmp_path / "to" / "import1.csv").is_file()
    assert "without XlsxWriter" in " ".join(result.notes)


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has an error of its own for it."""
    out = crop_sightings(tmp_path)

    def add(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(wildbook.Plan, "add", add)
    before = files_of(tmp_path)
    with pytest.raises(OutputError, match="full"):
        api.export(out, "wildbook", tmp_path / "to")
    assert files_of(tmp_path) == before


def test_nothing_of_the_plan_is_left(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path)
    api.export(out, "wildbook", tmp_path / "to")
    assert not list((tmp_path / "to").rglob(".*"))


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((4000, 3000), (1600, 1200)),
        ((1600, 900), (1600, 900)),
        ((480, 20), (480, 20)),
        ((100, 200), (240, 480)),
        ((30_000, 3), (1600, 1)),
    ],
)
def test_sides(sides: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitting_sides(sides) == expected
    assert SHORTEST <= max(expected) <= LONGEST
    assert MOST_BYTES <= 3_000_000


@pytest.mark.parametrize(
    ("species", "expected"),
    [
        ("bottlenose_dolphin", Taxon("Tursiops", "truncatus")),
        ("bottlenose_dolpin", Taxon("Tursiops", "truncatus")),
        ("kiler_whale", Taxon("Orcinus", "orca")),
        ("Cuvier's beaked whale", Taxon("Ziphius", "cavirostris")),
        ("Bryde’s Whale", Taxon("Balaenoptera", "edeni")),
        ("Humpback whale", Taxon("Megaptera", "novaeangliae")),
        ("Long-finned pilot whale", Taxon("Globicephala", "melas")),
        ("Megaptera novaeangliae", Taxon("Megaptera", "novaeangliae")),
        ("Tursiops_truncatus", Taxon("Tursiops", "truncatus")),
        ("Orcinus orca", Taxon("Orcinus", "orca")),
        ("Orcinus orca ater", Taxon("Orcinus", "orca")),
        ("Young orca", None),
        ("Tursiops truncatus ponticus", Taxon("Tursiops", "truncatus")),
        *((name, None) for name in ("", "Purple whale", "dolphin", "Tursiops", "minke_whale", "TURSIOPS SP")),
    ],
)
def test_scientific_names(species: str, expected: Taxon | None) -> None:
    assert taxon_of(species) == expected


def test_all_names_of_the_happywhale_data_set_are_known() -> None:
    names = re.findall(
        r"\w+",
        """
        beluga blue_whale bottlenose_dolphin bottlenose_dolpin brydes_whale commersons_dolphin common_dolphin
        cuviers_beaked_whale dusky_dolphin false_killer_whale fin_whale frasiers_dolphin globis gray_whale
        humpback_whale kiler_whale killer_whale long_finned_pilot_whale melon_headed_whale minke_whale
        pantropic_spotted_dolphin pilot_whale pygmy_killer_whale rough_toothed_dolphin sei_whale
        short_finned_pilot_whale southern_right_whale spinner_dolphin spotted_dolphin white_sided_dolphin
    """,
    )
    assert len(names) == 30
    assert [name for name in names if (name in BINOMIALS) == (name in AMBIGUOUS)] == []
    for name in BINOMIALS.values():
        assert re.fullmatch("[A-Z][a-z]+ [a-z]+", name)


@pytest.mark.parametrize("metadata", [False, True])
def test_the_exif_gives_the_time_of_a_day_that_the_label_has(tmp_path: Path, metadata: bool) -> None:
    (tmp_path / "in").mkdir()
    for name in ("same.jpg", "other.jpg"):
        photo = photo_with(exif({}, {ORIGINAL: "2019:07:07 09:30:00"}))
        (tmp_path / "in" / name).write_bytes(photo)
    (tmp_path / "labels.csv").write_text("image,date\nsame.jpg,2019-07-07\nother.jpg,2019-07-08\n")
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv", metadata=metadata)
    api.export(tmp_path / "cropped", "wildbook", tmp_path / "to")
    when = {
        row["Encounter.mediaAsset0"]: [row[f"Encounter.{part}"] for part in ("day", "hour", "minutes")]
        for row in assert_as_documented(tmp_path / "to")
    }
    assert when == {"same.jpg": ["7", "9", "30"], "other.jpg": ["8", "", ""]}
