"""``--model onnx:FILE``: whole files from loading to boxes, what does not fit, and hostile ones."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from detic_crop import UsageError, WeightsError, load_detector
from detic_crop.detectors.base import Detector
from detic_crop.detectors.onnx_file import session
from detic_crop.detectors.onnx_file.contents import read_contents
from detic_crop.detectors.onnx_file.metadata import metadata_of
from detic_crop.detectors.onnx_file.presentation import Presentation
from detic_crop.detectors.vocabulary import names_of, resolve_classes
from tests.kit import onnx_models
from tests.kit.errors import refused
from tests.kit.onnx_models import (
    HEADS,
    SIDE,
    ULTRALYTICS,
    Network,
    end_to_end,
    hf_detr,
    rf_detr,
    square,
    v5,
    v8,
)

CELL = (32, 64, 64, 96)
"""A cell of the coarsest level."""


def load(path: Path, **options: Any) -> Any:
    return load_detector(f"onnx:{path}", "cpu", **options)


def largest(detector: Detector, photo: NDArray[np.uint8]) -> tuple[Any, str]:
    """Box and class of the largest detection that counts."""
    found = detector.detect(photo)
    sure = [i for i in range(len(found)) if found.scores[i] >= detector.info.default_conf]
    best = max(sure, key=lambda i: float(found.areas[i]))
    return found.xyxy[best].tolist(), found.class_names[best]


def named(names: list[str] | tuple[str, ...], **others: Any) -> dict[str, Any]:
    """Ultralytics' metadata with other class names."""
    return {**ULTRALYTICS, "names": dict(enumerate(names)), **others}


# --- every head ---


@pytest.mark.parametrize("head", HEADS)
def test_a_red_or_blue_square_is_found(head: str, tmp_path: Path) -> None:
    detector = load(HEADS[head](tmp_path / "model.onnx"))
    assert largest(detector, square(CELL)) == (pytest.approx(CELL, abs=1e-3), _name(detector, 0))
    assert largest(detector, square(CELL, colour="blue")) == (
        pytest.approx(CELL, abs=1e-3),
        _name(detector, 1),
    )
    nothing = detector.detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert len(nothing) == 0 or nothing.scores.max() < detector.info.default_conf


def _name(detector: Detector, number: int) -> str:
    return detector.info.class_names[number] if detector.info.class_names else "unknown"


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (480, 640), (300, 90), (77, 501), (1, 1), (2000, 3)]
)
@pytest.mark.parametrize("head", ["v8", "v5", "yolox", "end to end", "rt-detr", "hugging face", "rf-detr"])
def test_boxes_are_in_pixels_of_the_photo(head: str, width: int, height: int, tmp_path: Path) -> None:
    """All of the photo is red: each cell that is full of it answers with itself, cut at the photo's edges."""
    detector = load(HEADS[head](tmp_path / "model.onnx"))
    photo = square((0, 0, width, height), width, height)
    found = detector.detect(photo)
    placement = detector.presentation.place((height, width))
    cells = placement.to_photo(onnx_models.cells())
    assert len(found) > 0
    for box in found.xyxy:
        assert np.abs(cells - box).max(axis=1).min() < 0.01
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height


@pytest.mark.parametrize("head", ["v8", "rt-detr", "end to end", "rf-detr", "four outputs"])
def test_a_batch_answers_like_single_photos(head: str, tmp_path: Path) -> None:
    detector = load(HEADS[head](tmp_path / "model.onnx", batch="batch"), batch_size=3)
    assert detector.preferred_batch == 3
    photos = [square(CELL), square((64, 0, 96, 32), colour="blue"), square(CELL, 200, 150), square(CELL)]
    together = detector.detect_batch([detector.prepare(photo) for photo in photos])
    for photo, found in zip(photos, together, strict=True):
        alone = detector.detect(photo)
        assert np.array_equal(alone.xyxy, found.xyxy)
        assert np.allclose(alone.scores, found.scores, atol=1e-6)
        assert alone.class_names == found.class_names


def test_a_file_that_takes_four_photos_takes_two(tmp_path: Path) -> None:
    with refused("unusable_onnx_file", WeightsError):  # this one is not to be asked with one
        load(v8(tmp_path / "odd.onnx", batch=0x7FFFFFFF))
    detector = load(v8(tmp_path / "four.onnx", batch=4))
    assert detector.preferred_batch == 4
    photos = [square(CELL), square(CELL, colour="blue")] * 3
    found = detector.detect_batch([detector.prepare(photo) for photo in photos])
    assert [each.class_names[0] for each in found] == ["red", "blue"] * 3
    with refused("bad_value", UsageError, names=["--batch-size must be at most 4", "four.onnx", "got 8"]):
        load(tmp_path / "four.onnx", batch_size=8)


def test_threads_share_one_detector(tmp_path: Path) -> None:
    detector = load(v8(tmp_path / "model.onnx"))
    assert detector.info.thread_safe
    photos = [square((x, y, x + 32, y + 32)) for x in range(0, 128, 32) for y in range(0, 128, 32)]
    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(lambda photo: largest(detector, photo)[0], photos * 5))
    assert boxes == [largest(detector, photo)[0] for photo in photos] * 5


# --- inputs ---


@pytest.mark.parametrize(
    "network",
    [
        {"dtype": TensorProto.UINT8, "most": 255},
        {"dtype": TensorProto.FLOAT16},
        {"dtype": TensorProto.DOUBLE},
        {"channels_last": True},
        {"channels_last": True, "dtype": TensorProto.UINT8, "most": 255, "batch": "batch"},
    ],
)
def test_kinds_of_inputs(network: dict[str, Any], tmp_path: Path) -> None:
    detector = load(v8(tmp_path / "model.onnx", **network))
    assert largest(detector, square(CELL)) == (pytest.approx(CELL, abs=1e-3), "red")
    assert detector.presentation.values == ("0-255" if "most" in network else "0-1")


def test_a_picture_that_is_no_square(tmp_path: Path) -> None:
    detector = load(v8(tmp_path / "wide.onnx", width=192, height=96))
    assert str(detector.presentation) == "192x96,letterbox,rgb,0-1"
    assert largest(detector, square((64, 32, 96, 64), 192, 96))[0] == pytest.approx(
        [64, 32, 96, 64], abs=1e-3
    )
    assert detector.info.input_size == (192, 192)


def test_the_size_of_a_file_that_takes_any(tmp_path: Path) -> None:
    said = load(v8(tmp_path / "said.onnx", free_size=True))
    assert (said.presentation.width, said.presentation.height) == (SIDE, SIDE)  # imgsz
    unsaid = {key: value for key, value in ULTRALYTICS.items() if key != "imgsz"}
    v8(tmp_path / "unsaid.onnx", unsaid, free_size=True)
    asked = load(tmp_path / "unsaid.onnx", detector_size=SIDE)
    assert largest(asked, square(CELL))[0] == pytest.approx(CELL, abs=1e-3)
    with refused("unusable_onnx_file", WeightsError, names=["640x640", "--detector-size", "unsaid.onnx"]):
        load(tmp_path / "unsaid.onnx")
    v8(tmp_path / "wide.onnx", unsaid, free_size=True, width=192, height=96)
    assert load(tmp_path / "wide.onnx", onnx_input="192x96").presentation.width == 192


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"detector_size": 640},
            "--detector-size must be 128x128, which is all that model.onnx takes, got 640x640",
        ),
        ({"onnx_input": "128x96,rgb"}, "--onnx-input must be 128x128, .*, got 128x96"),
        (
            {"detector_size": 128, "onnx_input": "96"},
            "--detector-size must be as in --onnx-input 96x96, got 128",
        ),
    ],
)
def test_sizes_that_the_file_does_not_take(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    v8(tmp_path / "model.onnx")
    with refused("bad_value", UsageError, match=message):
        load(tmp_path / "model.onnx", **options)
    assert load(tmp_path / "model.onnx", detector_size=128, onnx_input="128,bgr").presentation.colour == "bgr"


def test_what_the_file_does_not_say_can_be_said(tmp_path: Path) -> None:
    path = v8(tmp_path / "model.onnx", bgr=True, most=255)
    assert len(load(path).detect(square(CELL))) == 0  # 1 of 255
    detector = load(path, onnx_input="bgr,0-255")
    assert largest(detector, square(CELL)) == (pytest.approx(CELL, abs=1e-3), "red")
    stretched = load(v8(tmp_path / "plain.onnx"), onnx_input="stretch")
    assert largest(stretched, square((64, 64, 128, 96), 256, 128))[0] == pytest.approx(
        [64, 64, 128, 96], abs=1e-3
    )


def test_bytes_have_no_other_scale(tmp_path: Path) -> None:
    path = v8(tmp_path / "bytes.onnx", dtype=TensorProto.UINT8, most=255)
    with refused("bad_value", UsageError, names=["--onnx-input must be 0-255", "bytes.onnx"]):
        load(path, onnx_input="0-1")


def test_how_each_kind_is_shown_a_photo(tmp_path: Path) -> None:
    shown = {head: str(load(make(tmp_path / "model.onnx")).presentation) for head, make in HEADS.items()}
    assert {head for head, how in shown.items() if "corner,bgr,0-255" in how} == {"yolox"}
    assert {head for head, how in shown.items() if "imagenet" in how} == {"rf-detr", "detr"}
    stretched = {"rf-detr", "detr", "hugging face", "rt-detr", "ultralytics rt-detr"}
    assert {head for head, how in shown.items() if "stretch" in how} == stretched


def test_a_reduced_photo_has_boxes_of_the_whole(tmp_path: Path) -> None:
    detector = load(v8(tmp_path / "model.onnx"))
    prepared = detector.prepare(square(CELL), "", (SIDE * 8, SIDE * 8))
    (found,) = detector.detect_batch([prepared])
    best = int(found.areas.argmax())
    assert found.xyxy[best].tolist() == pytest.approx([8 * edge for edge in CELL], abs=0.01)
    assert detector.info.input_size == (SIDE, SIDE)
    assert load(rf_detr(tmp_path / "stretch.onnx")).info.input_size == (SIDE, 1 << 30)


# --- classes ---


def test_names_of_a_file_of_ones_own(tmp_path: Path) -> None:
    path = v8(tmp_path / "model.onnx")
    (tmp_path / "own.txt").write_text("fin\nbody\n")
    detector = load(path, names=tmp_path / "own.txt")
    assert detector.info.class_names == ("fin", "body")
    assert largest(detector, square(CELL))[1] == "fin"
    other = load(path, names=write_names(tmp_path / "other.txt", "body", "fin"))
    assert detector.info.weights != other.info.weights
    moved = load(path, names=write_names(tmp_path / "moved.txt", "fin", "body"))
    assert detector.info.weights == moved.info.weights


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("{0: 'fin', 1: 'body'}", ("fin", "body")),
        ('{"1": "body", "0": "fin"}', ("fin", "body")),
        ("['fin', 'body']", ("fin", "body")),
        ("{1: 'fin', 3: 'body'}", ("class 0", "fin", "class 2", "body")),
        ("{-1: 'fin'}", None),
        ("{1: 'fin', '1': 'body'}", None),
        ("{999999999: 'fin'}", None),
        ("{}", None),
    ],
)
def test_names_as_metadata_write_them(tmp_path: Path, written: str, names: tuple[str, ...] | None) -> None:
    assert metadata_of(tmp_path / "fins.onnx", {"names": written}).names == names


def write_names(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    three = write_names(tmp_path / "three.txt", "a", "b", "c")
    v8(tmp_path / "model.onnx")
    with refused(
        "names_do_not_fit", UsageError, names=["--names has 3 class names", "2 classes", "model.onnx"]
    ):
        load(tmp_path / "model.onnx", names=three)
    v8(tmp_path / "liar.onnx", named(["one"]))
    with refused("names_do_not_fit", UsageError, names=["the file itself has 1 class name", "liar.onnx"]):
        load(tmp_path / "liar.onnx")
    detector = load(end_to_end(tmp_path / "final.onnx"), names=write_names(tmp_path / "one.txt", "fin"))
    assert largest(detector, square(CELL))[1] == "fin"
    with refused("names_do_not_fit", names=["answers with class 1", "there are 1 class names", "--names"]):
        detector.detect(square(CELL, colour="blue"))
    with refused("unreadable_names", UsageError):
        load(tmp_path / "model.onnx", names=tmp_path / "nothing.txt")


@pytest.mark.parametrize(
    ("names", "classes", "conf"),
    [
        (["fin", "body"], "any", 0.25),
        (["animal", "fin"], "any", 0.25),
        (["dolphin", "boat"], "marine", 0.25),
        (["humpback_whale", "other"], "marine", 0.25),
        (["animal", "person", "vehicle"], "animal", 0.2),  # MegaDetector
        (list(names_of("coco")), "marine", 0.25),
    ],
)
def test_which_classes_count(names: list[str], classes: str, conf: float, tmp_path: Path) -> None:
    info = load(v8(tmp_path / "model.onnx", named(names), n_classes=len(names))).info
    assert (info.default_classes, info.default_conf) == (classes, conf)
    if names[0] == "person":
        with refused("unknown_class", names=["'bird,boat,surfboard'", "--classes any"]):
            resolve_classes(info.default_classes, info.class_names, info.name)
    else:
        assert resolve_classes(info.default_classes, info.class_names, info.name) in (None, (names[0],))


def test_megadetector(tmp_path: Path) -> None:
    """Version 5 is a YOLOv5 for 1280 pixels, here for fewer."""
    names = {"stride": 64, "names": {0: "animal", 1: "person", 2: "vehicle"}}
    detector = load(v5(tmp_path / "md_v5a.onnx", names, n_classes=3))
    assert detector.head.what == "YOLOv5, v6 or v7"
    assert largest(detector, square(CELL)) == (pytest.approx(CELL, abs=1e-3), "animal")


def test_files_without_names(tmp_path: Path) -> None:
    many = load(v8(tmp_path / "many.onnx", {}, n_classes=3))
    assert many.info.class_names == ("class 0", "class 1", "class 2")
    [note] = many.notes()
    assert note.endswith(".onnx: the file does not name its 3 classes; pass --names TXT")
    one = load(v8(tmp_path / "one.onnx", {}, n_classes=1))
    assert (one.info.class_names, one.info.default_classes, one.notes()) == (("class 0",), "any", [])
    coco = load(v8(tmp_path / "coco.onnx", {}, n_classes=80))
    assert coco.info.class_names == names_of("coco")
    assert "taken for COCO's" in coco.notes()[0]
    final = load(end_to_end(tmp_path / "final.onnx", {}))
    assert (final.info.class_names, final.info.default_classes) == ((), "any")
    assert "boxes of all count" in final.notes()[0]


def test_a_background_is_no_class(tmp_path: Path) -> None:
    path = rf_detr(tmp_path / "model.onnx")
    detector = load(path, names=write_names(tmp_path / "three.txt", "background", "fin", "body"))
    assert detector.info.class_names == ("fin", "body")
    assert len(detector.detect(square(CELL))) == 0  # class 0
    assert largest(detector, square(CELL, colour="blue"))[1] == "fin"
    two = load(path, names=write_names(tmp_path / "two.txt", "fin", "body"))
    assert largest(two, square(CELL))[1] == "fin"


def test_presence_is_the_highest_score_of_a_wanted_class(tmp_path: Path) -> None:
    detector = load(v8(tmp_path / "model.onnx"))
    faint = np.zeros((SIDE, SIDE, 3), np.uint8)
    faint[64:96, 32:64, 2] = 8  # 0.03: below the floor
    assert detector.detect(faint).presence is None
    detector.ask_for(["red"], 0.5)
    assert len(detector.detect(faint)) == 0
    assert detector.detect(faint).presence == pytest.approx(8 / 255, abs=1e-4)
    assert detector.detect(square(CELL, colour="blue")).presence == 0
    detector.ask_for(None)
    assert detector.detect(faint).presence is None


def test_what_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    load(v8(tmp_path / "fins.onnx"))
    assert caplog.messages == [
        "fins.onnx: YOLOv8 or later, 2 classes (red, blue); photos are shown as 128x128,letterbox,rgb,0-1; "
        "by default --classes any --conf 0.25"
    ]


# --- what is recorded ---


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def external(path: Path, location: str = "model.onnx_data") -> Path:
    """Move the constants of a file into another one."""
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location=location, size_threshold=1000)
    return path


def test_the_hash_is_of_all_files(tmp_path: Path) -> None:
    path = v8(tmp_path / "model.onnx")
    assert load(path).info.weights == {"model.onnx": sha256(path)}
    external(path)
    detector = load(path)
    assert largest(detector, square(CELL))[1] == "red"
    assert detector.info.weights == {
        "model.onnx": sha256(path),
        "model.onnx_data": sha256(tmp_path / "model.onnx_data"),
    }
    assert detector.info.name == "onnx:model.onnx"


def test_files_of_hugging_face(tmp_path: Path) -> None:
    """Names and numbers of pixels are in files beside, or above a folder `onnx`."""
    path = hf_detr(tmp_path / "onnx" / "model.onnx")
    (tmp_path / "config.json").write_text('{"model_type": "rt_detr", "id2label": {"0": "fin", "1": "body"}}')
    (tmp_path / "preprocessor_config.json").write_text(
        '{"do_normalize": true, "image_mean": [0.485, 0.456, 0.406], "size": {"height": 128, "width": 128}}'
    )
    detector = load(path)
    assert detector.info.class_names == ("fin", "body")
    assert str(detector.presentation) == "128x128,stretch,rgb,imagenet"
    assert set(detector.info.weights) == {"model.onnx", "config.json", "preprocessor_config.json"}
    for damage in ("{", "[]", '{"id2label": 5, "model_type": []}', "\udcff"):
        (tmp_path / "config.json").write_bytes(damage.encode("utf-8", "surrogateescape"))
        assert load(path).info.class_names == ("class 0", "class 1")


# --- what cannot be used ---


def custom(path: Path, name: str, domain: str) -> Path:
    net = Network()
    odd = net.op(name, net.scores, domain=domain)
    return net.save(path, {"output0": odd}, opsets=(("", 18), (domain, 1)))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    data = v8(path).read_bytes()
    return write(path, data[: int(len(data) * share)])


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(str(v8(path)))
    change(model)
    return write(path, model.SerializeToString())


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def typed(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "NoSuchOperator"


def renamed(model: onnx.ModelProto) -> None:
    model.graph.node[3].input[0] = "from nowhere"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write(path, b""), "without a graph"),
        (lambda path: write(path, b"PK\x03\x04 a zip, as a .pt is"), "PyTorch.*export"),
        (lambda path: write(path, b"<html>not found</html>"), "damaged, cut off or of another kind"),
        (
            lambda path: write(path, np.random.default_rng(1).bytes(5000)),
            "damaged, cut off or of another kind",
        ),
        (lambda path: cut(path, 0.5), "damaged, cut off or of another kind"),
        (lambda path: cut(path, 0.99), "damaged, cut off or of another kind"),
        (lambda path: custom(path, "EfficientNMS_TRT", "TRT"), r"TRT\.EfficientNMS_TRT.*TensorRT's"),
        (
            lambda path: custom(path, "MyLayer", "my.company"),
            r"my\.company\.MyLayer\); export it without them",
        ),
        (lambda path: changed(path, newer), r"too old for it \(opset 999\).*pip install -U onnxruntime"),
        (lambda path: changed(path, typed), "cannot load it"),
        (lambda path: changed(path, renamed), "cannot load it"),
    ],
)
def test_files_that_are_no_models(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = make(tmp_path / "odd.onnx")
    with refused("unusable_onnx_file", WeightsError, names=["odd.onnx"], match=message) as caught:
        load(path)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 700


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with refused("missing_weights", WeightsError, names=["nothing.onnx"]):
        load(tmp_path / "nothing.onnx")
    with refused("unusable_onnx_file", WeightsError, match="got the folder"):
        load(tmp_path)
    with refused("no_onnx_path", UsageError):
        load_detector("onnx:", "cpu")
    with refused("unknown_model", UsageError, names=["pass --model onnx:fins.onnx"]):
        load_detector("fins.onnx", "cpu")


def test_more_than_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with open(path, "wb") as file:
        file.truncate(1 << 31)
    with refused("unusable_onnx_file", WeightsError, names=["at most 2 GB", "external data"]):
        load(path)


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/passwd", "a/../../outside.bin", "link.bin"])
def test_weights_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    path = external(v8(folder / "model.onnx"))
    (folder / "model.onnx_data").rename(tmp_path / "outside.bin")
    (folder / "a").mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    with refused("unusable_onnx_file", WeightsError, names=["outside of its folder"]):
        load(path)


def test_weights_that_are_not_beside_it(tmp_path: Path) -> None:
    path = external(v8(tmp_path / "model.onnx"))
    (tmp_path / "model.onnx_data").unlink()
    with refused("missing_weights", WeightsError, names=["model.onnx_data", "put that file beside it"]):
        load(path)


def test_weights_of_inner_graphs_are_seen(tmp_path: Path) -> None:
    """An If has graphs of its own, a Constant a tensor."""
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "inner")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="inner.bin")
    then = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=tensor)],
        "then",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )
    node = helper.make_node("If", ["cond"], ["z"], then_branch=then, else_branch=then)
    graph = helper.make_graph(
        [node],
        "outer",
        [helper.make_tensor_value_info("cond", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [3])],
    )
    path = write(tmp_path / "if.onnx", helper.make_model(graph).SerializeToString())
    contents = read_contents(path)
    assert contents.external == {"inner.bin"}
    assert contents.nodes == 3


def test_any_cut_is_noticed_or_harmless(tmp_path: Path) -> None:
    data = v8(tmp_path / "whole.onnx").read_bytes()
    for end in range(0, len(data), 97):
        path = write(tmp_path / "cut.onnx", data[:end])
        with pytest.raises(WeightsError) as caught:
            load(path)
        assert caught.value.code == "unusable_onnx_file"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("classifier", r"outputs are those of no detector.*images float32\[1,3,128,128\].*output0 \[1, 2\]"),
        ("obb", "its task is 'obb'"),
        ("unknown", r"output0 \[1, 336, 2\]"),
    ],
)
def test_heads_that_are_not_known(kind: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    net = Network()
    if kind == "obb":
        v8(path, {**ULTRALYTICS, "task": "obb"})
    elif kind == "unknown":
        net.save(path, {"output0": net.scores})
    else:
        net.save(path, {"output0": net.op("ReduceMax", net.scores, net.constant(np.array([1])), keepdims=0)})
    with refused("unknown_onnx_head", WeightsError, names=["odd.onnx", "docs/models.md"], match=message):
        load(path)


def test_nothing_else_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """onnxruntime would print lines of its own where a name is no UTF-8."""
    data = v8(tmp_path / "odd.onnx").read_bytes()
    odd = write(tmp_path / "odd.onnx", data.replace(b"constant_3", b"constant\xff3", 1))
    with refused("unusable_onnx_file", WeightsError, names=["odd.onnx"]):
        load(odd)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "shape", [[1, 4, 128, 128], [1, 1, 128, 128], [3, 128, 128], [1, 128, 128, 4], [1, 3, 8, 8, 8]]
)
def test_inputs_that_are_no_picture(shape: list[int], tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    path = write(tmp_path / "odd.onnx", model.SerializeToString())
    with refused("unusable_onnx_file", WeightsError, names=["x float32[", "odd.onnx"]):
        load(path)


@pytest.mark.parametrize(
    "names",
    [
        "__import__('os').system('true')",
        "[" * 100_000,
        "{'a': 'b'}",
        "[1.5, 2]",
        "[]",
        "'" * 2_000_000,
        "None",
        "{0: ['a'], 1: 'b'}",
    ],
)
def test_names_in_the_file_that_are_none(names: str, tmp_path: Path) -> None:
    assert metadata_of(tmp_path / "model.onnx", {"names": names}).names is None


def test_names_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert metadata_of(path, {"names": "{1: 'b', 0: 'a'}"}).names == ("a", "b")
    assert metadata_of(path, {"names": "['a', 'b']"}).names == ("a", "b")
    assert metadata_of(path, {"names": '{"0": "a", "1": "b"}'}).names == ("a", "b")
    assert metadata_of(path, {"names": "['a\\x1b[31m\\nb', '', ' c ']"}).names == ("a [31m b", "class 1", "c")
    assert metadata_of(path, {"imgsz": "[480, 640]", "stride": "32"}).size_wh == (640, 480)
    assert metadata_of(path, {"imgsz": "640"}).size_wh == (640, 640)
    for size in ("[0, 640]", "[640, 640, 3]", "1e99", "'640'", "[-1, 2]", "[99999, 640]"):
        assert metadata_of(path, {"imgsz": size}).size_wh is None
    assert metadata_of(path, {"task": "detect", "end2end": "True"}).ends_with_nms is True
    assert metadata_of(path, {"task": "detect", "args": "{'nms': True}"}).ends_with_nms is True
    assert metadata_of(path, {"task": "detect", "args": "{'nms': False}"}).ends_with_nms is False
    assert metadata_of(path, {}).ends_with_nms is None


# --- onnxruntime and devices ---


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = v8(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refused("missing_extra", UsageError, names=["onnxruntime", "pip install 'detic-crop[onnx]'"]):
        load(path)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_devices_that_onnxruntime_has_not(device: str, tmp_path: Path) -> None:
    path = v8(tmp_path / "model.onnx")
    with refused("missing_device", UsageError, names=[f"--device {device}", "--device cpu"]):
        load_detector(f"onnx:{path}", device)


class _WithCuda:
    """onnxruntime, with a CUDA provider that works, or falls back as it does without a driver."""

    def __init__(self, works: bool) -> None:
        self._module, self._works = session.import_onnxruntime(), works
        self.asked: list[Any] = []
        self.SessionOptions = self._module.SessionOptions

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, path: str, options: Any, providers: list[Any], **others: Any) -> Any:  # noqa: N802
        self.asked = providers
        inner = self._module.InferenceSession(path, options, providers=["CPUExecutionProvider"], **others)
        if self._works:
            inner.get_providers = self.get_available_providers
        return inner


@pytest.mark.parametrize("works", [True, False])
def test_cuda(works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, runtime = v8(tmp_path / "model.onnx", batch="batch"), _WithCuda(works)
    monkeypatch.setattr(session, "import_onnxruntime", lambda: runtime)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert session.onnx_devices("auto") == ["cuda:0", "cuda:1"]
    assert session.onnx_devices("cuda:1") == ["cuda:1"]
    assert session.onnx_devices("cpu") == ["cpu"]
    if not works:
        with refused("missing_device", UsageError, names=["--device cuda:1", "cannot use the GPU"]):
            load_detector(f"onnx:{path}", "cuda:1")
        return
    detector = load_detector(f"onnx:{path}", "cuda:1")
    assert runtime.asked == [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]
    assert (detector.preferred_batch, detector.info.thread_safe) == (8, False)
    assert largest(detector, square(CELL))[1] == "red"


def test_a_gpu_of_torch_alone_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert session.onnx_devices("auto") == ["cpu"]


def test_options_of_other_models_are_refused(tmp_path: Path) -> None:
    path = v8(tmp_path / "model.onnx")
    for options in ({"vocabulary": "coco"}, {"precision": "bfloat16"}, {"box_format": "xyxy"}):
        with refused("option_not_applicable", UsageError):
            load(path, **options)
    with refused("option_not_applicable", UsageError, names=["--onnx-input", "onnx:FILE", "lite"]):
        load_detector("lite", onnx_input="rgb")


def test_no_hint_of_presentation_is_lost() -> None:
    assert str(Presentation(640, 480, "corner", "bgr", "imagenet")) == "640x480,corner,bgr,imagenet"
