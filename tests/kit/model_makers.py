"""A tiny model of every kind, with weights made here, as a run is asked for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kit.photos import write_boxes

WIDTH, HEIGHT = 240, 160


@dataclass(frozen=True)
class Made:
    """A model, and what else is asked for with it.

    Attributes:
        model: its name for ``--model``; a path in it is relative to the folder where it was made.
        file: what its answers depend on, relative to that folder; empty if it came with the package.
        settings: further settings of a run; paths are relative, too.
        packages: those of run.json that are there for this kind alone.
    """

    model: str
    file: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


Maker = Callable[[Path, list[str], int], Made]
"""Makes a model in a folder, for photos of these keys, from a seed."""


def _lite(folder: Path, keys: list[str], seed: int) -> Made:
    return Made("lite", settings={"conf": 0.0})


def _boxes(folder: Path, keys: list[str], seed: int) -> Made:
    write_boxes(folder / "boxes.csv", keys, width=WIDTH + seed, height=HEIGHT)
    return Made("boxes:boxes.csv", "boxes.csv")


def _torchvision(folder: Path, keys: list[str], seed: int) -> Made:
    from tests.kit.torchvision_weights import SMALL, write_weights

    write_weights(folder / "own.pth", SMALL, 4, seed)
    (folder / "names.txt").write_text("fin\nfluke\nblow\n")
    settings = {"weights_file": Path("own.pth"), "names": Path("names.txt"), "conf": 0.05}
    return Made(f"torchvision:{SMALL}", "own.pth", settings)


def _onnx(folder: Path, keys: list[str], seed: int) -> Made:
    from tests.kit.onnx_models import ULTRALYTICS, v8

    v8(folder / "model.onnx", {**ULTRALYTICS, "names": {0: "red", 1: f"blue {seed}"}})
    return Made("onnx:model.onnx", "model.onnx", packages=("onnxruntime",))


def _hf(folder: Path, keys: list[str], seed: int) -> Made:
    from safetensors.torch import load_file, save_file

    from tests.kit.hf_models import save_model

    if not (folder / "model").exists():
        save_model("rt_detr", folder / "model")
    weights = folder / "model" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in sorted(tensors) if tensors[name].is_floating_point())
    save_file({**tensors, name: tensors[name] + 0.01 * seed}, weights, {"format": "pt"})
    return Made("hf:model", "model/model.safetensors", {"conf": 0.05}, ("transformers",))


MAKERS: dict[str, Maker] = {
    "lite": _lite,
    "boxes": _boxes,
    "torchvision": _torchvision,
    "onnx": _onnx,
    "hf": _hf,
}
"""Kind of models → what makes one."""
