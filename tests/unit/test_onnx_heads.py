"""Output heads of ONNX models: which one it is, and what boxes its numbers mean.

Held against the published formulas, and transformers' post-processing.
"""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from numpy.typing import NDArray

from detic_crop.detectors.onnx_file.heads import Answer, Head, UnfitNamesError, UnknownHeadError, head_of
from detic_crop.detectors.onnx_file.heads.decoded import Decoded
from detic_crop.detectors.onnx_file.heads.detr import Detr
from detic_crop.detectors.onnx_file.heads.grid import grid_of
from detic_crop.detectors.onnx_file.heads.head import FLOOR, Found
from detic_crop.detectors.onnx_file.heads.rows import Rows
from detic_crop.detectors.onnx_file.heads.rtdetr_rows import RtDetrRows
from detic_crop.detectors.onnx_file.heads.yolo import Yolo
from detic_crop.detectors.onnx_file.heads.yolo_nas import YoloNas
from detic_crop.detectors.onnx_file.metadata import Metadata
from tests.kit.onnx_models import cells, cxcywh

SIDE = 320
N_CELLS = 40**2 + 20**2 + 10**2
Arrays = dict[str, NDArray[Any]]


def answer_of(
    outputs: Arrays,
    names: int | tuple[str, ...] | None = None,
    size_wh: tuple[int, int] = (SIDE, SIDE),
    inputs: tuple[str, ...] = ("images",),
    **metadata: Any,
) -> Answer:
    """An answer to a plain picture."""
    if isinstance(names, int):
        names = tuple(f"kind {number}" for number in range(names))
    return Answer(inputs=inputs, outputs=outputs, size_wh=size_wh, metadata=Metadata(**metadata), names=names)


def yolo_boxes(seed: int, n_anchors: int = 1) -> NDArray[np.float32]:
    """(N, 4) centres and sizes near the cells that they belong to."""
    random = np.random.default_rng(seed)
    levels = np.split(cells(SIDE, SIDE), [1600, 2000])
    around = cxcywh(np.concatenate([np.tile(level, (n_anchors, 1)) for level in levels]))
    around[:, :2] += random.normal(0, 0.3, (len(around), 2)) * around[:, 2:]
    around[:, 2:] *= random.uniform(0.5, 4, (len(around), 2))
    return around.astype(np.float32)


def sparse(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Scores of which few are high, all different."""
    return (np.random.default_rng(seed).random(shape) ** 8).astype(np.float32)


def by_the_book(xyxy: NDArray[Any], scores: NDArray[Any], iou: float) -> list[tuple[float, ...]]:
    """Non-maximum suppression for each class by itself, then the best 300."""
    best, kinds = scores.max(axis=1), scores.argmax(axis=1)
    kept: list[tuple[float, ...]] = []
    for kind in range(scores.shape[1]):
        chosen = np.flatnonzero((kinds == kind) & (best >= FLOOR))
        boxes = torch.from_numpy(xyxy[chosen].astype(np.float64))
        for i in torchvision.ops.nms(boxes, torch.from_numpy(best[chosen].astype(np.float64)), iou):
            kept.append((float(best[chosen[i]]), kind, *xyxy[chosen[i]].tolist()))
    return sorted(kept, reverse=True)[:300]


def as_list(found: Found) -> list[Any]:
    usable = found.usable()
    return [
        (float(score), int(kind), *box)
        for score, kind, box in zip(usable.scores, usable.classes, usable.xyxy.tolist(), strict=True)
    ]


def same(found: Found, expected: list[tuple[float, ...]]) -> None:
    assert len(expected) > 3
    assert np.allclose(as_list(found), expected, atol=1e-3)


def corners(boxes: NDArray[Any]) -> NDArray[np.float64]:
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


# --- grids ---


@pytest.mark.parametrize(
    ("n_boxes", "size_wh", "per_cell"),
    [
        (8400, (640, 640), 1),
        (25200, (640, 640), 3),
        (102000, (1280, 1280), 3),  # MegaDetector v5
        (6300, (640, 480), 1),
        (34000, (1280, 1280), 1),
        (2535, (416, 416), 3),  # YOLOv3-tiny
        (2100, (320, 320), 1),
    ],
)
def test_how_many_boxes_a_grid_has(n_boxes: int, size_wh: tuple[int, int], per_cell: int) -> None:
    grid = grid_of(n_boxes, size_wh)
    assert grid is not None
    assert grid.per_cell == per_cell
    assert grid.centres.shape == (n_boxes, 2)


@pytest.mark.parametrize("n_boxes", [0, 1, 84, 300, 8399])
def test_other_numbers_are_no_grid(n_boxes: int) -> None:
    assert grid_of(n_boxes, (640, 640)) is None


def test_cells_are_in_the_order_of_yolo() -> None:
    grid = grid_of(N_CELLS, (SIDE, SIDE))
    assert grid is not None
    assert np.array_equal(grid.centres, cxcywh(cells(SIDE, SIDE))[:, :2])
    assert np.array_equal(grid.corners[:3], [[0, 0], [1, 0], [2, 0]])


# --- YOLO ---


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize(("turned", "names"), [(False, 3), (False, None), (True, 3)])
def test_yolov8(turned: bool, shares: bool, names: int | None) -> None:
    boxes, scores = yolo_boxes(1), sparse(2, (N_CELLS, 3))
    table = np.concatenate([boxes / (SIDE if shares else 1), scores], axis=1)[None]
    outputs = {"output0": table if turned else table.transpose(0, 2, 1)}
    head = head_of(answer_of(outputs, names))
    assert isinstance(head, Yolo)
    assert (head.n_classes, head.what, head.fitting) == (3, "YOLOv8 or later", "letterbox")
    found = head.decode(outputs, 0)
    same(found, by_the_book(corners(boxes), scores, 0.7))
    assert found.peaks is not None
    assert np.allclose(found.peaks, scores.max(axis=0))


@pytest.mark.parametrize("names", [2, None])
@pytest.mark.parametrize(("anchors", "turned"), [(1, False), (3, False), (3, True)])
def test_yolov5(anchors: int, turned: bool, names: int | None) -> None:
    boxes = yolo_boxes(3, anchors)
    objectness, scores = sparse(4, (len(boxes), 1)), np.random.default_rng(5).random((len(boxes), 2))
    table = np.concatenate([boxes, objectness, scores], axis=1, dtype=np.float32)[None]
    outputs = {"output0": table.transpose(0, 2, 1) if turned else table}
    head = head_of(answer_of(outputs, names))
    assert isinstance(head, Yolo)
    assert (head.n_classes, head.what) == (2, "YOLOv5, v6 or v7")
    same(head.decode(outputs, 0), by_the_book(corners(boxes), scores * objectness, 0.45))


def test_yolox() -> None:
    random = np.random.default_rng(6)
    raw = random.normal(0.5, 0.3, (N_CELLS, 2)), random.normal(0, 0.5, (N_CELLS, 2))
    objectness, scores = sparse(7, (N_CELLS, 1)), random.random((N_CELLS, 4))
    outputs = {"output": np.concatenate([*raw, objectness, scores], axis=1, dtype=np.float32)[None]}
    head = head_of(answer_of(outputs))
    assert isinstance(head, Yolo)
    assert (head.what, head.fitting, head.colour, head.values) == ("YOLOX", "corner", "bgr", "0-255")
    around = cells(SIDE, SIDE)
    stride = around[:, 2:3] - around[:, :1]
    centre = (raw[0] + around[:, :2] / stride) * stride
    boxes = np.concatenate([centre, np.exp(raw[1]) * stride], axis=1)
    same(head.decode(outputs, 0), by_the_book(corners(boxes), scores * objectness, 0.45))


@pytest.mark.parametrize("task", ["segment", "pose"])
def test_masks_and_keypoints_are_left_out(task: str) -> None:
    boxes, scores = yolo_boxes(1), sparse(2, (N_CELLS, 3))
    tail = np.random.default_rng(8).random((N_CELLS, 32)).astype(np.float32) * 50
    outputs = {"output0": np.concatenate([boxes, scores, tail], axis=1)[None].transpose(0, 2, 1)}
    if task == "segment":
        outputs["output1"] = np.zeros((1, 32, 80, 80), np.float32)
    head = head_of(answer_of(outputs, 3, task=task))
    assert head.n_classes == 3
    same(head.decode(outputs, 0), by_the_book(corners(boxes), scores, 0.7))
    if task == "segment":  # the prototypes tell how many, where nothing names the classes
        assert head_of(answer_of(outputs)).n_classes == 3


def test_a_batch_is_taken_apart() -> None:
    tables = [
        np.concatenate([yolo_boxes(seed), sparse(seed + 10, (N_CELLS, 2))], axis=1) for seed in range(3)
    ]
    outputs = {"output0": np.stack(tables).transpose(0, 2, 1)}
    head = head_of(answer_of({"output0": outputs["output0"][:1]}, 2))
    for index, table in enumerate(tables):
        same(head.decode(outputs, index), by_the_book(corners(table[:, :4]), table[:, 4:], 0.7))


@pytest.mark.parametrize(
    ("shape", "names", "message"),
    [
        ((1, 7, N_CELLS), 2, "2 class names for the 3 classes"),
        ((1, 5, N_CELLS), 2, "2 class names for the 1 classes"),
        ((1, N_CELLS, 8), 5, "5 class names for the 3 classes"),
    ],
)
def test_names_that_do_not_fit(shape: tuple[int, ...], names: int, message: str) -> None:
    with pytest.raises(UnfitNamesError, match=message):
        head_of(answer_of({"output0": np.ones(shape, np.float32)}, names))


# --- which head ---


def final(n_rows: int, n_columns: int = 6) -> NDArray[np.float32]:
    """(1, N, 6 or more) boxes, scores and classes."""
    random = np.random.default_rng(9)
    table = random.random((1, n_rows, n_columns)).astype(np.float32)
    table[..., :2] *= 100
    table[..., 2:4] = table[..., :2] + 50
    table[..., 5] = random.integers(0, 2, n_rows)
    return table


def shares_and_scores(n_rows: int, n_classes: int) -> NDArray[np.float32]:
    """RT-DETR's rows."""
    return np.random.default_rng(10).random((1, n_rows, 4 + n_classes)).astype(np.float32)


@pytest.mark.parametrize(
    ("output", "names", "metadata", "kind"),
    [
        (final(300), 2, {}, Rows),
        (final(300), None, {}, Rows),
        (np.zeros((1, 300, 6), np.float32), 2, {}, Rows),  # nothing is on a plain picture
        (final(300, 38), 2, {"task": "segment"}, Rows),
        (final(300, 57), 1, {"task": "pose", "ends_with_nms": True}, Rows),
        (shares_and_scores(300, 2), 2, {}, RtDetrRows),
        (shares_and_scores(300, 2), 2, {"about": "Ultralytics rtdetr-l model"}, RtDetrRows),
        (np.zeros((1, 300, 6), np.float32), 2, {"about": "Ultralytics rtdetr-x model"}, RtDetrRows),
        (shares_and_scores(300, 80), 80, {}, RtDetrRows),
        (np.ones((1, 6, N_CELLS), np.float32), 2, {}, Yolo),
        (np.ones((1, N_CELLS, 6), np.float32), 2, {}, Yolo),
        (np.ones((1, N_CELLS, 6), np.float32), 1, {}, Yolo),
        (np.ones((1, 84, N_CELLS), np.float32), None, {}, Yolo),
        (np.ones((1, N_CELLS, 84), np.float32), 80, {}, Yolo),
        (np.ones((1, N_CELLS, 85), np.float32), None, {}, Yolo),
        (np.ones((1, 6, 500), np.float32), 2, {}, Yolo),  # of a grid that is not known
        (np.ones((1, 6, 3), np.float32), 2, {}, Yolo),  # of a few boxes only
        (np.ones((1, 3, 7), np.float32), 2, {}, Yolo),
        (np.ones((1, 84, 500), np.float32), None, {}, Yolo),
        (np.ones((1, 500, 85), np.float32), None, {}, Yolo),
    ],
)
def test_which_head_one_output_is(
    output: NDArray[np.float32], names: int | None, metadata: dict[str, Any], kind: type[Head]
) -> None:
    assert type(head_of(answer_of({"output0": output}, names, **metadata))) is kind


def test_a_few_boxes_are_turned_as_the_names_say() -> None:
    v8 = np.array([[[32, 30], [24, 20], [20, 10], [10, 8], [0.9, 0], [0, 0.6]]], np.float32)  # (4 + 2) × 2
    v5 = np.array([[[32, 24, 20, 10, 1, 0.9, 0], [30, 20, 10, 8, 0.6, 0, 1]]], np.float32)  # 2 × (5 + 2)
    for output in (v8, v5):
        answer = answer_of({"output0": output}, 2)
        found = head_of(answer).decode(answer.outputs, 0)
        assert found.xyxy.tolist() == [[22, 19, 42, 29], [25, 16, 35, 24]]
        assert found.scores.tolist() == pytest.approx([0.9, 0.6])
        assert found.classes.tolist() == [0, 1]


def test_two_classes_and_three_hundred_rows() -> None:
    """(1, 300, 6) may be final boxes, or RT-DETR's of two classes: the numbers tell."""
    rows = {"output0": final(300)}
    found = head_of(answer_of(rows, 2)).decode(rows, 0)
    assert np.array_equal(found.xyxy, rows["output0"][0, :, :4])
    assert np.array_equal(found.classes, rows["output0"][0, :, 5])
    queries = {"output0": shares_and_scores(300, 2)}
    found = head_of(answer_of(queries, 2)).decode(queries, 0)
    assert np.allclose(found.xyxy, corners(queries["output0"][0, :, :4] * SIDE), atol=1e-3)
    assert np.array_equal(found.classes, queries["output0"][0, :, 4:].argmax(axis=1))


@pytest.mark.parametrize(
    ("columns", "n_classes", "names"), [(7, 2, None), (7, 3, 3), (6, 1, 1), (84, 80, None), (85, 80, None)]
)
def test_without_objectness_only_where_the_names_say_so(
    columns: int, n_classes: int, names: int | None
) -> None:
    head = head_of(answer_of({"output0": np.ones((1, N_CELLS, columns), np.float32)}, names))
    assert head.n_classes == n_classes


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"output": np.zeros((1, 1000), np.float32)},  # a classifier
        {"output": np.zeros((1, 21, 320, 320), np.float32)},  # a segmenter
        {"output": np.zeros((1, 4, N_CELLS), np.float32)},
        {"output": np.zeros((), np.float32)},
        {"output": np.zeros((1, 0, 0), np.float32)},
        {"a": np.zeros((1, 10, 3), np.float32), "b": np.zeros((1, 10, 7), np.float32)},
    ],
)
def test_unknown_heads(outputs: Arrays) -> None:
    with pytest.raises(UnknownHeadError):
        head_of(answer_of(outputs))


@pytest.mark.parametrize("task", ["obb", "classify"])
def test_tasks_without_upright_boxes(task: str) -> None:
    with pytest.raises(UnknownHeadError, match=task):
        head_of(answer_of({"output0": np.ones((1, 7, N_CELLS), np.float32)}, 2, task=task))


@pytest.mark.parametrize("scale", [1, SIDE])
def test_cells_without_a_box_do_not_tell_the_units(scale: int) -> None:
    """A table that is nearly all zeros, as of a model that blanks what it does not find."""
    table = np.zeros((1, N_CELLS, 7), np.float32)
    table[0, 7] = [*(np.array([160, 120, 80, 40]) / scale), 0, 0.5, 0]
    table[0, 8:] = np.nan
    head = head_of(answer_of({"output0": table}, 3))
    assert head.what == "YOLOv8 or later"
    assert as_list(head.decode({"output0": table}, 0)) == [(0.5, 1, 120, 100, 200, 140)]


# --- boxes that are final ---


def test_rows_that_are_not_filled_may_hold_anything() -> None:
    rows = np.full((1, 300, 6), np.nan, np.float32)
    rows[0, :2] = [[10, 20, 30, 40, 0.5, 1], [10, 20, 30, 40, 0.75, -1]]
    head = head_of(answer_of({"output0": rows}, 2))
    assert isinstance(head, Rows)
    assert as_list(head.decode({"output0": rows}, 0)) == [(0.5, 1, 10, 20, 30, 40)]


def test_rows_of_yolov7_and_yolo_nas() -> None:
    table = np.array([[0, 1, 2, 30, 40, 1, 0.9], [1, 5, 6, 70, 80, 2, 0.8]], np.float32)
    outputs: Arrays = {"output": table}
    head = head_of(answer_of(outputs))
    assert head.what == "YOLOv7 with NMS"
    found = head.decode(outputs, 1)
    assert (found.xyxy.tolist(), found.classes.tolist()) == ([[5, 6, 70, 80]], [2])
    assert np.allclose(found.scores, 0.8)
    flat = {"graph2_flat_predictions": table[:, [0, 1, 2, 3, 4, 6, 5]]}
    head = head_of(answer_of(flat))
    assert head.what == "YOLO-NAS with NMS"
    assert as_list(head.decode(flat, 0)) == [(pytest.approx(0.9), 1, 1, 2, 30, 40)]


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32])
def test_four_outputs(kind: type[Any]) -> None:
    outputs = {
        "num_dets": np.array([[2]], np.int32),
        "det_boxes": np.arange(12, dtype=np.float32).reshape(1, 3, 4),
        "det_scores": np.array([[0.9, 0.8, 0.7]], np.float32),
        "det_classes": np.array([[1, 0, 1]], kind),
    }
    head = head_of(answer_of(outputs))
    assert isinstance(head, Decoded)
    assert head.fitting == "letterbox"
    assert [row[1:] for row in as_list(head.decode(outputs, 0))] == [(1, 0, 1, 2, 3), (0, 4, 5, 6, 7)]


def test_labels_boxes_scores() -> None:
    outputs = {
        "labels": np.array([[1, 0]]),
        "boxes": np.array([[[1, 2, 30, 40], [5, 6, 70, 80]]], np.float32),
        "scores": np.array([[0.9, 0.01]], np.float32),
    }
    head = head_of(answer_of(outputs, inputs=("images", "orig_target_sizes")))
    assert isinstance(head, Decoded)
    assert (head.what, head.fitting, head.conf) == ("RT-DETR, D-FINE or DEIM", "stretch", 0.5)
    assert as_list(head.decode(outputs, 0)) == [(pytest.approx(0.9), 1, 1, 2, 30, 40)]


def test_yolo_nas_without_nms() -> None:
    boxes, scores = corners(yolo_boxes(11)).astype(np.float32), sparse(12, (N_CELLS, 4))
    for names in (("boxes", "scores"), ("904", "913"), ("z", "a")):
        outputs = dict(zip(names, (boxes[None], scores[None]), strict=True))
        head = head_of(answer_of(outputs))
        assert isinstance(head, YoloNas)
        same(head.decode(outputs, 0), by_the_book(boxes, scores, 0.7))


# --- DETRs ---


def queries(seed: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(0.3, 0.7, (300, 2)), random.uniform(0.05, 0.4, (300, 2))], axis=1)
    return boxes.astype(np.float32), random.normal(-3, 2, (300, columns)).astype(np.float32)


def judged(kind: str, logits: NDArray[Any], boxes: NDArray[Any]) -> list[tuple[float, ...]]:
    """transformers' post-processing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        processor = getattr(transformers, kind)()
        (found,) = processor.post_process_object_detection(
            SimpleNamespace(logits=torch.from_numpy(logits)[None], pred_boxes=torch.from_numpy(boxes)[None]),
            threshold=FLOOR,
            target_sizes=[(SIDE, SIDE)],
        )
    rows = zip(found["scores"], found["labels"], found["boxes"], strict=True)
    return sorted(((float(s), int(k), *b.tolist()) for s, k, b in rows), reverse=True)


def test_rt_detr_of_hugging_face() -> None:
    boxes, logits = queries(13, 5)
    outputs = {"logits": logits[None], "pred_boxes": boxes[None]}
    head = head_of(answer_of(outputs, 5))
    assert isinstance(head, Detr)
    assert (head.what, head.fitting, head.values) == ("RT-DETR or D-FINE", "stretch", "0-1")
    same(head.decode(outputs, 0), judged("RTDetrImageProcessor", logits, boxes))


@pytest.mark.parametrize("names", [4, None])
def test_detr_of_hugging_face(names: int | None) -> None:
    boxes, logits = queries(14, 5)
    logits[:, 4] += 4
    plain = logits.copy()
    plain[:, 4] = 10  # sure that there is nothing
    head = head_of(answer_of({"logits": plain[None], "pred_boxes": boxes[None]}, names))
    assert (head.what, head.values, head.n_classes) == ("DETR or YOLOS", "imagenet", 4)
    found = head.decode({"logits": logits[None], "pred_boxes": boxes[None]}, 0)
    same(found, judged("DetrImageProcessor", logits, boxes))


def test_what_is_said_of_softmax_comes_first() -> None:
    boxes, logits = queries(14, 5)
    outputs = {"logits": logits[None], "pred_boxes": boxes[None]}
    assert head_of(answer_of(outputs, 4, softmax=False)).n_classes == 4
    assert head_of(answer_of(outputs, 4, softmax=False)).what == "RT-DETR or D-FINE"
    assert head_of(answer_of(outputs, softmax=True)).what == "DETR or YOLOS"
    assert head_of(answer_of(outputs, 5, normalised=True)).values == "imagenet"


def test_rf_detr() -> None:
    boxes, logits = queries(15, 4)
    outputs = {"dets": boxes[None], "labels": logits[None]}
    head = head_of(answer_of(outputs, 3))
    assert (head.what, head.values, head.n_classes) == ("RF-DETR", "imagenet", 3)
    same(head.decode(outputs, 0), judged("RTDetrImageProcessor", logits[:, :3], boxes))
    assert head_of(answer_of(outputs, 4)).n_classes == 4  # four lines: the user knows best
    assert head_of(answer_of(outputs)).n_classes == 4
    with pytest.raises(UnfitNamesError, match=r"6 class names.*background"):
        head_of(answer_of(outputs, 6))


def test_rf_detr_of_coco_has_cocos_numbers() -> None:
    boxes, logits = queries(16, 91)
    head = head_of(answer_of({"dets": boxes[None], "labels": logits[None]}))
    assert head.names is not None
    assert [head.names[number] for number in (0, 1, 9, 12, 16, 90)] == [
        None, "person", "boat", None, "bird", "toothbrush",
    ]  # fmt: skip
    assert sum(name is not None for name in head.names) == 80


# --- numbers that are none ---


def test_boxes_that_are_no_boxes_are_left_out() -> None:
    xyxy = np.array(
        [[0, 0, 9, 9], [np.nan, 0, 9, 9], [5, 5, 5, 9], [0, 0, np.inf, 9], [9, 9, 1, 1]], np.float32
    )
    found = Found(xyxy, np.array([0.5, 0.9, 0.9, 0.9, 0.9], np.float32), np.zeros(5, np.int64))
    assert as_list(found) == [(0.5, 0, 0, 0, 9, 9)]
    found = Found(xyxy[[0, 0]], np.array([np.inf, 0.01], np.float32), np.zeros(2, np.int64))
    assert as_list(found) == []
    found = Found(xyxy[[0, 0]], np.array([np.nan, 0.9], np.float32), np.array([0, -1]))
    assert as_list(found) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_no_head_breaks_on_odd_numbers(value: float) -> None:
    tables: list[tuple[Arrays, int | None]] = [
        ({"output0": np.ones((1, 6, N_CELLS), np.float32)}, 2),
        ({"output0": np.ones((1, N_CELLS, 7), np.float32)}, 2),
        ({"output0": final(300)}, 2),
        ({"output0": shares_and_scores(300, 2)}, 2),
        ({"dets": queries(1, 2)[0][None], "labels": queries(1, 2)[1][None]}, 2),
        ({"logits": queries(1, 3)[1][None], "pred_boxes": queries(1, 3)[0][None]}, 2),
    ]
    for outputs, names in tables:
        head = head_of(answer_of(outputs, names))
        odd = {name: np.full_like(array, value) for name, array in outputs.items()}
        with np.errstate(all="ignore"):
            usable = head.decode(odd, 0).usable()
        assert np.isfinite(usable.xyxy).all()
        assert np.isfinite(usable.scores).all()
