"""`lite` taught: what the lessons make of its numbers, and `--model lite:FILE` as any other detector."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import detic_crop
from detic_crop import api
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.commands.command_line import command_words
from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors.lite.detector import load_lite
from detic_crop.detectors.lite.taught_file import read_taught, write_taught
from detic_crop.detectors.lite.teaching import STRENGTHS, Lesson, Pupil, _refitted_curve
from detic_crop.detectors.lite.views import Box
from detic_crop.errors import UsageError, WeightsError
from detic_crop.photos.location import file_or_object
from tests.kit.errors import refused
from tests.kit.folders import assert_same, product, rows_of
from tests.kit.seas import back_and_fin, sea
from tests.kit.verdicts import give_verdict

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 360, 240


@pytest.fixture(scope="module")
def pupil() -> Pupil:
    return Pupil()


def below_the_back(box: np.ndarray) -> Box:
    """What these reviewers call the animal: its back without the fin."""
    left, top, right, bottom = (float(edge) for edge in box)
    return left, (top + bottom) / 2, right, bottom


@pytest.fixture(scope="module")
def lessons(pupil: Pupil) -> list[Lesson]:
    """Eight drawn backs without their fins, and three empty seas."""
    found = []
    for number in range(8):
        image, box = back_and_fin(HEIGHT, WIDTH, (120 + 15 * number, 150), 150)
        found.append(pupil.look_at(image, below_the_back(box), number))
    return found + [pupil.look_at(sea(HEIGHT, WIDTH, seed), None, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def taught(pupil: Pupil, lessons: list[Lesson], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that was taught from them."""
    path = tmp_path_factory.mktemp("taught") / "mine.safetensors"
    pupil.save(pupil.fit(lessons, 1.0), path, {"photos": "11"})
    return path


def test_a_lesson_is_small_and_can_be_sent(lessons: list[Lesson]) -> None:
    assert len(pickle.dumps(lessons[0])) < 2_000_000
    assert len(pickle.dumps(lessons[-1])) < 2_000_000


def test_strength_0_is_what_was_shipped(pupil: Pupil, lessons: list[Lesson]) -> None:
    assert STRENGTHS[0] == 0
    shipped = load_lite()
    assert pupil.detector(pupil.fit(lessons, 0.0)).info == shipped.info
    assert pupil.detector(pupil.fit((), 1.0)).info == shipped.info
    image, _ = back_and_fin(HEIGHT, WIDTH, (150, 150), 150)
    answered = pupil.answer(pupil.look_at(image, None, 0), pupil.fit((), 1.0))
    assert iou_of_pair(answered.xyxy[0], shipped.detect(image).xyxy[0]) > 0.9  # but for the JPEG that is kept


def test_what_was_said_is_learnt_and_more_with_more_strength(pupil: Pupil, lessons: list[Lesson]) -> None:
    image, whole = back_and_fin(HEIGHT, WIDTH, (190, 140), 160)  # not one of the lessons
    wanted = below_the_back(whole)
    new = pupil.look_at(image, wanted, 0)
    answers = (pupil.answer(new, pupil.fit(lessons, strength)) for strength in (0.0, 0.3, 3.0))
    found = [iou_of_pair(answer.xyxy[0], wanted) for answer in answers]
    assert found[0] + 0.1 < found[1] < found[2]


def test_wrong_boxes_are_believed_less_the_more_there_are() -> None:
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(40, 9))
    shipped = np.array([1, *[0] * 9], np.float32)  # it believes the first number, and the second one tells
    right = evidence[:, 1] > 0
    weak, strong = (_refitted_curve(shipped, evidence, right, strength) for strength in (0.1, 3.0))
    assert 0 < weak[1] < strong[1]
    assert shipped[0] > weak[0] > strong[0]
    assert np.array_equal(_refitted_curve(shipped, evidence, np.ones(40, bool), 3.0), shipped)


def test_the_same_lessons_give_the_same_numbers(pupil: Pupil, lessons: list[Lesson], tmp_path: Path) -> None:
    again = [pickle.loads(pickle.dumps(lesson)) for lesson in lessons]
    first, second = (pupil.save(pupil.fit(each, 1.0), tmp_path / "a", {}) for each in (lessons, again))
    assert first == second


def test_new_lessons_in_the_place_of_gone_ones_are_new(pupil: Pupil, lessons: list[Lesson]) -> None:
    """Python gives the identity of an object that is gone to the next one."""
    measured = [pupil.fit([replace(lesson, box=lesson.box)], 1.0).measure.tobytes() for lesson in lessons[:4]]
    assert len(set(measured)) == 4


# ---------------------------------------------------------------- --model lite:FILE


def test_the_file_is_a_detector(taught: Path, pupil: Pupil, lessons: list[Lesson]) -> None:
    detector = detic_crop.load_detector(f"lite:{taught}", "cpu")
    assert detector.info.name == "lite:mine.safetensors"
    assert set(detector.info.weights) == {"efficientnet-lite0-57934424.pth", "mine.safetensors"}
    image, _ = back_and_fin(HEIGHT, WIDTH, (150, 150), 150)
    expected = pupil.detector(pupil.fit(lessons, 1.0)).detect(image)
    assert detector.detect(image).xyxy.tobytes() == expected.xyxy.tobytes()


def test_a_tilde_means_home(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(taught.parent))
    monkeypatch.setenv("USERPROFILE", str(taught.parent))
    assert detic_crop.load_detector(f"lite:~/{taught.name}").info.name == "lite:mine.safetensors"
    words = command_words(file_or_object("in"), CropConfig(model=f"lite:~/{taught.name}"), RunOptions())
    assert f"lite:{taught}" in words


def test_what_is_no_such_file_is_refused_in_one_line(taught: Path, tmp_path: Path) -> None:
    with refused("no_taught_path", UsageError):
        detic_crop.load_detector("lite:")
    with refused("missing_weights", WeightsError):
        detic_crop.load_detector(f"lite:{tmp_path / 'absent'}")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other")
    with refused("not_taught", WeightsError):
        detic_crop.load_detector(f"lite:{other}")
    with refused("unknown_model", UsageError, names=[f"--model lite:{other}"]):
        detic_crop.load_detector(str(other))
    with refused("option_not_applicable", UsageError):
        detic_crop.load_detector(f"lite:{taught}", precision="bfloat16")
    write_taught(other, {"measure": np.zeros(3, np.float32)}, {}, {"other.pth": "0"})
    with refused("other_base", WeightsError):
        detic_crop.load_detector(f"lite:{other}")
    base = load_lite().info.weights
    numbers = read_taught(taught, base).numbers
    for name, value in (
        ("measure", np.zeros(3, np.float32)),
        ("measure", numbers["measure"] * np.float32(np.nan)),
        ("measure", numbers["measure"].astype(np.float64)),
        ("conf", np.array(7.0)),
        ("conf", np.array(-0.5)),
        ("more", np.array(0.5)),
    ):
        write_taught(other, {**numbers, name: value}, {}, base)
        with refused("damaged_weights", WeightsError):
            detic_crop.load_detector(f"lite:{other}")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two outings of drawn backs and empty seas."""
    folder = tmp_path_factory.mktemp("photos")
    for outing in ("one", "two"):
        (folder / outing).mkdir()
        for number in range(4):
            image = sea(HEIGHT, WIDTH, 40 + number)
            if number:
                image, _ = back_and_fin(HEIGHT, WIDTH, (130 + 25 * number, 150), 150)
            cv2.imwrite(str(folder / outing / f"{number}.jpg"), image)
    return folder


def test_a_run_goes_on_with_the_same_file_and_not_with_another(
    photos: Path, taught: Path, tmp_path: Path, pupil: Pupil, lessons: list[Lesson]
) -> None:
    settings: dict[str, Any] = {"model": f"lite:{taught}", "size": 32, "quiet": True, "device": "cpu"}
    api.run(photos, tmp_path / "whole", **settings)
    assert {row["model"] for row in rows_of(tmp_path / "whole")} == {"lite:mine.safetensors"}
    api.run(photos, tmp_path / "out", limit=3, **settings)
    moved = tmp_path / "moved" / taught.name
    moved.parent.mkdir()
    shutil.copy(taught, moved)
    api.run(photos, tmp_path / "out", **{**settings, "model": f"lite:{moved}"})
    assert_same(tmp_path / "out", product(tmp_path / "whole"))
    with refused("model_needs_path", UsageError):
        api.run(photos, tmp_path / "out", **{**settings, "model": "auto"})
    for shard in ("0/2", "1/2"):
        api.run(photos, tmp_path / "shards", shard=shard, **settings)
    api.merge(tmp_path / "shards")
    assert_same(tmp_path / "shards", product(tmp_path / "whole"))
    api.recrop(tmp_path / "whole", tmp_path / "larger", scale=1.5, quiet=True)
    give_verdict(tmp_path / "whole", "one/1.jpg", "whole")
    assert api.apply(tmp_path / "whole", quiet=True).done == 1
    api.write_audit(tmp_path / "whole")
    pupil.save(pupil.fit(lessons, 0.3), moved, {})
    with refused("other_settings", UsageError, names=["the content of mine.safetensors has changed"]):
        api.run(photos, tmp_path / "out", **{**settings, "model": f"lite:{moved}"})
