"""Every kind of models from end to end: killed, continued, sharded, recropped, elsewhere, from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import detic_crop
from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands import choose_detector
from detic_crop.commands.command_line import command_words
from detic_crop.commands.run_json import packages
from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import UsageError
from detic_crop.photos.keys import STATE
from detic_crop.photos.location import file_or_object
from tests.kit.errors import refused
from tests.kit.folders import assert_one_row_each, assert_same, product, rows_of
from tests.kit.model_makers import HEIGHT, MAKERS, WIDTH, Made
from tests.kit.photos import write_photos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PHOTOS = 7


class Place:
    """A folder with photos in `in`, a model, and what one run makes in `whole`."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.keys = write_photos(folder / "in", PHOTOS, width=WIDTH, height=HEIGHT)
        self.made: Made = MAKERS[kind](folder, self.keys, 0)
        self.run("whole")

    @property
    def settings(self) -> dict[str, Any]:
        """All that is asked for, beside the model."""
        return {"size": 32, "classes": "any", **self.made.settings}

    def run(self, out: str, **more: Any) -> api.RunResult:
        """Run in the folder, so that relative paths mean what is there."""
        settings = {"model": self.made.model, **self.settings, "quiet": True, **more}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return api.run("in", out, **settings)

    @property
    def whole(self) -> dict[str, bytes]:
        return product(self.folder / "whole")


@pytest.fixture(scope="module", params=sorted(MAKERS))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp(request.param), request.param)


def test_something_is_found_and_recorded(place: Place) -> None:
    assert_one_row_each(place.folder / "whole", place.keys)
    rows = rows_of(place.folder / "whole")
    assert {row["status"] for row in rows} & {"cropped"}
    assert len({row["model"] for row in rows}) == 1
    told = json.loads((place.folder / "whole" / "run.json").read_text())
    assert told["settings"]["model"] == rows[0]["model"]
    named = {Path(name).name for name in told["settings"]["weights"]}
    assert Path(place.made.file).name in named or not place.made.file
    assert told["versions"] == packages(place.made.model)
    assert set(place.made.packages) <= set(told["versions"])
    of_others = {"onnxruntime", "transformers"} - set(place.made.packages)
    assert not of_others & set(told["versions"])


def test_a_run_in_two_parts(place: Place) -> None:
    first = place.run("parts", limit=3)
    assert first.done == 3
    second = place.run("parts")
    assert (second.done, second.skipped) == (PHOTOS - 3, 3)
    assert_same(place.folder / "parts", place.whole)


def test_a_killed_run(place: Place) -> None:
    options = [f"--{name}={value}" for name, value in _as_options(place.settings).items()]
    command = ["run", "--in", "in", "--out", "killed", "--model", place.made.model, *options, "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "detic_crop", *command, "--workers", "1"],
        cwd=place.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    journal = place.folder / "killed" / STATE / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        pass
    process.kill()
    process.wait()
    place.run("killed")
    assert_same(place.folder / "killed", place.whole)


def test_shards(place: Place) -> None:
    for index in (1, 0):
        place.run("shards", shard=f"{index}/2")
    detic_crop.merge(place.folder / "shards")
    assert_same(place.folder / "shards", place.whole)
    told = json.loads((place.folder / "shards" / "run.json").read_text())
    assert set(place.made.packages) <= set(told["versions"])


def test_recrop_asks_no_model(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run("other", size=48)

    def no_model(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(choose_detector, "load_detector", no_model)
    monkeypatch.chdir(place.folder)
    detic_crop.recrop("whole", "recropped", size=48, quiet=True)
    made = {key: data for key, data in product(place.folder / "recropped").items() if key.endswith(".jpg")}
    assert made == {
        key: data for key, data in product(place.folder / "other").items() if key.endswith(".jpg")
    }


def test_auto_continues_or_asks_for_the_path(place: Place) -> None:
    place.run("auto", limit=2)
    if place.kind in ("boxes", "onnx", "hf"):
        with refused("model_needs_path", UsageError):
            place.run("auto", model="auto")
        place.run("auto")
    else:
        place.run("auto", model="auto")
    assert_same(place.folder / "auto", place.whole)


def test_its_command_works_elsewhere(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"model": place.made.model, **place.settings}
    of_run = {name: settings.pop(name) for name in ("weights_file", "names") if name in settings}
    monkeypatch.chdir(place.folder)
    words = command_words(file_or_object("in"), CropConfig(**settings), RunOptions(**of_run))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", *words, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert_same(tmp_path / "out", place.whole)


def test_one_photo_from_python(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    of_model = {name: place.settings[name] for name in ("weights_file", "names") if name in place.settings}
    detector = detic_crop.load_detector(place.made.model, "cpu", **of_model)
    rows = {row["image"]: row for row in rows_of(place.folder / "whole")}
    if not detector.info.needs_pixels:  # it answers by the key, which a single photo does not have
        return
    for key in place.keys[:2]:
        conf = place.settings.get("conf")
        found = detic_crop.crop_photo(Path("in") / key, detector, classes="any", conf=conf, size=32)
        assert " ".join(map(str, found.crop_box)) == rows[key]["crop_box"]


def test_a_changed_file_is_refused(place: Place) -> None:
    """The last test of the place."""
    if not place.made.file:
        return
    place.run("changed", limit=2)
    MAKERS[place.kind](place.folder, place.keys, 1)
    with refused("other_settings", UsageError):
        place.run("changed")


def _as_options(settings: dict[str, Any]) -> dict[str, Any]:
    return {{"weights_file": "weights"}.get(name, name): value for name, value in settings.items()}
