"""Where in a photo the `lite` detector sees an animal: pixels → evidence maps.

Two looks. The *overview* shows the whole photo at 448 px; the *close-up* shows one window of it, so that a
small and a large animal look alike to the network. Each gives a map of the share of every cell that lies in
the animal's box, by a linear head (ridge regression, `benchmarks/fit_lite.py`) on features of the frozen
ImageNet network. Whether there is an animal at all is left to ImageNet's own classes.

Letters: B batch, C channels, h w cells of 16 px of the shrunken picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor

from detic_crop.detectors.lite.backbone import LiteNetwork
from detic_crop.detectors.lite.package import WEIGHTS_FILE, WEIGHTS_SHA256
from detic_crop.detectors.lite.taught_file import read_taught
from detic_crop.errors import WeightsError

Box = tuple[float, float, float, float]  # left, top, right, bottom; pixels of the photo
Window = tuple[int, int, int, int]  # the same in whole pixels, not empty, inside the photo
Pixels = NDArray[np.uint8]  # (H, W, 3) BGR
Map = NDArray[np.float32]  # (h, w)

HEADS_FILE = "head.npz"
MARINE_MAMMALS = (147, 148, 149, 150)  # ImageNet: grey whale, killer whale, dugong, sea lion

OVERVIEW_SIDE = 448  # px, the photo's long side; 320 sees less of small animals, 640 costs twice the time
CLOSE_UP_SIDE = 320  # px, root of the close-up's area; 256 and 416 locate equally well within 0.01 IoU
WINDOW_SCALE = 2.0  # close-up window / box: the overview's box may be half the animal
MAX_ASPECT = 3.0  # of a close-up window, so that a thin box does not make a thin picture
STRIDE = 32  # px per coarse cell: sides are multiples of it, so that both grids line up with the photo
TOP_SHARE = 0.1  # of the cells: a small animal in a large sea counts as well as a large one

OVERVIEW_FEATURES = 112 + 320 + 320
CLOSE_UP_FEATURES = 112 + 112 + 320 + 8


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """The weights of `lite` that were fitted on photos.

    Attributes:
        overview: (753,) float32, weights of `overview_cells`, then the offset.
        close_up: (553,) float32, weights of `close_up_cells`, then the offset.
        presence: (2,) float32, slope and offset from the class margin to the log-odds of presence.
        conf: default lowest score of a box.
        sha256: hash of the file they were read from; empty for heads that were just fitted.
        taught: name of that file, if `detic-crop teach` wrote it; empty for the packaged one.
    """

    overview: NDArray[np.float32]
    close_up: NDArray[np.float32]
    presence: NDArray[np.float32]
    conf: float
    sha256: str = ""
    taught: str = ""


_SHAPES = {
    "overview": (OVERVIEW_FEATURES + 1,),
    "close_up": (CLOSE_UP_FEATURES + 1,),
    "presence": (2,),
    "conf": (),
}


def read_heads(path: Path | None = None) -> Heads:
    """Read what `benchmarks/fit_lite.py` wrote, by default the packaged file.

    Raises:
        WeightsError: it cannot be read, or an array is missing, extra or misshapen.
    """
    path = path or Path(__file__).with_name(HEADS_FILE)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # numpy, zipfile and zlib have a dozen kinds for a damaged file
        raise WeightsError(
            "damaged_weights", f"cannot read the fitted heads of lite at {path}: {error}"
        ) from error
    return _heads_in(arrays, path, digest)


def read_taught_heads(path: Path) -> Heads:
    """Read what `detic-crop teach` wrote.

    Raises:
        WeightsError: see `taught_file.read_taught`; or an array is missing, extra, misshapen or not finite.
    """
    taught = read_taught(path, weights_of(read_heads()))
    return _heads_in(taught.numbers, path, taught.sha256, path.name)


def weights_of(heads: Heads) -> dict[str, str]:
    """Return file name → SHA-256 of what a detector with these heads depends on."""
    return {WEIGHTS_FILE: WEIGHTS_SHA256, heads.taught or HEADS_FILE: heads.sha256}


def _heads_in(arrays: Mapping[str, NDArray[Any]], path: Path, sha256: str, taught: str = "") -> Heads:
    found = {name: array.shape for name, array in arrays.items()}
    if found != _SHAPES:
        raise WeightsError(
            "damaged_weights",
            f"the fitted heads of lite at {path} do not fit: expected {_SHAPES}, got {found}",
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise WeightsError(
            "damaged_weights",
            f"the fitted heads of lite at {path} do not fit: expected finite numbers, got others",
        )
    overview, close_up, presence = (arrays[name] for name in ("overview", "close_up", "presence"))
    return Heads(overview, close_up, presence, float(arrays["conf"]), sha256, taught)


@dataclass(frozen=True, slots=True)
class View:
    """Features of one picture shown to the network.

    Attributes:
        fine: (B, 112, h, w), stride 16.
        coarse: (B, 320, h/2, w/2), stride 32.
    """

    fine: Tensor
    coarse: Tensor


def look(network: LiteNetwork, picture: Pixels, mirrored: bool = False) -> View:
    """Show a shrunken picture (sides multiples of 32) to the network; `mirrored` adds its mirror image."""
    device = next(network.parameters()).device
    rgb = torch.from_numpy(np.ascontiguousarray(picture[:, :, ::-1])).to(device)
    pixels = rgb.permute(2, 0, 1)[None].float() / 127.5 - 1  # (1, 3, H, W); mean and deviation are 0.5 here
    if mirrored:
        pixels = torch.cat([pixels, pixels.flip(3)])
    with torch.inference_mode():
        return View(*network(pixels.contiguous(memory_format=torch.channels_last)))


def resize(picture: Pixels, width: int, height: int) -> Pixels:
    """Resize a picture: area averaging if it shrinks (no aliasing), linear if it grows."""
    shrinks = picture.shape[1] > width or picture.shape[0] > height
    resized = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(resized, np.uint8)


def overview_picture(photo: Pixels) -> Pixels:
    """Return the photo at 448 px, aspect kept up to the rounding to whole cells."""
    height, width = photo.shape[:2]
    scale = OVERVIEW_SIDE / max(height, width)
    return resize(photo, _whole_cells(width * scale, 64), _whole_cells(height * scale, 64))


def close_up_picture(photo: Pixels, window: Window) -> Pixels:
    """Return the window at about 320² px, aspect kept within limits."""
    left, top, right, bottom = window
    aspect = np.clip((right - left) / (bottom - top), 1 / MAX_ASPECT, MAX_ASPECT)
    width = _whole_cells(CLOSE_UP_SIDE * aspect**0.5, 96)
    height = _whole_cells(CLOSE_UP_SIDE / aspect**0.5, 96)
    return resize(photo[top:bottom, left:right], width, height)


def window_around(box: Box, width: int, height: int) -> Window:
    """Return the box at twice its sides, not too thin, cut to the photo of width × height."""
    left, top, right, bottom = box
    box_width, box_height = right - left, bottom - top
    half_width = max(box_width, box_height / MAX_ASPECT) * WINDOW_SCALE / 2
    half_height = max(box_height, box_width / MAX_ASPECT) * WINDOW_SCALE / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0 = max(0, int(x - half_width)), max(0, int(y - half_height))
    x1, y1 = min(width, int(np.ceil(x + half_width))), min(height, int(np.ceil(y + half_height)))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def overview_cells(view: View) -> Tensor:
    """Return (752, h, w): fine features, coarse ones, and their mean over the photo (a pool or the sea?)."""
    fine, coarse = view.fine[0], view.coarse
    context = coarse[0].mean((1, 2))[:, None, None].expand(-1, *fine.shape[1:])
    return torch.cat([fine, _to_fine_grid(coarse, fine)[0], context])


def close_up_cells(view: View, place: Tensor, index: int = 0) -> Tensor:
    """Return (552, h, w): fine features, the same blurred, coarse ones, and the place seen from the box.

    Args:
        place: (8, h, w) from `place_cells`.
        index: which picture of the batch.
    """
    fine, coarse = view.fine[index : index + 1], view.coarse[index : index + 1]
    blurred = F.avg_pool2d(fine, 3, stride=1, padding=1, count_include_pad=False)
    return torch.cat([fine[0], blurred[0], _to_fine_grid(coarse, fine)[0], place])


def place_cells(box: Box, window: Window, height: int, width: int) -> Tensor:
    """Return (8, h, w): where the cells of a window are, in half boxes from the centre of the first box."""
    x = window[0] + (np.arange(width) + 0.5) / width * (window[2] - window[0])
    y = window[1] + (np.arange(height) + 0.5) / height * (window[3] - window[1])
    u, v = np.meshgrid(
        (2 * x - box[0] - box[2]) / (box[2] - box[0]), (2 * y - box[1] - box[3]) / (box[3] - box[1])
    )
    near_x, near_y = np.exp(-(u**2)), np.exp(-(v**2))
    place = np.stack([u**2, v**2, abs(u), abs(v), v, near_x, near_y, near_x * near_y])
    # A thin box in a wide window has far cells; beyond six half boxes farther means nothing.
    return torch.from_numpy(place.clip(-6, 6).astype(np.float32))


def apply_head(cells: Tensor, head: NDArray[np.float32]) -> Map:
    """Return the (h, w) share of each cell in the animal's box of (C, h, w) features, (C + 1,) weights."""
    weights = torch.from_numpy(head).to(cells.device)
    with torch.inference_mode():
        evidence = torch.tensordot(weights[:-1], cells, dims=1) + weights[-1]
    return np.asarray(evidence.cpu().numpy(), np.float32)


def close_up_map(
    network: LiteNetwork, head: NDArray[np.float32], photo: Pixels, box: Box
) -> tuple[Map, Window]:
    """Return the evidence in the window around `box`, the mean over the picture and its mirror image."""
    height, width = photo.shape[:2]
    window = window_around(box, width, height)
    view = look(network, close_up_picture(photo, window), mirrored=True)
    place = place_cells(box, window, *view.fine.shape[2:]).to(view.fine.device)
    straight = apply_head(close_up_cells(view, place), head)
    mirror = apply_head(close_up_cells(view, place.flip(2), index=1), head)
    return np.asarray((straight + mirror[:, ::-1]) / 2, np.float32), window


def class_margin(network: LiteNetwork, view: View) -> float:
    """Return the log-odds of ImageNet's marine mammals against its 996 other classes, including sharks.

    Per cell log Σ exp(their logits) − log Σ exp(the others'); of these the mean over all cells and the
    mean over the highest tenth, averaged.
    """
    with torch.inference_mode():
        logits = network.logits(view.coarse[:1])[0].flatten(0, 1)  # (cells, 1000)
        marine = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
        marine[list(MARINE_MAMMALS)] = True
        margins = logits[:, marine].logsumexp(1) - logits[:, ~marine].logsumexp(1)  # (cells,)
    cells = np.sort(margins.cpu().numpy().astype(np.float64))
    top = cells[-max(1, int(len(cells) * TOP_SHARE)) :]
    return float(cells.mean() + top.mean()) / 2


def _whole_cells(side: float, least: int) -> int:
    return max(least, round(side / STRIDE) * STRIDE)


def _to_fine_grid(coarse: Tensor, fine: Tensor) -> Tensor:
    return F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
