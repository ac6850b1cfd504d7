"""The weights file of `lite`: what was trained, apart from what pip's ImageNet checkpoint brings.

`lite.safetensors` was made from that checkpoint (Apache-2.0, see `backbone`): its upper stages were trained
further on photos of marine mammals, and layers were added, see `network`. It is under Apache-2.0, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from detic_crop.detectors.lite import measure as measured
from detic_crop.detectors.lite.backbone import load_imagenet
from detic_crop.detectors.lite.fast import can_fuse, fuse_activations
from detic_crop.detectors.lite.judgement import FEATURES, Judgement
from detic_crop.detectors.lite.network import LiteNetwork
from detic_crop.errors import WeightsError, one_line

FILE = "lite.safetensors"
SHIPPED = Path(__file__).with_name(FILE)
SHIPPED_SHA256 = "343c63a1a9a074b2141c2e8898f975943b509587d6c50180904b1d34071b8517"
FORMAT = "detic-crop lite 1"
MOST_BYTES = 12_000_000

_NETWORK, _MEASURE, _BOX, _PRESENCE, _CONF = (
    "network.",
    "measure",
    "judgement.box",
    "judgement.presence",
    "conf",
)


@dataclass(frozen=True, eq=False)
class LiteWeights:
    """The content of a weights file.

    Attributes:
        network: name → float16 values of the trained parameters of `LiteNetwork`.
        measure: (553,) weights of `measure.cells_of`, then the offset.
        judgement: what turns its answers into probabilities.
        conf: default lowest score of a box.
        about: what a person may want to know: what it was trained on.
        sha256: of the file; empty if there is none yet.
    """

    network: Mapping[str, NDArray[np.float16]]
    measure: NDArray[np.float32]
    judgement: Judgement
    conf: float
    about: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""

    def to_bytes(self) -> bytes:
        """Return the content of a file; the same for the same weights."""
        tensors: dict[str, NDArray[Any]] = {
            _NETWORK + name: np.ascontiguousarray(value) for name, value in self.network.items()
        }
        tensors |= {_MEASURE: self.measure, _BOX: self.judgement.box, _PRESENCE: self.judgement.presence}
        tensors[_CONF] = np.array([self.conf], np.float32)
        # One entry: the order of several differs from file to file.
        return save(tensors, {"detic-crop": json.dumps({"format": FORMAT, **self.about}, sort_keys=True)})


def read_weights(path: Path = SHIPPED) -> LiteWeights:
    """Read a weights file.

    Raises:
        WeightsError: it cannot be read, is not a file of `lite`, or the shipped one was changed.
    """
    advice = (
        "install detic-crop again"
        if path == SHIPPED
        else "expected weights of a whole network; what `detic-crop teach` wrote goes with --model lite:FILE"
    )
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise WeightsError(
            "unreadable_weights", f"cannot read {path}: {error.strerror or error}; {advice}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if path == SHIPPED and digest != SHIPPED_SHA256:
        raise WeightsError(
            "damaged_weights", f"{path} has sha256 {digest}, expected {SHIPPED_SHA256}; {advice}"
        )
    try:
        about = _about(content)
        tensors = load(content)
        (conf,) = (float(value) for value in _weights(tensors.pop(_CONF, None), 1))
        measure = _weights(tensors.pop(_MEASURE, None), measured.FEATURES + 1)
        curves = [_weights(tensors.pop(name, None), len(FEATURES) + 1) for name in (_BOX, _PRESENCE)]
        network = {name.removeprefix(_NETWORK): value for name, value in tensors.items()}
        if not 0 < conf < 1 or any(value.dtype != np.float16 for value in network.values()):
            raise ValueError("its numbers are not those of a network")
        if not all(np.isfinite(value).all() for value in network.values()):
            raise ValueError("some of its numbers are not finite")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # KeyError: a kind of number
        raise WeightsError(
            "damaged_weights", f"{path} is not a weights file of lite: {one_line(error, 200)}; {advice}"
        ) from error
    return LiteWeights(network, measure, Judgement(*curves), conf, about, digest)


def load_network(weights: LiteWeights, device: str = "cpu", *, optimised: bool = True) -> LiteNetwork:
    """Return the network, in eval mode on `device`, no gradients.

    Args:
        weights: its trained parameters.
        device: device that it runs on.
        optimised: False leaves it as it is written, to measure against.

    Raises:
        WeightsError: the weights do not fit.
    """
    network = LiteNetwork(load_imagenet())
    wanted = {name: tuple(parameter.shape) for name, parameter in network.trained_parameters()}
    given = {name: value.shape for name, value in weights.network.items()}
    if wanted != given:
        wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise WeightsError(
            "weights_do_not_fit",
            f"the weights of lite do not fit its network: {', '.join(wrong[:3])}"
            f"{' and others' if len(wrong) > 3 else ''} missing, extra or misshapen; take weights that this "
            "version of detic-crop came with, or train them again (benchmarks/train_lite.py)",
        )
    for name, parameter in network.trained_parameters():
        parameter.data = torch.from_numpy(weights.network[name].astype(np.float32))
    network.eval().requires_grad_(False)
    if optimised and torch.device(device).type == "cpu" and can_fuse():
        fuse_activations(network)
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if optimised else network


def _about(content: bytes) -> dict[str, str]:
    """Return the one entry of metadata, which safetensors itself gives only of files on disk.

    Raises:
        ValueError: there is none.
    """
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = json.loads(header["__metadata__"]["detic-crop"])
        written_as = about.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it does not say that its format is {FORMAT!r}") from error
    if written_as != FORMAT:
        raise ValueError(f"its format is {written_as!r}, expected {FORMAT!r}")
    return {str(name): str(value) for name, value in about.items()}


def _weights(values: NDArray[np.float32] | None, count: int) -> NDArray[np.float32]:
    if (
        values is None
        or values.shape != (count,)
        or values.dtype != np.float32
        or not np.isfinite(values).all()
    ):
        raise ValueError("its fitted numbers are not those of this version")
    return np.asarray(values)
