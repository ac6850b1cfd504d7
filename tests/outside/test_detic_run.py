"""The main job with Detic: a checkpoint file, a vocabulary file, the command line, twice the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import detic_crop
from detic_crop.cli import main as cli
from tests.kit.filled_weights import filled_checkpoint, filled_vocabulary, published_shapes

pytestmark = pytest.mark.slow

NAMES = [*(f"class {i}" for i in range(498)), "Dolphin", "Whale"]


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a filled ResNet-18 checkpoint in the published layout, and a vocabulary."""
    folder = tmp_path_factory.mktemp("sea")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        blocks = rng.integers(0, 255, (6 + i, 9, 3), np.uint8)
        cv2.imwrite(str(folder / "photos" / f"{i}.jpg"), cv2.resize(blocks, (240, 160)))
    (folder / "photos" / "4.jpg").write_bytes(b"no photo")
    torch.save(
        {"model": filled_checkpoint(published_shapes("detic-r18"), 0), "iteration": 90000}, folder / "r18.pth"
    )
    np.save(folder / "own.npy", filled_vocabulary(0))
    (folder / "names.txt").write_text("\n".join(NAMES))
    return folder


def crop(sea: Path, out: Path, *more: str) -> int:
    given = ("--model", "detic-r18", "--weights", str(sea / "r18.pth"), "--detector-size", "160", "--quiet")
    words = ("--vocabulary", str(sea / "own.npy"), "--names", str(sea / "names.txt"), "--device", "cpu")
    return cli.main(["run", "--in", str(sea / "photos"), "--out", str(out), *given, *words, *more])


def test_one_and_two_workers_give_the_same_data_set(sea: Path, tmp_path: Path) -> None:
    assert crop(sea, tmp_path / "one", "--workers", "1") == 0
    assert crop(sea, tmp_path / "two", "--workers", "2") == 0
    table = (tmp_path / "one" / "audit.csv").read_bytes()
    assert table == (tmp_path / "two" / "audit.csv").read_bytes()
    for i in range(4):
        assert (tmp_path / "one" / f"{i}.jpg").read_bytes() == (tmp_path / "two" / f"{i}.jpg").read_bytes()
    rows = detic_crop.read_audit(tmp_path / "one")
    assert list(rows.status) == ["cropped"] * 4 + ["failed"]
    assert set(rows.model) == {"detic-r18"}
    assert (rows.n_candidates[:4] > 0).all()


def test_a_recrop_needs_no_weights(sea: Path, tmp_path: Path) -> None:
    assert crop(sea, tmp_path / "out") == 0
    result = detic_crop.recrop(tmp_path / "out", tmp_path / "again", quiet=True)
    assert result.counts == {"cropped": 4, "failed": 1}
    for i in range(4):
        assert (tmp_path / "out" / f"{i}.jpg").read_bytes() == (tmp_path / "again" / f"{i}.jpg").read_bytes()


def test_presence_is_told_of_what_is_below_conf(sea: Path, tmp_path: Path) -> None:
    assert crop(sea, tmp_path / "out", "--classes", "marine", "--conf", "1") == 0
    rows = detic_crop.read_audit(tmp_path / "out")[:4]
    assert set(rows.status) == {"resized"}
    assert ((rows.presence > 0) & (rows.presence < 1)).all()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--conf", "0.01"), "--conf 0.01 is below 0.05, the lowest score that model detic-r18 answers with"),
        (("--classes", "Wale"), "model detic-r18 has no class 'Wale'; close or known names: Whale"),
        (("--detector-size", "8"), "--detector-size must be a whole number from 32"),
        (("--model", "lite"), "goes with a Detic model or hf:ID_OR_FOLDER only, not with lite"),
        (("--weights", "nowhere.pth"), "expected a checkpoint at nowhere.pth, got nothing there"),
        (("--model", "detic-r50"), "r18.pth, as detic-r50, does not fit the model: 165 missing"),
    ],
)
def test_what_cannot_be_is_one_line(
    sea: Path, tmp_path: Path, more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crop(sea, tmp_path / "out", *more) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_the_checkpoints_own_classifier(sea: Path, tmp_path: Path) -> None:
    """Its last column is the background's; names are not in the file."""
    tensors = torch.load(sea / "r18.pth", weights_only=True)["model"]
    background = torch.zeros(512, 1)
    own = torch.from_numpy(filled_vocabulary(0)).T
    for stage in range(3):
        tensors[f"roi_heads.box_predictor.{stage}.cls_score.zs_weight"] = torch.cat([own, background], dim=1)
    torch.save({"model": tensors}, tmp_path / "r18.pth")
    given = ("--weights", str(tmp_path / "r18.pth"), "--vocabulary", "checkpoint", "--classes", "any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("detic_crop.detectors.embeddings.CHECKPOINT_CLASSES", (500, 1203))
        assert crop(sea, tmp_path / "own", *given) == 0
    assert crop(sea, tmp_path / "file") == 0
    ours, theirs = (detic_crop.read_audit(tmp_path / name) for name in ("own", "file"))
    assert list(ours.box) == list(theirs.box)
    assert list(ours.class_name) == list(theirs.class_name)


def test_pulled_weights_are_converted_and_stay_the_same_setting(
    sea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "Detic_LCOCOI21k_CLIP_R18_640b32_4x_ft4x_max-size.pth").write_bytes(
        (sea / "r18.pth").read_bytes()
    )
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(weights))
    given = ("--model", "detic-r18", "--detector-size", "160", "--quiet", "--device", "cpu")
    words = ("--vocabulary", str(sea / "own.npy"), "--names", str(sea / "names.txt"))
    command = ["run", "--in", str(sea / "photos"), "--out", str(tmp_path / "out"), *given, *words]
    assert cli.main([*command, "--limit", "1"]) == 0
    assert list(weights.glob("*.safetensors"))
    assert cli.main(command) == 0  # from the converted copy: the same settings, or this would be exit 2
    assert len(detic_crop.read_audit(tmp_path / "out")) == 5


def test_another_vocabulary_is_another_setting(
    sea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crop(sea, tmp_path / "out", "--limit", "1") == 0
    assert crop(sea, tmp_path / "out", "--precision", "bfloat16") == 2
    assert "precision was 'float32', now 'bfloat16'" in capsys.readouterr().err
