"""ONNX files with the output heads of known detectors, that find red (class 0) and blue (class 1) squares.

The network is a grid of cells as YOLO has it: 8, 16 and 32 pixels wide. Of each cell the mean redness and
blueness is its two scores; those of the smaller cells count half. Its box is the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 128
STRIDES = (8, 16, 32)
NAMES = ("red", "blue")
N_CELLS = sum((SIDE // stride) ** 2 for stride in STRIDES)


def cells(width: int = SIDE, height: int = SIDE) -> NDArray[np.float32]:
    """(N, 4) corners of the cells, in YOLO's order."""
    found = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        corner = np.stack([x, y], axis=-1).reshape(-1, 2) * stride
        found.append(np.concatenate([corner, corner + stride], axis=1))
    return np.concatenate(found).astype(np.float32)


def cxcywh(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre and size of boxes."""
    return np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)


class Network:
    """Collects operators; `scores` is (B, N, C) and `boxes` a function of a table of numbers for each cell.

    Args:
        width, height: sides of the picture.
        batch: photos at a time; a text: any number.
        dtype: of the picture.
        channels_last: the picture is (B, H, W, 3).
        bgr: blue comes first.
        most: the largest value of a channel.
        n_classes: classes; those after the second are never there.
        anchors: boxes of each cell, all alike.
        free_size: the file does not say the size, though it works with one only.
    """

    def __init__(
        self,
        width: int = SIDE,
        height: int = SIDE,
        *,
        batch: int | str = 1,
        dtype: int = TensorProto.FLOAT,
        channels_last: bool = False,
        bgr: bool = False,
        most: float = 1.0,
        n_classes: int = 2,
        anchors: int = 1,
        free_size: bool = False,
    ) -> None:
        self.width, self.height, self.n_classes = width, height, n_classes
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        sides: list[int | str] = ["height", "width"] if free_size else [height, width]
        shape: list[int | str] = [batch, *sides, 3] if channels_last else [batch, 3, *sides]
        self.inputs = [helper.make_tensor_value_info("images", dtype, shape)]
        picture = self.op("Cast", "images", to=TensorProto.FLOAT)
        if channels_last:
            picture = self.op("Transpose", picture, perm=[0, 3, 1, 2])
        picture = self.op("Mul", picture, self.constant(np.float32(1 / most)))
        first, green, last = self.op("Split", picture, n_outputs=3, axis=1, num_outputs=3)
        red, blue = (last, first) if bgr else (first, last)
        colours = self.op("Concat", self.op("Sub", red, green), self.op("Sub", blue, green), axis=1)
        levels = []
        for stride in STRIDES:
            level = self.op("AveragePool", colours, kernel_shape=[stride] * 2, strides=[stride] * 2)
            level = self.op("Mul", level, self.constant(np.float32(1 if stride == 32 else 0.5)))
            level = self.op("Reshape", level, self.constant(np.array([0, 2, -1])))
            levels.append(self.op("Concat", *[level] * anchors, axis=2) if anchors > 1 else level)
        scores = self.op("Clip", self.op("Concat", *levels, axis=2), *self._limits())
        scores = self.op("Transpose", scores, perm=[0, 2, 1])  # (B, N, 2)
        if n_classes == 1:
            scores = self.op(
                "Slice", scores, *map(self.constant, (np.array([0]), np.array([1]), np.array([2])))
            )
        elif n_classes > 2:
            pads = self.constant(np.array([0, 0, 0, 0, 0, n_classes - 2]))
            scores = self.op("Pad", scores, pads)
        self.scores = scores
        self.corners = np.concatenate(
            [
                np.tile(part, (anchors, 1))
                for part in np.split(
                    cells(width, height),
                    np.cumsum([(width // stride) * (height // stride) for stride in STRIDES])[:-1],
                )
            ]
        )

    def _limits(self) -> list[str]:
        return [self.constant(np.float32(0)), self.constant(np.float32(1))]

    def op(self, kind: str, *inputs: str, n_outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add an operator; return the name of its output, or the names."""
        outputs = [f"{kind.lower()}_{len(self._nodes)}_{i}" for i in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, domain=domain, **attributes))
        return outputs if n_outputs > 1 else outputs[0]

    def constant(self, array: NDArray[Any] | np.generic) -> str:
        """Add a constant; return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def table(self, values: NDArray[np.float32]) -> str:
        """(N, K) numbers as (B, N, K), one table for each photo."""
        one = self.op("ReduceMax", self.scores, self.constant(np.array([2])), keepdims=1)  # (B, N, 1)
        nothing = self.op("Mul", one, self.constant(np.float32(0)))
        return str(self.op("Add", nothing, self.constant(values[None].astype(np.float32))))

    def best(self, count: int = 20) -> tuple[str, str, str, str]:
        """Names of corners (B, count, 4), scores (B, count, 1), classes (B, count, 1) and indices."""
        top = self.op("ReduceMax", self.scores, self.constant(np.array([2])), keepdims=0)
        kinds = self.op("ArgMax", self.scores, axis=2, keepdims=1)  # (B, N, 1) int64
        _, index = self.op("TopK", top, self.constant(np.array([count])), n_outputs=2)
        index = self.op("Unsqueeze", index, self.constant(np.array([2])))
        fours = self.op("Tile", index, self.constant(np.array([1, 1, 4])))
        boxes = self.op("GatherElements", self.table(self.corners), fours, axis=1)
        top = self.op("Unsqueeze", top, self.constant(np.array([2])))
        scores = self.op("GatherElements", top, index, axis=1)
        classes = self.op("GatherElements", kinds, index, axis=1)
        return boxes, scores, classes, index

    def save(
        self,
        path: Path,
        outputs: Mapping[str, str],
        metadata: Mapping[str, Any] | None = None,
        opsets: Sequence[tuple[str, int]] = (("", 18),),
        whole: Sequence[str] = (),
    ) -> Path:
        """Write the file; `outputs` is name → what `op` returned, `whole` those of whole numbers."""
        ends = [helper.make_node("Identity", [inner], [name]) for name, inner in outputs.items()]
        graph = helper.make_graph(
            self._nodes + ends,
            "finds squares",
            self.inputs,
            [
                helper.make_tensor_value_info(
                    name, TensorProto.INT64 if name in whole else TensorProto.FLOAT, None
                )
                for name in outputs
            ],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets])
        model.ir_version = 9
        helper.set_model_props(model, {key: str(value) for key, value in (metadata or {}).items()})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
        return path


ULTRALYTICS = {
    "description": "Ultralytics YOLO11n model trained on squares.yaml",
    "stride": 32,
    "task": "detect",
    "batch": 1,
    "imgsz": [SIDE, SIDE],
    "names": {0: "red", 1: "blue"},
}
"""What Ultralytics writes into a file."""


def v8(
    path: Path, metadata: Mapping[str, Any] | None = ULTRALYTICS, turned: bool = False, **network: Any
) -> Path:
    """YOLOv8 and later: (B, 4 + C, N); `turned`: (B, N, 4 + C)."""
    net = Network(**network)
    table = net.op("Concat", net.table(cxcywh(net.corners)), net.scores, axis=2)
    return net.save(
        path, {"output0": table if turned else net.op("Transpose", table, perm=[0, 2, 1])}, metadata
    )


def v5(path: Path, metadata: Mapping[str, Any] | None = None, shares: bool = False, **network: Any) -> Path:
    """YOLOv5: (B, N, 5 + C), three anchors for each cell; `shares`: boxes as shares of the picture."""
    net = Network(**{"anchors": 3, **network})
    boxes = cxcywh(net.corners) / (np.tile([net.width, net.height], 2) if shares else 1)
    objectness = np.full((len(net.corners), 1), 0.9, np.float32)
    known = {"stride": 32, "names": {0: "red", 1: "blue"}} if metadata is None else metadata
    table = net.op("Concat", net.table(np.concatenate([boxes, objectness], axis=1)), net.scores, axis=2)
    return net.save(path, {"output0": table}, known)


def yolox(path: Path, **network: Any) -> Path:
    """YOLOX without its decoding: BGR from 0 to 255, offsets in cells, logarithms of sizes."""
    net = Network(bgr=True, most=255, **network)
    raw = np.tile(np.array([[0.5, 0.5, 0, 0, 1]], np.float32), (len(net.corners), 1))
    return net.save(path, {"output": net.op("Concat", net.table(raw), net.scores, axis=2)})


def end_to_end(path: Path, metadata: Mapping[str, Any] | None = None, tail: int = 0, **network: Any) -> Path:
    """YOLOv10, YOLO26 or ``nms=True``: (B, 20, 6 + tail)."""
    net = Network(**network)
    boxes, scores, classes, _ = net.best()
    parts = [boxes, scores, net.op("Cast", classes, to=TensorProto.FLOAT)]
    parts += [net.op("Mul", scores, net.constant(np.float32(0.3))) for _ in range(tail)]
    known = {**ULTRALYTICS, "end2end": True} if metadata is None else metadata
    return net.save(path, {"output0": net.op("Concat", *parts, axis=2)}, known)


def v7_end_to_end(path: Path, flat: bool = False, **network: Any) -> Path:
    """YOLOv7's end2end, (N, 7): photo, box, class, score; `flat`: YOLO-NAS's, class after score."""
    net = Network(**network)
    boxes, scores, classes, _ = net.best()
    kinds = net.op("Cast", classes, to=TensorProto.FLOAT)
    photo = net.op("Mul", scores, net.constant(np.float32(0)))
    last = (scores, kinds) if flat else (kinds, scores)
    table = net.op("Reshape", net.op("Concat", photo, boxes, *last, axis=2), net.constant(np.array([-1, 7])))
    return net.save(path, {"graph2_flat_predictions" if flat else "output": table})


def four_outputs(path: Path, **network: Any) -> Path:
    """EfficientNMS' and YOLO-NAS' four outputs; the fourth and further boxes are rubbish."""
    net = Network(**network)
    boxes, scores, classes, index = net.best()
    zero = net.op("Mul", index, net.constant(np.array(0)))
    count = net.op(
        "Add",
        net.op("ReduceMax", zero, net.constant(np.array([1, 2])), keepdims=0),
        net.constant(np.array(3)),
    )
    last = net.constant(np.array([2]))
    return net.save(
        path,
        {
            "num_dets": net.op("Unsqueeze", count, net.constant(np.array([1]))),
            "det_boxes": boxes,
            "det_scores": net.op("Squeeze", scores, last),
            "det_classes": net.op("Squeeze", classes, last),
        },
        whole=("num_dets", "det_classes"),
    )


def yolo_nas(path: Path, **network: Any) -> Path:
    """YOLO-NAS without NMS: corners in pixels, and scores."""
    net = Network(**network)
    return net.save(path, {"boxes": net.table(net.corners), "scores": net.scores})


def _logits(net: Network, first: float = 0.5) -> str:
    centred = net.op("Sub", net.scores, net.constant(np.float32(first)))
    return str(net.op("Mul", centred, net.constant(np.float32(20))))


def rf_detr(path: Path, names: Mapping[str, Any] | None = None, **network: Any) -> Path:
    """RF-DETR: ImageNet's mean and deviation, dets and labels, one column too many."""
    net = Network(n_classes=3, **network)
    boxes = cxcywh(net.corners) / np.tile([net.width, net.height], 2)
    return net.save(path, {"dets": net.table(boxes), "labels": _logits(net)}, names)


def hf_detr(
    path: Path, softmax: bool = False, metadata: Mapping[str, Any] | None = None, **network: Any
) -> Path:
    """Hugging Face's logits and pred_boxes; `softmax`: DETR's, with a last class for no object."""
    net = Network(**network)
    boxes = cxcywh(net.corners) / np.tile([net.width, net.height], 2)
    logits = _logits(net)
    if softmax:
        top = net.op("ReduceMax", logits, net.constant(np.array([2])), keepdims=1)
        nothing = net.op("Mul", top, net.constant(np.float32(0)))
        logits = net.op("Concat", logits, net.op("Add", nothing, net.constant(np.float32(3))), axis=2)
    return net.save(path, {"logits": logits, "pred_boxes": net.table(boxes)}, metadata)


def rt_detr(path: Path, **network: Any) -> Path:
    """RT-DETR, D-FINE and DEIM by their authors: labels, boxes, scores, and the size that boxes are in."""
    net = Network(**network)
    boxes, scores, classes, _ = net.best()
    batch = network.get("batch", 1)
    net.inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [batch, 2]))
    sizes = net.op("Cast", "orig_target_sizes", to=TensorProto.FLOAT)
    sizes = net.op("Unsqueeze", net.op("Concat", sizes, sizes, axis=1), net.constant(np.array([1])))
    shares = net.op("Div", boxes, net.constant(np.tile([net.width, net.height], 2).astype(np.float32)))
    last = net.constant(np.array([2]))
    return net.save(
        path,
        {
            "labels": net.op("Squeeze", classes, last),
            "boxes": net.op("Mul", shares, sizes),
            "scores": net.op("Squeeze", scores, last),
        },
        whole=("labels",),
    )


def ultralytics_rt_detr(path: Path, metadata: Mapping[str, Any] | None = None, **network: Any) -> Path:
    """RT-DETR of Ultralytics: (B, 300, 4 + C), shares of the picture."""
    net = Network(**network)
    _, _, _, index = net.best(300)
    boxes = cxcywh(net.corners) / np.tile([net.width, net.height], 2)
    both = net.op("Concat", net.table(boxes), net.scores, axis=2)  # (B, N, 4 + C)
    index = net.op("Tile", index, net.constant(np.array([1, 1, 4 + net.n_classes])))
    known = {**ULTRALYTICS, "description": "Ultralytics rtdetr-l model"} if metadata is None else metadata
    return net.save(path, {"output0": net.op("GatherElements", both, index, axis=1)}, known)


HEADS: dict[str, Callable[..., Path]] = {
    "v8": v8,
    "v8 turned": lambda path, **network: v8(path, turned=True, **network),
    "v5": v5,
    "v5 shares": lambda path, **network: v5(path, shares=True, **network),
    "v6": lambda path, **network: v5(path, anchors=1, **network),
    "yolox": yolox,
    "end to end": end_to_end,
    "v7 end to end": v7_end_to_end,
    "yolo-nas flat": lambda path, **network: v7_end_to_end(path, flat=True, **network),
    "four outputs": four_outputs,
    "yolo-nas": yolo_nas,
    "rf-detr": rf_detr,
    "hugging face": hf_detr,
    "detr": lambda path, **network: hf_detr(path, softmax=True, metadata={"names": list(NAMES)}, **network),
    "rt-detr": rt_detr,
    "ultralytics rt-detr": ultralytics_rt_detr,
}
"""Head → what writes a file with it."""


def square(
    box: tuple[int, int, int, int], width: int = SIDE, height: int = SIDE, colour: str = "red"
) -> NDArray[np.uint8]:
    """A black BGR photo with a red or blue rectangle."""
    photo = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = box
    photo[y1:y2, x1:x2] = (0, 0, 255) if colour == "red" else (255, 0, 0)
    return photo


def write_square(path: Path, box: tuple[int, int, int, int], width: int = SIDE, height: int = SIDE) -> Path:
    """`square` as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, square(box, width, height))
    assert done
    path.write_bytes(data.tobytes())
    return path
