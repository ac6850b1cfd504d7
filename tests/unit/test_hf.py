"""`hf:`: every family answers as its own post-processing does, offline, and wrong models are refused."""

from __future__ import annotations

import importlib
import json
import shutil
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file

from detic_crop import UsageError, load_detector
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou
from detic_crop.detectors import families
from detic_crop.detectors.hf.asking import Answer
from detic_crop.detectors.hf.detector import HfDetector, Prepared
from detic_crop.detectors.hf.library import load_transformers, quietly
from detic_crop.detectors.hf.loading import WORDS
from detic_crop.detectors.vocabulary import default_classes_of
from detic_crop.errors import WeightsError
from tests.kit.errors import refused
from tests.kit.hf_models import BY_LABEL, BY_WORDS, KINDS, LABELS, save_model

SHAPES = ((90, 150), (150, 90), (64, 64), (41, 100), (3, 4))
"""Heights and widths; a photo 3 pixels high looks as if its channels came first."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing connect to anything."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise over a gradient, BGR."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 120, width)[None, :, None] + np.array([0, 40, 90])
    return np.asarray(ramp + random.integers(0, 40, (height, width, 3)), np.uint8)


def load(kind: str, tmp_path: Path, **options: Any) -> HfDetector:
    detector = load_detector(f"hf:{save_model(kind, tmp_path / kind)}", "cpu", **options)
    assert isinstance(detector, HfDetector)
    return detector


def own_answer(
    kind: str, folder: Path, image: NDArray[np.uint8], threshold: float
) -> list[tuple[float, list[float], set[str]]]:
    """What a person writes after the family's documentation: score, box and words that it may be."""
    t = load_transformers()
    height, width = image.shape[:2]
    rgb = Image.fromarray(image[:, :, ::-1])
    sizes = [(height, width)]
    with quietly(), torch.inference_mode():
        if kind in BY_LABEL:
            images = t.AutoImageProcessor.from_pretrained(folder)
            network = t.AutoModelForObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()
            outputs = network(**images(images=rgb, return_tensors="pt"))
            (found,) = images.post_process_object_detection(outputs, threshold=threshold, target_sizes=sizes)
            names = [{LABELS[int(index)]} for index in found["labels"]]
            return list(zip(found["scores"].tolist(), found["boxes"].tolist(), names, strict=True))
        processor: Any = t.AutoProcessor.from_pretrained(folder)
        if kind == "sam3":
            network = t.Sam3Model.from_pretrained(folder, dtype=torch.float32).eval()
            everything = []
            for word in WORDS:
                outputs = network(**_inputs(processor, rgb, word))
                (found,) = processor.post_process_object_detection(outputs, threshold, sizes)
                pairs = zip(found["scores"].tolist(), found["boxes"].tolist(), strict=True)
                everything += [(score, box, {word}) for score, box in pairs]
            return everything
        auto = t.AutoModelForZeroShotObjectDetection
        network = auto.from_pretrained(folder, dtype=torch.float32).eval()
        ask = processor.post_process_grounded_object_detection
        if "grounding" in kind:
            inputs = _inputs(processor, rgb, ". ".join(WORDS) + ".")
            outputs = network(**inputs)
            answer = []
            (found,) = ask(outputs, inputs["input_ids"], threshold, 1.0, sizes)
            for score, box in zip(found["scores"].tolist(), found["boxes"].tolist(), strict=True):
                # The texts of a box alone, with a threshold just below the score: its best token.
                (near,) = ask(outputs, inputs["input_ids"], score - 1e-6, score - 1e-6, sizes)
                texts = [
                    text
                    for text, other in zip(near["text_labels"], near["boxes"].tolist(), strict=True)
                    if other == box
                ]
                words = {
                    word for word in WORDS if set(texts[0].replace(".", " ").split()) & set(word.split())
                }
                answer.append((score, box, words or set(WORDS)))
            return answer
        texts = [list(WORDS)]
        if kind != "omdet":
            texts = [[f"a photo of a {word}" for word in WORDS]]
        outputs = network(**_inputs(processor, rgb, texts))
        (found,) = ask(outputs, threshold=threshold, target_sizes=sizes, text_labels=[list(WORDS)])
        names = [{name} for name in found["text_labels"]]
        return list(zip(found["scores"].tolist(), found["boxes"].tolist(), names, strict=True))


def _inputs(processor: Any, rgb: Image.Image, text: Any) -> Any:
    return processor(images=rgb, text=text, return_tensors="pt")


def same(one: Detections, other: Detections, pixels: float = 1e-3) -> bool:
    """Whether two answers agree up to rounding; the order of equal scores does not matter."""
    if len(one) != len(other):
        return False
    return bool(
        np.allclose(one.scores, other.scores, atol=1e-5)
        and np.allclose(np.sort(one.xyxy, axis=0), np.sort(other.xyxy, axis=0), atol=pixels)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_answers_as_its_own_post_processing(kind: str, tmp_path: Path) -> None:
    detector = load(kind, tmp_path)
    n_boxes = 0
    for height, width in SHAPES:
        image = photo(height, width)
        found = detector.detect(image)
        theirs = own_answer(kind, tmp_path / kind, image, detector.info.floor)
        limits = np.array([width, height, width, height], np.float32)
        expected = [
            (score, box.clip(0, limits), words)
            for score, box, words in sorted(
                ((s, np.asarray(b, np.float32), w) for s, b, w in theirs), key=lambda one: -one[0]
            )
        ]
        expected = [one for one in expected if (one[1][2:] > one[1][:2]).all()]
        assert len(found) == len(expected)
        n_boxes += len(found)
        for (score, box, words), ours, our_score, our_word in zip(
            expected, found.xyxy, found.scores, found.class_names, strict=True
        ):
            assert our_score == pytest.approx(score, abs=1e-5)
            np.testing.assert_allclose(ours, box, atol=1e-3)
            assert our_word in words
    assert n_boxes > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_the_boxes_of_single_photos(kind: str, tmp_path: Path) -> None:
    detector = load(kind, tmp_path)
    photos = [photo(90, 150, seed) for seed in range(3)] + [photo(150, 90), photo(64, 64)]
    prepared = [detector.prepare(image) for image in photos]
    together = detector.detect_batch(prepared)
    assert all(same(one, detector.detect(image)) for one, image in zip(together, photos, strict=True))
    assert len({detector.group_of(one) for one in prepared}) == (3 if kind in _SHRINKING else 1)


_SHRINKING = {
    *("detr", "conditional_detr", "deformable_detr", "table_transformer", "yolos"),
    *("grounding_dino", "mm_grounding_dino"),
}
"""Families that keep the proportions of a photo."""


def test_memory_that_is_too_small_halves_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = load("rt_detr", tmp_path, batch_size=4)
    answers = detector._answers

    def small(photos: Sequence[Prepared]) -> list[Answer]:
        if len(photos) > 1:
            raise torch.cuda.OutOfMemoryError("too many")
        return answers(photos)

    photos = [photo(90, 150, seed) for seed in range(3)]
    monkeypatch.setattr(detector, "_answers", small)
    found = detector.detect_batch([detector.prepare(image) for image in photos])
    assert all(same(one, detector.detect(image)) for one, image in zip(found, photos, strict=True))
    assert detector.preferred_batch == 1


@pytest.mark.parametrize("kind", KINDS)
def test_several_threads_may_ask_at_once(kind: str, tmp_path: Path) -> None:
    detector = load(kind, tmp_path)
    assert detector.info.thread_safe
    photos = [photo(90, 150, seed) for seed in range(4)]
    together = threading.Barrier(4)

    def ask(index: int) -> Detections:
        together.wait()
        return detector.detect(photos[index])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert all(same(one, detector.detect(image)) for one, image in zip(answers, photos, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_computes_about_the_same(kind: str, tmp_path: Path) -> None:
    detector = load(kind, tmp_path, precision="bfloat16")
    found = detector.detect(photo(90, 150))
    assert found.xyxy.dtype == np.float32
    assert np.isfinite(found.xyxy).all()


def test_what_is_recorded(tmp_path: Path) -> None:
    info = load("rt_detr", tmp_path).info
    assert info.name == "hf:rt_detr"
    assert info.class_names == ("dolphin", "whale", "boat")
    assert (info.default_conf, info.floor, info.default_classes, info.vocabulary) == (0.5, 0.05, "marine", "")
    assert set(info.weights) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    info = load("owlv2", tmp_path).info
    assert (info.default_conf, info.default_classes) == (0.1, "any")
    assert info.class_names == WORDS
    assert info.vocabulary == "whale,dolphin,porpoise,seal,sea lion,manatee"
    assert "tokenizer.json" in info.weights


def test_weights_of_other_labels_are_refused(tmp_path: Path) -> None:
    folder = save_model("detr", tmp_path / "coco")
    _change_config(folder, id2label={str(index): f"class {index}" for index in range(13)})
    with refused("weights_do_not_fit", WeightsError, names=["class_labels_classifier"]):
        load_detector(f"hf:{folder}", "cpu")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["boat", "Harbor_seal"], "marine"),
        (["fin"], "any"),
        (["LABEL_0", "LABEL_1"], "any"),
        ([f"thing {number}" for number in range(80)], "marine"),
    ],
)
def test_the_classes_that_count_by_default(labels: list[str], expected: str) -> None:
    assert default_classes_of(labels) == expected


def test_the_words_of_the_vocabulary_are_asked_for(tmp_path: Path) -> None:
    for kind in BY_WORDS:
        info = load(kind, tmp_path, vocabulary="Sea Lion,a boat, sea  lion").info
        assert info.class_names == ("Sea Lion", "a boat")
        assert info.vocabulary == "Sea Lion,a boat"
        shutil.rmtree(tmp_path / kind)


def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path) -> None:
    for spec in ("lvis", "own.npy", " , ", "."):
        with refused("unknown_vocabulary", UsageError):
            load("owlvit", tmp_path, vocabulary=spec)
        shutil.rmtree(tmp_path / "owlvit")
    with refused("option_not_applicable", UsageError, names=["--vocabulary whale", "--classes"]):
        load("detr", tmp_path, vocabulary="whale")


@pytest.mark.parametrize(("kind", "most"), [("grounding_dino", "40"), ("owlv2", "32")])
def test_too_many_words_are_refused(kind: str, most: str, tmp_path: Path) -> None:
    words = ",".join(f"whale {'dolphin ' * number}" for number in range(1, 12))
    with refused("bad_vocabulary", UsageError, names=["tokens", most]):
        load(kind, tmp_path, vocabulary=words)


def test_the_size_at_which_a_photo_is_seen(tmp_path: Path) -> None:
    detector = load("detr", tmp_path, detector_size=96)
    shapes = dict(zip(("pixel_values", "pixel_mask"), detector.prepare(photo(90, 150)).shapes, strict=True))
    assert shapes["pixel_values"] == (1, 3, 96, 160)
    assert detector.info.input_size == (96, 160)
    with refused("option_not_applicable", UsageError, names=["--detector-size 96", "64 × 64"]):
        load("rt_detr", tmp_path, detector_size=96)


@pytest.mark.parametrize("kind", ["detr", "rt_detr", "owlv2"])
def test_boxes_of_a_reduced_decode_are_in_pixels_of_the_photo(kind: str, tmp_path: Path) -> None:
    detector = load(kind, tmp_path)
    small = photo(100, 160)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    (found,) = detector.detect_batch([detector.prepare(small, photo_hw=(200, 320))])
    whole = detector.detect(large)
    overlaps = [float(iou(box, whole.xyxy).max()) for box in found.xyxy]
    assert len(overlaps) > 3
    assert float(np.median(overlaps)) > 0.8


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    folder = save_model("detr", tmp_path / "detr")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("class_labels")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with refused("weights_do_not_fit", WeightsError, names=["class_labels_classifier", "2 tensors"]):
        load_detector(f"hf:{folder}", "cpu")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    for name, content in {
        "model.safetensors": b"\x08" + bytes(20),
        "config.json": b"{",
        "preprocessor_config.json": b'{"size": "blue"}',
    }.items():
        folder = save_model("detr", tmp_path / name)
        (folder / name).write_bytes(content)
        with pytest.raises(WeightsError) as caught:
            load_detector(f"hf:{folder}", "cpu")
        assert caught.value.code in ("damaged_weights", "unusable_hf_model", "weights_do_not_fit")
        assert "\n" not in caught.value.message


def test_half_a_weights_file_is_refused(tmp_path: Path) -> None:
    folder = save_model("detr", tmp_path / "detr")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with refused("unusable_hf_model", WeightsError, names=["weights"]):
        load_detector(f"hf:{folder}", "cpu")


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = save_model("detr", tmp_path / "detr")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with refused("missing_weights", WeightsError, names=["pytorch_model.bin", "save_pretrained"]):
        load_detector(f"hf:{folder}", "cpu")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "bert"}, "'bert'"),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "'vit'"),
        ({"model_type": "nothing-known"}, "'nothing-known'"),
        ({}, "without a model_type"),
    ],
)
def test_models_that_find_nothing_are_refused(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with refused("unusable_hf_model", WeightsError, names=[said]):
        load_detector(f"hf:{tmp_path}", "cpu")


def test_code_of_a_folder_is_not_run(tmp_path: Path) -> None:
    folder = save_model("detr", tmp_path / "detr")
    (folder / "evil.py").write_text("raise SystemExit('it was run')")
    names = {"AutoConfig": "evil.C", "AutoModelForObjectDetection": "evil.M"}
    _change_config(folder, auto_map=names)
    found = load_detector(f"hf:{folder}", "cpu").detect(photo(90, 150))
    assert len(found) > 0


def test_a_backbone_of_timm_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    t = load_transformers()
    made = t.DetrConfig(use_timm_backbone=True, backbone="test_resnet", d_model=32, num_queries=5)
    t.DetrForObjectDetection(made).save_pretrained(tmp_path)
    t.DetrImageProcessor().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["backbone_config"]
    named = {"use_timm_backbone": True, "backbone": "test_resnet", "use_pretrained_backbone": True}
    of_version_4: dict[str, Any] = {"backbone_kwargs": {"out_indices": [1, 2, 3, 4], "in_chans": 3}}
    for more in ({}, of_version_4):
        (tmp_path / "config.json").write_text(json.dumps({**config, **named, **more}))
        assert load_detector(f"hf:{tmp_path}", "cpu").info.class_names == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize("kind", BY_WORDS)
def test_words_need_a_tokenizer(kind: str, tmp_path: Path) -> None:
    """Without its files transformers makes one that knows no word, and every word is the same."""
    folder = save_model(kind, tmp_path / "model")
    for name in ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    with refused("unusable_hf_model", WeightsError, names=["tokenizer.json", "save_pretrained"]):
        load_detector(f"hf:{folder}", "cpu")


def test_folders_that_are_none(tmp_path: Path) -> None:
    with refused("no_hf_folder", UsageError, names=["write hf:OWNER/NAME"]):
        load_detector("hf:https://huggingface.co/owner/name")
    save_model("detr", tmp_path / "run" / "checkpoint-10")
    with refused("no_hf_folder", UsageError, names=["checkpoint-10"]):
        load_detector(f"hf:{tmp_path / 'run'}", "cpu")
    with refused("no_hf_folder", UsageError, names=["no such folder"]):
        load_detector(f"hf:{tmp_path / 'nothing'}", "cpu")
    with refused("no_hf_path", UsageError):
        load_detector("hf:", "cpu")


def test_a_model_of_the_hub_must_be_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path))
    with refused("missing_weights", WeightsError, names=["detic-crop weights pull hf:PekingU/rtdetr_r50vd"]):
        load_detector("hf:PekingU/rtdetr_r50vd", "cpu")
    save_model("rt_detr", tmp_path / "hf" / "PekingU--rtdetr_r50vd")  # put there by hand
    assert load_detector("hf:PekingU/rtdetr_r50vd", "cpu").info.name == "hf:PekingU/rtdetr_r50vd"


def test_a_name_of_the_hub_resumes_and_a_folder_needs_its_path(tmp_path: Path) -> None:
    family = families.family_of("hf:a/b")
    assert family.resumes("hf:IDEA-Research/grounding-dino-tiny")
    assert not family.resumes("hf:checkpoint-10")
    assert family.absolute("hf:a/b") == "hf:a/b"
    assert family.absolute(f"hf:{tmp_path}/x/..") == f"hf:{tmp_path}"


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model("detr", tmp_path / "detr")
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with refused("missing_extra", UsageError, names=["pip install 'detic-crop[hf]'"]):
        load_detector(f"hf:{folder}", "cpu")


def test_files_are_hashed_once_and_the_folder_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
    folder = save_model("detr", tmp_path / "detr")
    before = sorted(folder.iterdir())
    first = load_detector(f"hf:{folder}", "cpu").info.weights
    assert sorted(folder.iterdir()) == before

    def never(path: Path) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr("detic_crop.detectors.hf.folder.sha256_of", never)
    assert load_detector(f"hf:{folder}", "cpu").info.weights == first
    _change_config(folder, num_queries=12)
    with pytest.raises(AssertionError, match="config"):
        load_detector(f"hf:{folder}", "cpu")


def _change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=2))
