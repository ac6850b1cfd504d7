"""Kinds of models: what is said of them, and which options go with which."""

from __future__ import annotations

from pathlib import Path

import pytest

from detic_crop import UsageError, load_detector
from detic_crop.config import MODELS
from detic_crop.detectors.families import FAMILIES, family_of
from detic_crop.detectors.joined.names import FORMS
from tests.kit.errors import refused


def test_help_and_messages_name_every_kind() -> None:
    named = MODELS.replace(" or ", ", ").split(", ")
    assert sorted(named) == sorted(["auto", *(form for family in FAMILIES for form in family.forms), *FORMS])


def test_a_name_is_of_one_kind() -> None:
    for family in FAMILIES:
        for form in family.forms:
            assert [other for other in FAMILIES if other.answers_to(form)] == [family]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("torchvison:fcos_resnet50_fpn", "did you mean torchvision:fcos_resnet50_fpn?"),
        ("detic-swin", "did you mean detic-swinb?"),
        ("onnx", "did you mean onnx:FILE?"),
        ("best.pt", "export it as ONNX"),
        ("fins.onnx", "pass --model onnx:fins.onnx"),
        ("lite,onnx:fins.onnx", "write lite+onnx:fins.onnx or 'wbf(lite,onnx:fins.onnx)'"),
        ("lite+yolo", "in which 'yolo' is no model"),
        ("lite+", "the + joins nothing"),
    ],
)
def test_a_name_of_no_kind_is_answered_with_what_may_be_meant(name: str, hint: str) -> None:
    with refused("unknown_model", UsageError, names=[hint]):
        family_of(name)


def test_an_option_of_another_kind_names_those_it_goes_with() -> None:
    with refused("option_not_applicable", UsageError, names=["--weights", "a Detic model", "lite"]):
        load_detector("lite", weights_file=Path("own.pth"))
    with refused("option_not_applicable", UsageError, names=["--vocabulary lvis", "boxes:a.csv"]):
        load_detector("boxes:a.csv", vocabulary="lvis")


def test_a_path_is_the_same_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert family_of("boxes:a:b.csv").absolute("boxes:a:b.csv") == f"boxes:{tmp_path / 'a:b.csv'}"
    assert family_of("lite").absolute("lite") == "lite"
    assert family_of("detectron2:a.yaml").absolute("detectron2:a.yaml") == "detectron2:a.yaml"
    (tmp_path / "a.yaml").touch()
    assert family_of("detectron2:a.yaml").absolute("detectron2:a.yaml") == f"detectron2:{tmp_path / 'a.yaml'}"
