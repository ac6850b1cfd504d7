"""Runs with joined models: the row says who found the box, and every later command goes by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.detectors.joined.fallback import Fallback
from detic_crop.errors import UsageError
from detic_crop.folder.journal import recorded_config, replay
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import assert_same, product, row_of, rows_of, untouched
from tests.kit.photos import write_photo, write_photos
from tests.kit.scripted import Said, Scripted


class _Other(FakeDetector):
    """Sees what `FakeDetector` sees of another photo."""

    def detect(self, image: Any, key: str = "") -> Any:
        return super().detect(image, f"other {key}")


class _NearAndFar(Scripted):
    """Sees in the first tile of a photo what is written down for it."""

    def __init__(self, name: str, said: Said) -> None:
        super().__init__(name, said)
        self._begun: set[str] = set()

    def prepare(self, image: Any, key: str = "", photo_hw: Any = None) -> Any:
        if image.shape[1] == 900:
            return key, image.shape
        if image.shape[1] == 224:
            return f"again {key}", image.shape
        number = "another" if key in self._begun else "first"
        self._begun.add(key)
        return f"{number} tile of {key}", image.shape


def joined(first: float = 0.6, second: float = 0.4) -> Fallback:
    return Fallback([FakeDetector(default_conf=first, name="one"), _Other(default_conf=second, name="two")])


def run(folder: Path, out: str | Path, **settings: Any) -> api.RunResult:
    return api.run(folder / "in", folder / out, **{"size": 32, "quiet": True, **settings})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "in", 24)
    return tmp_path


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """A folder with `in` and two boxes files, each with a box in another photo."""
    for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg", "d.jpg")):
        write_photo(tmp_path / "in" / name, seed)
    (tmp_path / "one+x.csv").write_text("image,box\na.jpg,5 5 30 20\nb.jpg,\n")
    (tmp_path / "two.csv").write_text("image,box\na.jpg,1 1 9 9\nb.jpg,10 10 50 30\nc.jpg,2 2 9 9\n")
    return tmp_path


def name_of(folder: Path) -> str:
    return f"boxes:{folder / 'one+x.csv'}+boxes:{folder / 'two.csv'}"


def test_every_row_says_who_found_its_box(photos: Path) -> None:
    run(photos, "out", detector=joined())
    alone = {bar: photos / f"{bar}" for bar in ("one", "two")}
    run(photos, "one", detector=FakeDetector(default_conf=0.6))
    run(photos, "two", detector=_Other(default_conf=0.4))
    ones, twos = ({row["image"]: row for row in rows_of(folder)} for folder in alone.values())
    signs = set()
    for row in rows_of(photos / "out"):
        key = row["image"]
        expected = ones[key] if ones[key]["box"] else twos[key]
        assert (row["box"], row["score"]) == (expected["box"], expected["score"])
        assert row["found_by"] == ("" if not row["box"] else "one" if ones[key]["box"] else "two")
        assert row["model"] == "one+two"
        signs.add(row["found_by"])
    assert signs == {"", "one", "two"}
    assert "found_by" not in rows_of(photos / "one")[0]
    assert "found by two" in (photos / "out" / "audit.html").read_text()


def test_the_folder_records_the_bar_of_each(photos: Path) -> None:
    run(photos, "out", detector=joined())
    config = recorded_config(photos / "out" / STATE / "journal.jsonl")
    assert config is not None
    assert (config.conf, config.confs) == (0.4, {"one": 0.6, "two": 0.4})
    assert json.loads((photos / "out" / "run.json").read_text())["settings"]["confs"] == config.confs
    with untouched(photos / "out" / "photo000.jpg"):  # a later version with other defaults keeps to these
        run(photos, "out", detector=joined(0.7, 0.2))
    assert recorded_config(photos / "out" / STATE / "journal.jsonl") == config
    with refused("other_settings", UsageError, names=["confs"]):
        run(photos, "out", detector=joined(), conf=0.4)


def test_given_conf_holds_for_all(photos: Path) -> None:
    run(photos, "out", detector=joined(), conf=0.5)
    run(photos, "same", detector=joined(0.5, 0.5))
    assert [(r["box"], r["found_by"]) for r in rows_of(photos / "out")] == [
        (r["box"], r["found_by"]) for r in rows_of(photos / "same")
    ]
    with refused("setting_not_accepted", UsageError):
        run(photos, "out", confs={"one": 0.5})


def test_recrop_goes_by_the_bar_of_each(photos: Path) -> None:
    run(photos, "out", detector=joined())
    api.recrop(photos / "out", photos / "again", quiet=True)
    assert_same(photos / "again", product(photos / "out"))
    api.recrop(photos / "out", photos / "lower", conf=0.1, quiet=True)
    for before, after in zip(rows_of(photos / "out"), rows_of(photos / "lower"), strict=True):
        assert before["found_by"] in ("", after["found_by"])
    config = recorded_config(photos / "lower" / STATE / "journal.jsonl")
    assert config is not None
    assert (config.conf, config.confs) == (0.1, {"one": 0.1, "two": 0.1})
    with refused("needs_detector", UsageError):
        api.recrop(photos / "out", photos / "other", **dict[str, Any](confs={"one": 0.1}))


def test_shards_make_the_same(boxes: Path) -> None:
    run(boxes, "whole", model=name_of(boxes))
    for k in range(3):
        run(boxes, "parts", model=name_of(boxes), shard=f"{k}/3")
    api.merge(boxes / "parts")
    assert rows_of(boxes / "parts") == rows_of(boxes / "whole")


def test_two_boxes_files(boxes: Path) -> None:
    result = run(boxes, "out", model=name_of(boxes))
    found = {row["image"]: (row["found_by"], row["reason"]) for row in rows_of(boxes / "out")}
    assert found == {
        "a.jpg": ("boxes:one+x.csv", "largest_box"),
        "b.jpg": ("boxes:two.csv", "largest_box"),
        "c.jpg": ("boxes:two.csv", "largest_box"),
        "d.jpg": ("", "not_listed"),
    }
    assert row_of(boxes / "out", "a.jpg")["box"] == "5 5 30 20"
    assert any("was asked about" in note for note in result.notes)
    assert run(boxes, "out", model=name_of(boxes)).skipped == 4
    with refused("model_needs_path", UsageError):
        run(boxes, "out")
    journal = boxes / "out" / STATE / "journal.jsonl"
    assert replay(journal).records["b.jpg"].found_by == "boxes:two.csv"


def test_fused_boxes_files(boxes: Path) -> None:
    one, two = name_of(boxes).split("+boxes:")
    run(boxes, "out", model=f"wbf({one},boxes:{two})")
    row = row_of(boxes / "out", "a.jpg")  # boxes apart: each has half of its score
    assert (row["box"], row["score"], row["model"]) == (
        "5 5 30 20",
        "0.5000",
        "wbf(boxes:one+x.csv,boxes:two.csv)",
    )
    assert "found_by" not in row
    assert row_of(boxes / "out", "c.jpg")["score"] == "1.0000"  # the other file does not list it
    api.recrop(boxes / "out", boxes / "again", quiet=True)
    assert_same(boxes / "again", product(boxes / "out"))


def test_classes_are_those_of_any_part(boxes: Path) -> None:
    (boxes / "one+x.csv").write_text("image,box,class\na.jpg,5 5 30 20,orca\nb.jpg,1 1 9 9,tag\n")
    (boxes / "two.csv").write_text("image,box,class\nb.jpg,10 10 50 30,Whale\n")
    run(boxes, "out", model=name_of(boxes), classes="orca,whale")
    assert row_of(boxes / "out", "a.jpg")["class_name"] == "orca"
    assert row_of(boxes / "out", "b.jpg")["class_name"] == "Whale"
    with refused("unknown_class", UsageError, names=["boxes:one+x.csv+boxes:two.csv"]):
        run(boxes, "other", model=name_of(boxes), classes="seal")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--model", "lite+lite"], "bad_joined_model"),
        (["--model", "wbf(lite"], "bad_joined_model"),
        (["--model", "lite+light"], "unknown_model"),
        (["--model", "boxes:{}/two.csv+lite", "--vocabulary", "lvis"], "option_not_applicable"),
        (["--model", "boxes:{}/gone.csv+lite"], "missing_boxes"),
        (["--model", "boxes:{}/two.csv", "--tiles", "auto"], "option_not_applicable"),
        (["--model", "lite", "--tiles", "some"], "bad_value"),
        (["--model", "boxes:{}/two.csv+boxes:{}/one+x.csv", "--conf", "2"], "bad_value"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    boxes: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.replace("{}", str(boxes)) for word in words]
    assert cli.main(["run", "--in", str(boxes / "in"), "--out", str(boxes / "out"), *words]) == 2
    said = capsys.readouterr().err
    assert code
    # What it was about to do may have been said before.
    assert [line for line in said.splitlines() if not line.startswith("cropping ")] == [said.splitlines()[-1]]
    assert not (boxes / "out").exists()


def test_tiles_are_looked_at_where_nothing_is_found(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "far.png", width=900, height=600)
    write_photo(tmp_path / "in" / "near.png", width=900, height=600)
    far = [((100, 100, 140, 120), 0.99, "Whale")]
    again = [((92, 100, 132, 120), 0.98, "Whale")]
    said = {"near.png": far, "first tile of far.png": far, "again far.png": again}
    for decode in ("full", "scaled"):
        model = _NearAndFar("m", said)
        run(tmp_path, decode, detector=model, tiles="auto", decode=decode)
        rows = {row["image"]: row for row in rows_of(tmp_path / decode)}
        assert {key: row["found_by"] for key, row in rows.items()} == {"far.png": "m, tiles", "near.png": "m"}
        assert rows["far.png"]["box"] == "100 100 140 120"
        odds = 0.98 / 0.02 / 6**0.5  # of the lower score, among six tiles
        assert float(rows["far.png"]["score"]) == pytest.approx(odds / (1 + odds), abs=1e-4)
    api.recrop(tmp_path / "full", tmp_path / "again", quiet=True)
    assert_same(tmp_path / "again", product(tmp_path / "full"))
    with refused("other_settings", UsageError, names=["tiles"]):
        run(tmp_path, "full", detector=model)


@pytest.mark.slow
def test_lite_is_asked_about_what_a_file_does_not_list(boxes: Path) -> None:
    model = f"boxes:{boxes / 'one+x.csv'}+lite"
    run(boxes, "out", model=model, conf=0.0)
    rows = {row["image"]: row for row in rows_of(boxes / "out")}
    assert [rows[f"{name}.jpg"]["found_by"] for name in "abcd"] == ["boxes:one+x.csv", "lite", "lite", "lite"]
    run(boxes, "two", model=model, conf=0.0, device="cpu,cpu")  # loaded by name, but for the boxes
    assert rows_of(boxes / "two") == rows_of(boxes / "out")


def test_auto_is_a_part_like_any_other(boxes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detic_crop.detectors.weights.best_installed", lambda: None)
    for _ in range(2):  # and the same command continues
        run(boxes, "out", model=f"boxes:{boxes / 'two.csv'}+auto")
    config = recorded_config(boxes / "out" / STATE / "journal.jsonl")
    assert config is not None
    assert config.model == "boxes:two.csv+lite"
    assert row_of(boxes / "out", "b.jpg")["found_by"] == "boxes:two.csv"
