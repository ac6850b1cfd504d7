"""What a notebook shows: results, crops, contact sheets; and what `crop_photo` takes."""

from __future__ import annotations

import base64
import csv
import io
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import detic_crop
from detic_crop.boxes.detections import Detections
from detic_crop.cli import main as cli
from detic_crop.commands import crop_photo as module
from detic_crop.folder.records import Record
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.keywords import in_python
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.sheet import MostSuspicious, SheetCrop
from detic_crop.report.suspicion import Doubts
from detic_crop.stores.store import Store
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import crop, rows_of
from tests.kit.photos import photo_bytes, write_photo, write_photos
from tests.kit.verdicts import give_verdicts

RED_BGR = (0, 0, 255)


class Page(HTMLParser):
    """The pictures, links and text of an HTML."""

    def __init__(self, html: str | None) -> None:
        super().__init__()
        assert html is not None
        self.pictures: list[tuple[int, int]] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in ("script", "link", "style")
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag == "img":
            kind, _, data = (given["src"] or "").partition(",")
            assert kind == "data:image/jpeg;base64"
            with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                picture.load()
                self.pictures.append(picture.size)

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(thing: Any) -> Page:
    return Page(thing._repr_html_())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "in", 20)
    return tmp_path / "in"


# ---------------------------------------------------------------- results


def test_a_result_shows_counts_the_most_suspicious_crops_and_links(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "torn.jpg").write_bytes(photo_bytes(3)[:100])
    (photos / "empty.jpg").write_bytes(b"")
    result = crop("in", "out")
    page = shown(result)
    assert result.summary in page.text
    assert f"{result.counts['cropped']} cropped" in page.text
    for reason, number in result.failures.items():
        assert re.search(rf"{reason}\s+{number}\b", page.text), reason
    assert page.links == ["out/audit.html", "out/audit.csv"]
    assert len(page.pictures) == len(result.most_suspicious) == min(12, result.counts["cropped"])
    rows = [row for row in rows_of(tmp_path / "out") if row["status"] == "cropped"]
    rows.sort(key=lambda row: -float(row["suspicion"]))
    assert [c.name for c in result.most_suspicious] == [row["image"] for row in rows[:12]]
    for crop_shown, row in zip(result.most_suspicious, rows, strict=False):
        assert crop_shown.found == f"{row['class_name']} {float(row['score']):.2f}"
        assert list(crop_shown.flags) == list(filter(None, row["flags"].split(";")))
        assert crop_shown.name in page.text


def test_a_dry_run_shows_what_it_would_do(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out", dry_run=True)
    page = shown(result)
    assert result.dry_run
    assert "dry run, nothing written: 20 photos to do" in page.text
    assert (page.pictures, page.links) == ([], [])
    crop(photos, tmp_path / "out")
    again = shown(crop(photos, tmp_path / "out", dry_run=True))
    assert "0 photos to do, 20 done before" in again.text
    assert len(again.links) == 2


def test_a_stopped_run_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out", limit=3)
    result.stopped, result.remaining = "time_limit", 17
    page = shown(result)
    assert "the time limit was reached: 17 photos to do; make the same call to continue" in page.text
    assert len(page.pictures) == len(result.most_suspicious)


def test_a_shard_has_no_tables_yet(photos: Path, tmp_path: Path) -> None:
    page = shown(crop(photos, tmp_path / "out", shard="0/2"))
    assert "no tables yet; once all 2 shards are done" in page.text
    assert (page.links, page.pictures) == ([], [])


def test_apply_shows_the_verdicts_and_what_they_would_be(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out")
    first, second = (each.name for each in result.most_suspicious[:2])
    give_verdicts(tmp_path / "out", {first: "rejected", second: "accepted"})
    planned = detic_crop.apply(tmp_path / "out", dry_run=True)
    assert "dry run, nothing written: 2 verdicts to apply" in shown(planned).text
    applied = detic_crop.apply(tmp_path / "out", quiet=True)
    page = shown(applied)
    assert "verdicts applied: 1 accepted, 1 rejected" in page.text
    names = [each.name for each in applied.most_suspicious]
    assert first not in names
    assert second not in names[:-1], "reviewed ones are last"
    assert detic_crop.show(tmp_path / "out").crops[-1].found.endswith("reviewed: accepted")


def test_recrop_shows_what_changed(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    result = detic_crop.recrop(tmp_path / "out", tmp_path / "strict", conf=0.9, quiet=True)
    assert result.transitions.total() > 0
    assert f"{result.transitions.total()} photos changed status: " in shown(result).text


def test_notes_are_in_the_words_of_python(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    photos.rename(tmp_path / "moved")
    result = detic_crop.write_audit(tmp_path / "out")
    assert any("--in FOLDER" in note for note in result.notes)
    assert any("input=FOLDER" in said for said in result.sentences)
    page = shown(result)
    assert "input=FOLDER" in page.text
    assert len(page.pictures) == len(result.most_suspicious) > 0, "a crop needs no photo"


def test_a_result_is_shown_when_its_folder_is_gone_and_may_be_pickled(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    page = shown(pickle.loads(pickle.dumps(result)))
    assert page.text.count("no picture: it is no longer where it was") == len(result.most_suspicious)
    assert (page.pictures, page.links) == ([], [])


def test_of_a_store_no_crop_is_asked_for(photos: Path, memory: Store) -> None:
    result = crop(photos, "memory://bucket/out")
    page = shown(result)
    assert (page.pictures, page.links) == ([], [])
    assert "memory://bucket/out/audit.html" in page.text
    assert result.most_suspicious[0].name in page.text
    assert len(shown(detic_crop.show("memory://bucket/out", 5)).pictures) == 5


def test_tar_files_have_pictures(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out", out_format="tar")
    assert len(shown(result).pictures) == len(result.most_suspicious)
    assert len(shown(detic_crop.show(tmp_path / "out", 5)).pictures) == 5


def test_hostile_names_are_text(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&\udce9.jpg"
    write_photo(tmp_path / "in" / "a.jpg")
    result = crop(tmp_path / "in", tmp_path / "out", detector=_Always())
    result.notes = [f"--in {name}"] * 20
    result.most_suspicious = [SheetCrop(name, "../../etc/passwd", name, (), 1.0)]
    html = result._repr_html_()
    assert html is not None
    html.encode("utf-8")
    assert "<img" not in html
    page = Page(html)
    assert "12 more notes in result.sentences" in page.text
    assert "no picture" in page.text


def test_showing_never_fails(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = crop(photos, tmp_path / "out")
    sheet = detic_crop.show(tmp_path / "out")

    def broken(*args: Any) -> None:
        raise RuntimeError("no HTML today")

    monkeypatch.setattr("detic_crop.report.html.notebook._rendered", broken)
    assert result._repr_html_() is sheet._repr_html_() is None
    assert repr(result).startswith(f"<RunResult {tmp_path / 'out'}: 20 photos: ")
    odd = detic_crop.CropResult(np.zeros((0, 3)), "cropped", None, (0, 0, 0, 0), None, None)  # type: ignore[arg-type]
    assert odd._repr_png_() is None


def test_results_in_lines_show_what_the_command_prints(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, exported = tmp_path / "out", tmp_path / "exported"
    crop(photos, out)
    commands: dict[str, Callable[[], Any]] = {
        f"split {out} --folds 2": lambda: detic_crop.split(out, 2),
        f"export {out} --to coco --out {exported}": lambda: detic_crop.export(out, "coco", exported),
        f"verify {out}": lambda: detic_crop.verify(out, quiet=True),
    }
    for command, call in commands.items():
        cli.main(command.split())
        printed = [in_python(line) for line in capsys.readouterr().out.splitlines()]
        shutil.rmtree(exported, ignore_errors=True)
        result = call()
        assert shown(result).text.strip().splitlines() == result.sentences == printed
        assert repr(result) == f"<{type(result).__name__} {printed[-1]}>"
        assert "array(" not in repr(result) + repr(getattr(result, "division", ""))
    (out / rows_of(out)[0]["crop"]).unlink()
    damaged = detic_crop.verify(out, quiet=True)
    assert in_python(str(damaged.problems[0])) in shown(damaged).text
    assert "1 problem" in repr(damaged)


def test_only_the_most_suspicious_photos_are_kept() -> None:
    worst = MostSuspicious(3)
    suspicions = [0.1, 0.9, 0.4, 0.9, 0.2, 0.0]
    for place, suspicion in enumerate(suspicions):
        worst.add(_photo(str(place), suspicion, None))
        assert len(worst.photos) <= 3
    worst.add(_photo("judged", 1.0, Verdict("judged", "accepted")))
    assert [photo.record.image for photo in worst.photos] == ["1", "3", "2"]


def _photo(key: str, suspicion: float, verdict: Verdict | None) -> AuditPhoto:
    return AuditPhoto(Record(key, "cropped"), (), Doubts((), suspicion), verdict)


# ---------------------------------------------------------------- contact sheets


def test_a_sheet_has_the_most_suspicious_crops_with_their_doubts(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out")
    sheet = detic_crop.show(tmp_path / "out", 5)
    assert [c.name for c in sheet.crops] == [c.name for c in result.most_suspicious[:5]]
    page = shown(sheet)
    assert len(page.pictures) == 5
    for each in sheet.crops:
        assert each.found in page.text
        assert ", ".join(each.flags).replace("_", " ") in page.text
    assert str(sheet.title) in page.text
    assert repr(sheet) == f"<ContactSheet {sheet.title}>"


def test_a_random_sheet_is_drawn_by_its_seed(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")

    def names(**settings: Any) -> list[str]:
        return [each.name for each in detic_crop.show(tmp_path / "out", 6, order="random", **settings).crops]

    assert names() == names()
    assert len({tuple(names(seed=seed)) for seed in range(5)}) > 1
    assert len(set(names(only="all"))) == 6


def test_a_sheet_of_one_status(photos: Path, tmp_path: Path) -> None:
    result = crop(photos, tmp_path / "out")
    resized = detic_crop.show(tmp_path / "out", 100, only="resized")
    assert len(resized.crops) == result.counts["resized"] > 0
    assert {each.found for each in resized.crops} == {"whole photo"}
    assert len(detic_crop.show(tmp_path / "out", 100, only="all").crops) == 20


def test_a_sheet_has_every_animal(tmp_path: Path) -> None:
    for number, name in enumerate(["pod.jpg", "pair.jpg"]):
        write_photo(tmp_path / "in" / name, number)
    with open(tmp_path / "boxes.csv", "w", newline="", encoding="utf-8") as file:
        boxes = [
            ("pod.jpg", 2, 2, 22, 22, 0.9),
            ("pod.jpg", 30, 5, 50, 25, 0.6),
            ("pair.jpg", 9, 9, 40, 30, 0.8),
        ]
        csv.writer(file).writerows([("image", "xmin", "ymin", "xmax", "ymax", "score"), *boxes])
    model = f"boxes:{tmp_path / 'boxes.csv'}"
    settings: dict[str, Any] = {"detector": None, "model": model, "animals": "all", "conf": 0.5}
    result = crop(tmp_path / "in", tmp_path / "out", **settings)
    sheet = detic_crop.show(tmp_path / "out")
    assert sorted(each.name for each in sheet.crops) == ["pair.1.jpg", "pod.1.jpg", "pod.2.jpg"]
    assert len(shown(sheet).pictures) == len(shown(result).pictures) == 3
    assert len(detic_crop.show(tmp_path / "out", 2).crops) == 2


def test_a_sheet_is_saved_as_a_picture_and_as_a_page(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    sheet = detic_crop.show(tmp_path / "out", 8)
    sheet.save(tmp_path / "sheet.png")
    sheet.save(str(tmp_path / "sheet.html"))
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 6 * 200
        assert picture.height > 2 * 200
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 100
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert len(Page(page).pictures) == 8
    with refused("bad_sheet_name", names=["sheet.jpg"]):
        sheet.save(tmp_path / "sheet.jpg")


def test_a_sheet_without_crops_and_with_long_names(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    crop(tmp_path / "in", tmp_path / "out", detector=_Never())
    empty = detic_crop.show(tmp_path / "out")
    assert empty.title.startswith("0 crops of 0 cropped photos")
    long = detic_crop.ContactSheet("鯨" * 500, [SheetCrop("海/" * 200, "", "w" * 99, ("a_b",) * 40, 0.5)])
    for number, sheet in enumerate((empty, long)):
        sheet.save(tmp_path / f"{number}.png")
        sheet.save(tmp_path / f"{number}.html")
        assert shown(sheet).pictures == []


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 1001}, {"n": True}, {"order": "best"}, {"only": "whales"}])
def test_what_cannot_be_shown_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with refused("bad_value") as caught:
        detic_crop.show(tmp_path, **wrong)
    assert str(caught.value).startswith(f"{next(iter(wrong))}= must be ")


def test_a_sheet_needs_no_notebook(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out")
    code = (
        "import sys; sys.modules['IPython'] = None; import detic_crop;"
        "sheet = detic_crop.show(sys.argv[1], 3); print(len(sheet._repr_html_()) > 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


# ---------------------------------------------------------------- one photo


class _Always(FakeDetector):
    """Finds the left half of each photo."""

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        height, width = image.shape[:2]
        self.seen, self.key = image.copy(), key
        box = np.array([[0, 0, width / 2, height]], np.float32)
        return Detections(box, np.ones(1, np.float32), ("Whale",))


class _Never(FakeDetector):
    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        return Detections.empty()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A photo whose left half is red, and whose right half is blue."""
    image = np.full((40, 80, 3), (255, 0, 0), np.uint8)
    image[:, :40] = RED_BGR
    cv2.imwrite(str(tmp_path / "red.png"), image)
    return tmp_path / "red.png"


def _is_red(result: detic_crop.CropResult, channels: str) -> None:
    first = {"rgb": (255, 0, 0), "bgr": RED_BGR}[channels]
    assert result.channels == channels
    assert tuple(result.crop[16, 8].tolist()) == first
    picture = result.image
    assert (picture.mode, picture.getpixel((8, 16))) == ("RGB", (255, 0, 0))
    data = result._repr_png_()
    assert data is not None
    with Image.open(io.BytesIO(data)) as shown_picture:
        assert shown_picture.format == "PNG"
        assert shown_picture.convert("RGB").getpixel((8, 16)) == (255, 0, 0)


def test_a_photo_may_be_a_path_a_picture_or_an_array(red: Path) -> None:
    array = cv2.imread(str(red))
    assert array is not None
    bgr = np.asarray(array, np.uint8)
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    with Image.open(red) as picture:
        given: list[tuple[Any, dict[str, Any], str]] = [
            (red, {}, "rgb"),
            (str(red), {"channels": "bgr"}, "bgr"),
            (picture, {}, "rgb"),
            (picture, {"channels": "bgr"}, "bgr"),
            (bgr, {}, "bgr"),
            (bgr, {"channels": "bgr"}, "bgr"),
            (rgb, {"channels": "rgb"}, "rgb"),
        ]
        for image, settings, channels in given:
            detector = _Always()
            result = detic_crop.crop_photo(image, detector, size=32, conf=0, classes="any", **settings)
            _is_red(result, channels)
            assert np.array_equal(detector.seen, bgr), "a detector sees BGR"
            assert detector.key == ("" if isinstance(image, np.ndarray) else "red.png")


def test_a_path_gives_the_crop_of_a_run(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg", 3, width=90, height=70)
    crop(tmp_path / "in", tmp_path / "out", format="png", detector=_Always(), size=48)
    result = detic_crop.crop_photo(tmp_path / "in" / "a.jpg", _Always(), size=48, channels="bgr")
    made = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert made is not None
    assert np.array_equal(made, result.crop)


def test_the_orientation_of_a_file_and_of_a_picture_is_applied(tmp_path: Path) -> None:
    picture = Image.new("RGB", (80, 40), "blue")
    picture.paste("red", (0, 0, 80, 20))
    exif = picture.getexif()
    exif[0x0112] = 6  # its right side is up
    picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        for image in (tmp_path / "turned.png", opened):
            detector = _Always()
            detic_crop.crop_photo(image, detector, size=32)
            assert detector.seen.shape == (80, 40, 3)
            assert tuple(detector.seen[10, 30].tolist()) == RED_BGR


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_pictures_of_every_mode_are_taken(mode: str) -> None:
    picture = Image.new(mode, (60, 40))
    result = detic_crop.crop_photo(picture, _Always(), size=16)
    assert result.crop.shape == (16, 16, 3)


def test_a_large_crop_is_shown_smaller() -> None:
    image = np.zeros((2100, 3000, 3), np.uint8)
    result = detic_crop.crop_photo(image, _Never(), size="native")
    data = result._repr_png_()
    assert result.crop.shape == image.shape
    assert data is not None
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (1024, 717)


def test_a_detector_may_be_named_and_is_loaded_once(red: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(name: str) -> FakeDetector:
        loaded.append(name)
        return _Always()

    monkeypatch.setattr(module, "load_detector", load)
    module._loaded.cache_clear()
    try:
        for _ in range(2):
            assert detic_crop.crop_photo(red, size=8).status == "cropped"
            detic_crop.crop_photo(red, "lite", size=8)
        assert loaded == ["auto", "lite"]
    finally:
        module._loaded.cache_clear()


def test_a_boxes_file_is_asked_for_the_name_of_the_file(red: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\nred.png,0,0,40,40\n")
    result = detic_crop.crop_photo(red, f"boxes:{tmp_path / 'boxes.csv'}", scale=1, size=8)
    assert result.box == (0, 0, 40, 40)


def test_the_text_of_a_result_says_what_was_found(red: Path) -> None:
    found = detic_crop.crop_photo(red, _Always(), size=32)
    assert (found.class_name, found.score) == ("Whale", 1.0)
    assert repr(found) == "<CropResult cropped: Whale 1.00, box 0 0 40 40; 32 × 32 px, rgb>"
    nothing = detic_crop.crop_photo(red, _Never(), size=32)
    assert (nothing.class_name, nothing.score) == ("", None)
    assert repr(nothing).startswith("<CropResult resized: ")


def test_what_is_no_photo_is_refused(tmp_path: Path) -> None:
    with refused("no_such_photo", detic_crop.UsageError, names=[str(tmp_path / "none.jpg")]) as missing:
        detic_crop.crop_photo(tmp_path / "none.jpg", _Always())
    assert missing.value.__suppress_context__, "a notebook shows one traceback"
    with pytest.raises(detic_crop.PhotoError, match="expected a file, got a folder"):
        detic_crop.crop_photo(tmp_path, _Always())
    with refused("not_a_photo", names=["None"]):
        detic_crop.crop_photo(None, _Always())  # type: ignore[arg-type]
    with refused("bad_value") as caught:
        detic_crop.crop_photo(np.zeros((4, 4, 3), np.uint8), _Always(), channels="gbr")  # type: ignore[arg-type]
    assert str(caught.value) == "channels= must be rgb or bgr, got 'gbr'"
    with refused("unknown_model") as unknown:
        detic_crop.crop_photo(np.zeros((4, 4, 3), np.uint8), "light")
    assert str(unknown.value).startswith("detector= must be auto, lite, ")
    assert str(unknown.value).endswith(", got 'light'; did you mean lite?")


@pytest.mark.parametrize(
    ("shape", "dtype", "steps"),
    [
        ((4, 5, 3), np.float64, ["(a * 255).astype(np.uint8)"]),
        ((4, 5), np.uint8, ["cv2.cvtColor(a, cv2.COLOR_GRAY2BGR)"]),
        ((4, 5, 1), np.float32, ["(a * 255).astype(np.uint8)", "cv2.cvtColor(a, cv2.COLOR_GRAY2BGR)"]),
        ((4, 5, 4), np.uint8, ["a[:, :, :3]"]),
    ],
)
def test_an_array_of_another_form_is_refused_and_what_is_said_converts_it(
    shape: tuple[int, ...], dtype: Any, steps: list[str]
) -> None:
    a: Any = np.ones(shape, dtype)
    with refused("not_a_photo", names=[str(shape), np.dtype(dtype).name, *steps]):
        detic_crop.crop_photo(a, _Never())
    for step in steps:
        a = eval(step, {"a": a, "np": np, "cv2": cv2})
    assert detic_crop.crop_photo(a, _Never(), size=8).status == "resized"


def test_an_array_that_is_no_photo_is_refused() -> None:
    with refused("not_a_photo", match="; pass one as cv2.imread gives it$"):
        detic_crop.crop_photo(np.zeros((0, 4, 3), np.uint8), _Never())


def test_completion_offers_the_public_names_only() -> None:
    assert dir(detic_crop) == sorted(detic_crop.__all__)
