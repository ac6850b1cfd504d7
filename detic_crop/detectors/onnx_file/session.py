"""onnxruntime: a file is loaded on a device, and asked."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.detectors.devices import resolve_devices
from detic_crop.detectors.onnx_file.contents import Contents, unusable
from detic_crop.errors import UsageError, one_line

_CUDA = "CUDAExecutionProvider"
_ERRORS_ONLY_RAISED = 4  # onnxruntime's level "fatal": what it would print is in the exception, too
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Port:
    """An input of the model.

    Attributes:
        name: its name.
        dtype: kind of its numbers; None if there is no such kind in NumPy.
        shape: its sides; None where any will do.
    """

    name: str
    dtype: type[np.generic] | None
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dtype = self.dtype.__name__ if self.dtype else "?"
        return f"{self.name} {dtype}[{','.join('?' if side is None else str(side) for side in self.shape)}]"


class Session:
    """A model that is loaded; several threads may `run` it at once.

    Args:
        path: the file.
        contents: what it says of itself.
        device: from `onnx_devices`.
        threads: threads inside an operator, on a CPU.

    Attributes:
        inputs: what it wants.
        outputs: names of what it answers.

    Raises:
        UsageError: onnxruntime is not installed, or has not that device.
        WeightsError: onnxruntime does not take the file.
    """

    def __init__(self, path: Path, contents: Contents, device: str, threads: int) -> None:
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY_RAISED
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        kind, _, number = device.partition(":")
        wanted: list[Any] = ["CPUExecutionProvider"]
        if kind == "cuda":
            wanted.insert(0, (_CUDA, {"device_id": int(number or 0)}))
        try:
            # Its fallback would print four lines and try the same once more.
            self._session = runtime.InferenceSession(
                str(path), options, providers=wanted, enable_fallback=False
            )
        except Exception as error:  # its own are of many kinds, and none of Python's
            raise unusable(path, _why_not(error, contents)) from error
        if kind == "cuda" and _CUDA not in self._session.get_providers():  # it goes on without, if it fails
            raise UsageError("missing_device", _no_cuda(device, "cannot use the GPU (its CUDA or cuDNN?)"))
        self.inputs = tuple(
            Port(port.name, _DTYPES.get(port.type), tuple(_side(side) for side in port.shape))
            for port in self._session.get_inputs()
        )
        self.outputs = tuple(port.name for port in self._session.get_outputs())

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the answer, output → array; halves become float32.

        Raises:
            Exception: any of onnxruntime's.
        """
        answers: Sequence[Any] = self._session.run(None, dict(feeds))
        found = {}
        for name, answer in zip(self.outputs, answers, strict=True):
            array = np.asarray(answer)
            found[name] = array.astype(np.float32) if array.dtype.kind == "f" else array
        return found


def import_onnxruntime() -> Any:
    """Return the module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UsageError(
            "missing_extra",
            "--model onnx:… needs onnxruntime, which is not installed: pip install 'detic-crop[onnx]' "
            f"({one_line(error, 200)})",
        ) from error


def onnx_devices(devices: str) -> list[str]:
    """Return where onnxruntime runs: for ``auto`` every GPU, if it and torch can use them, else the CPU.

    Raises:
        UsageError: a device is not there, or onnxruntime cannot use it.
    """
    has_cuda = _CUDA in import_onnxruntime().get_available_providers()
    if devices == "auto":
        found = resolve_devices(devices) if has_cuda else ["cpu"]
        return [device if device.startswith("cuda") else "cpu" for device in found]
    for device in devices.split(","):
        kind = device.partition(":")[0]
        if kind == "mps" or (kind == "cuda" and not has_cuda):
            raise UsageError("missing_device", _no_cuda(device, "has no part for it"))
    return resolve_devices(devices)


def _no_cuda(device: str, why: str) -> str:
    return (
        f"--device {device} does not run ONNX files here: onnxruntime {why}; pass --device cpu, or for a GPU "
        "of NVIDIA: pip uninstall onnxruntime, then pip install onnxruntime-gpu"
    )


def _side(side: Any) -> int | None:
    return side if isinstance(side, int) and side > 0 else None


def _why_not(error: Exception, contents: Contents) -> str:
    said = one_line(error, 300)
    if contents.foreign:
        names = ", ".join(sorted(contents.foreign)[:5])
        advice = "export it without them"
        if any("TRT" in name for name in contents.foreign):
            advice = "they are TensorRT's: export it without NMS, or with the NMS of onnxruntime"
        return f"it has operators that onnxruntime does not know ({names:.200}); {advice}"
    if "opset" in said.lower() or "ir_version" in said.lower() or "ir version" in said.lower():
        return (
            f"onnxruntime is too old for it (opset {contents.opset}): pip install -U onnxruntime, or export "
            f"it with opset=17 ({said})"
        )
    return f"onnxruntime cannot load it ({said}); export it again"
