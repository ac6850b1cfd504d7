"""Train `lite`: `python -m benchmarks.train_lite FOLDER... [--folds K --out-folds DIR] [--out FILE]`.

Fine-tunes the upper stages of EfficientNet-Lite0, the joining layers and the two outputs, from ImageNet's
weights, on the photos of the labelled folders (see `labelled_photos`) as `lite_pictures` varies them. Same
folders, same kind of processor, same versions of the packages: same file. A training takes a quarter of an
hour on one core.

First, for cross-validation, it trains once for each of K folds without that fold's sources, and writes
DIR/fold-K.safetensors and DIR/folds.json. What these say of the photos they never saw fits the few numbers
that turn what the network says into a probability, and the default `--conf`. Then it trains on all photos.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.fit_judgement import Answer, default_conf, fit_judgement
from benchmarks.fit_measure import moments_of_photo, total
from benchmarks.labelled_photos import LabelledPhoto, folds, read_sets
from benchmarks.lite_pictures import Edges, Picture, Pictures, Prepared, prepare
from detic_crop.detectors.devices import one_torch_thread
from detic_crop.detectors.lite.backbone import load_imagenet
from detic_crop.detectors.lite.detector import LiteDetector
from detic_crop.detectors.lite.fast import fuse_activations
from detic_crop.detectors.lite.judgement import FEATURES, Judgement
from detic_crop.detectors.lite.measure import solve
from detic_crop.detectors.lite.network import CELL, LOG_REACH, LiteNetwork, Sight
from detic_crop.detectors.lite.views import as_tensor
from detic_crop.detectors.lite.weights import SHIPPED, LiteWeights, load_network

EPOCHS = 12
PICTURES = 500  # an epoch's
BATCH = 8
HEAD_RATE, STAGE_RATE = 2.5e-3, 3.5e-4
WARM_UP = 60  # steps
WEIGHT_DECAY = 0.03
KEPT = 0.997  # share that the running mean of the weights keeps at each step
WEIGHTS_OF_LOSSES = (1.0, 0.7, 1.5, 0.7)  # middle, inside, edges, presence
DROPPED = 0.5  # share of the pooled features that presence does without
UNFITTED = Judgement(np.zeros(len(FEATURES) + 1, np.float32), np.zeros(len(FEATURES) + 1, np.float32))
MIDDLE = 0.25  # height of the bell above which a cell is asked for the edges


@dataclass(frozen=True)
class Targets:
    """What is asked of each cell: (B, h, w) float32, edges (B, 4, h, w).

    Attributes:
        middle: bell of height 1 on each animal (Zhou et al. 2019, section 3).
        inside: share of the cell in a box.
        asked: 1 where `middle` and `inside` count.
        edges: distances in pixels to left, top, right, bottom.
        edges_asked: weight of the cell's edges, 1 in sum for each animal.
        present, present_asked: (B,) is there an animal, and is that known.
    """

    middle: Tensor
    inside: Tensor
    asked: Tensor
    edges: Tensor
    edges_asked: Tensor
    present: Tensor
    present_asked: Tensor


def targets_of(pictures: Sequence[Picture]) -> Targets:
    """What the pictures, all of one size, ask for."""
    height, width = (side // CELL for side in pictures[0].pixels.shape[:2])
    shape = len(pictures), height, width
    ys, xs = (np.arange(height)[:, None] + 0.5) * CELL, (np.arange(width)[None] + 0.5) * CELL
    middle, inside, edges_asked = (np.zeros(shape, np.float32) for _ in range(3))
    asked = np.ones(shape, np.float32)
    edges = np.zeros((len(pictures), 4, height, width), np.float32)
    for i, picture in enumerate(pictures):
        asked[i] = float(picture.all_known)
        for left, top, right, bottom in picture.ignored:
            asked[i][(ys > top) & (ys < bottom) & (xs > left) & (xs < right)] = 0
        for box in sorted(picture.boxes, key=_area, reverse=True):  # a small animal in front of a large one
            left, top, right, bottom = box
            bell = _bell(xs, left, right) * _bell(ys, top, bottom)
            bell /= bell.max()
            share = _share(xs, left, right) * _share(ys, top, bottom)
            asked[i][(share > 0.02) | (bell > 0.3)] = 1
            inside[i] = np.maximum(inside[i], share)
            middle[i] = np.maximum(middle[i], bell)
            near = bell > MIDDLE
            away = np.broadcast_arrays(xs - left, ys - top, right - xs, bottom - ys)
            edges[i][:, near] = np.stack(away)[:, near]
            edges_asked[i][near] = bell[near] / bell[near].sum()
    present = [picture.present for picture in pictures]
    return Targets(
        middle=torch.from_numpy(middle),
        inside=torch.from_numpy(inside),
        asked=torch.from_numpy(asked),
        edges=torch.from_numpy(edges),
        edges_asked=torch.from_numpy(edges_asked),
        present=torch.tensor([float(bool(known)) for known in present]),
        present_asked=torch.tensor([float(known is not None) for known in present]),
    )


def losses(sight: Sight, targets: Targets) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses of middle (focal), inside (cross entropy), edges (GIoU and log distance), presence."""
    cells = sight.cells
    chance = torch.sigmoid(cells[:, 0]).clamp(1e-5, 1 - 1e-5)
    peak = (targets.middle > 0.98).float()
    hit = peak * (1 - chance) ** 2 * chance.log()
    miss = (1 - peak) * targets.asked * (1 - targets.middle) ** 4 * chance**2 * (1 - chance).log()
    of_middle = -(hit + miss).sum() / peak.sum().clamp_min(1)

    entropy = F.binary_cross_entropy_with_logits(cells[:, 5], targets.inside, reduction="none")
    within = (targets.inside * targets.asked).sum((1, 2)).clamp_min(4)[:, None, None]
    without = ((1 - targets.inside) * targets.asked).sum((1, 2)).clamp_min(4)[:, None, None]
    balance = torch.where(targets.inside > 0.5, 0.5 / within, 0.5 / without) * targets.asked
    of_inside = (entropy * balance).sum((1, 2)).mean()

    distances = cells[:, 1:5].clamp(*LOG_REACH).exp() * CELL
    count = targets.edges_asked.sum().clamp_min(1)
    overlap = 1 - generalised_iou(distances, targets.edges.clamp_min(0.5))
    ratio = (distances.log() - targets.edges.clamp_min(2).log()).abs().sum(1)
    of_edges = ((overlap + 0.15 * ratio) * targets.edges_asked).sum() / count

    doubt = F.binary_cross_entropy_with_logits(sight.presence, targets.present, reduction="none")
    of_presence = (doubt * targets.present_asked).sum() / targets.present_asked.sum().clamp_min(1)
    return of_middle, of_inside, of_edges, of_presence


def generalised_iou(ours: Tensor, theirs: Tensor) -> Tensor:
    """GIoU (Rezatofighi et al. 2019) of boxes around the same cells, (B, 4, h, w) distances to the edges."""
    areas = [(d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3]) for d in (ours, theirs)]
    low, high = torch.minimum(ours, theirs), torch.maximum(ours, theirs)
    shared = (low[:, 0] + low[:, 2]).clamp_min(0) * (low[:, 1] + low[:, 3]).clamp_min(0)
    hull = (high[:, 0] + high[:, 2]) * (high[:, 1] + high[:, 3])
    union = areas[0] + areas[1] - shared
    return shared / union - (hull - union) / hull


class InTraining(nn.Module):
    """The network with dropout before its presence, and quicker convolutions of one pixel.

    Args:
        network: its trained parameters are shared with this one.
    """

    def __init__(self, network: LiteNetwork) -> None:
        super().__init__()
        self.network = network
        _multiply_points(network)

    def forward(self, pixels: Tensor) -> Sight:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            below = self.network.below(pixels)
        sight: Sight = self.network(below.float())
        pooled = F.dropout(sight.pooled, DROPPED)
        return replace(sight, presence=self.network.presence(pooled)[:, 0])


class Point(nn.Module):
    """A convolution of one pixel as a matrix product: on one thread PyTorch's own is half as fast."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, image: Tensor) -> Tensor:
        return F.linear(image.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


def _multiply_points(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if type(child) is nn.Conv2d and child.kernel_size == (1, 1) and child.groups == 1:
            setattr(module, name, Point(child))
        else:
            _multiply_points(child)


def fresh_network(seed: int) -> LiteNetwork:
    """A network that starts from ImageNet's weights."""
    torch.manual_seed(seed)
    network = LiteNetwork(load_imagenet())
    cells = network.cells
    nn.init.normal_(cells.weight, 0, 0.01)
    with torch.no_grad():
        assert cells.bias is not None
        cells.bias.copy_(torch.tensor([-4.0, 1.2, 1.2, 1.2, 1.2, -1.5]))  # rare, small, mostly sea
    return network


def train(
    photos: Sequence[Prepared], title: str = "", seed: int = 0, epochs: int = EPOCHS
) -> dict[str, Tensor]:
    """The trained parameters: running mean of the weights, by name."""
    network = fresh_network(seed)
    running = InTraining(network.to(memory_format=torch.channels_last)).train()
    trained = dict(network.trained_parameters())
    for parameter in trained.values():
        parameter.requires_grad_(True)
    mean = {name: parameter.detach().clone() for name, parameter in trained.items()}
    stages = [p for name, p in trained.items() if name.startswith("stages")]
    heads = [p for name, p in trained.items() if not name.startswith("stages")]
    rates = STAGE_RATE, HEAD_RATE
    groups = [{"params": group, "lr": rate} for group, rate in zip((stages, heads), rates, strict=True)]
    optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99))
    pictures, steps = Pictures(photos), epochs * PICTURES // BATCH
    started, sums = time.monotonic(), np.zeros(4)

    def drawn(step: int) -> list[Picture]:
        return pictures.batch(BATCH, np.random.default_rng([seed, step]))

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(drawn, 0)
        for step in range(steps):
            batch, coming = coming.result(), pool.submit(drawn, step + 1)
            warmth = min(1.0, (step + 1) / WARM_UP) * (0.51 + 0.49 * math.cos(math.pi * step / steps))
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * warmth
            sight = running(as_tensor(np.stack([picture.pixels for picture in batch])))
            each = torch.stack(losses(sight, targets_of(batch)))
            optimiser.zero_grad()
            torch.autograd.backward((each * torch.tensor(WEIGHTS_OF_LOSSES)).sum())
            nn.utils.clip_grad_norm_(trained.values(), 5.0)
            optimiser.step()
            with torch.no_grad():
                for name, parameter in trained.items():
                    mean[name].lerp_(parameter, 1 - min(KEPT, (1 + step) / (10 + step)))
            sums += each.detach().numpy()
            if (step + 1) % (PICTURES // BATCH) == 0:
                epoch, means = (step + 1) // (PICTURES // BATCH), sums / (PICTURES // BATCH)
                told = " ".join(f"{value:.3f}" for value in means)
                print(
                    f"{title}: epoch {epoch} of {epochs}, {time.monotonic() - started:.0f} s: {told}",
                    flush=True,
                )
                sums[:] = 0
    return mean


def _bell(at: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    spread = max((high - low) / 6, 0.4 * CELL)
    return np.asarray(np.exp(-(((at - (low + high) / 2) / spread) ** 2) / 2))


def _share(at: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.asarray((np.minimum(at + CELL / 2, high) - np.maximum(at - CELL / 2, low)).clip(0, CELL) / CELL)


def _area(box: Edges) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def as_weights(parameters: Mapping[str, Tensor], measure: NDArray[np.float32]) -> LiteWeights:
    """A weights file whose probabilities are not yet fitted."""
    network = {name: value.contiguous().numpy().astype(np.float16) for name, value in parameters.items()}
    return LiteWeights(network, measure, UNFITTED, 0.5)


def answers_of(weights: LiteWeights, photos: Sequence[LabelledPhoto]) -> list[Answer]:
    """What a network says of photos, rounded to float16 as it is kept."""
    detector = LiteDetector(load_network(weights), weights)
    with one_torch_thread():
        return [Answer(photo, detector.look(photo.pixels())) for photo in photos]


def judged(weights: LiteWeights, answers: Sequence[Answer]) -> LiteWeights:
    """The weights with their probabilities and `--conf` fitted on answers about photos that were not seen."""
    judgement = fit_judgement(answers)
    return replace(weights, judgement=judgement, conf=default_conf(judgement, answers))


def write(weights: LiteWeights, path: Path) -> str:
    """Write a weights file; returns its SHA-256."""
    content = weights.to_bytes()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _one_training(
    prepared: Sequence[Prepared], left_out: NDArray[np.bool_], title: str, epochs: int
) -> dict[str, Tensor]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    used = [photo for photo, out in zip(prepared, left_out, strict=True) if not out]
    return train(used, title, epochs=epochs)


def main() -> None:
    """Cross-validate, train on everything, write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--folds", type=int, default=4, help="number of folds  [default: 4]")
    parser.add_argument(
        "--out-folds", type=Path, default=Path("lite-folds"), help="where the folds' files go"
    )
    parser.add_argument(
        "--out", type=Path, default=SHIPPED, help="where the weights go  [default: the package]"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at a time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    photos = read_sets(arguments.folders)
    fold_of = folds(photos, arguments.folds)
    titles = [*(f"fold {fold}" for fold in range(arguments.folds)), "all"]
    left_out = [fold_of == fold for fold in range(arguments.folds)] + [np.zeros(len(photos), bool)]
    prepared = [prepare(photo) for photo in photos]
    # Forked, so that the photos are in memory once.
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        trainings = [
            pool.submit(_one_training, prepared, out, title, arguments.epochs)
            for out, title in zip(left_out, titles, strict=True)
        ]
        trained = [training.result() for training in trainings]
    seen = LiteNetwork(load_imagenet()).eval()
    fuse_activations(seen)
    sums = [moments_of_photo(seen, photo, i) if photo.box else None for i, photo in enumerate(photos)]
    unjudged = [
        as_weights(parameters, solve(total([m for m, out in zip(sums, outs, strict=True) if not out])))
        for parameters, outs in zip(trained, left_out, strict=True)
    ]
    answers = [
        answers_of(weights, [photo for photo, out in zip(photos, outs, strict=True) if out])
        for weights, outs in zip(unjudged[:-1], left_out, strict=False)
    ]
    finish(photos, fold_of, unjudged, answers, arguments.out_folds, arguments.out)


def finish(
    photos: Sequence[LabelledPhoto],
    fold_of: NDArray[np.intp],
    unjudged: Sequence[LiteWeights],
    answers: Sequence[Sequence[Answer]],
    folds_folder: Path,
    out: Path,
) -> None:
    """Fit the probabilities, and write the file of each fold and that of all photos.

    Args:
        photos: all photos.
        fold_of: (N,) fold of each.
        unjudged: weights of each fold, then those of all photos.
        answers: of each fold's weights, about the photos of the fold.
        folds_folder: where the folds' files go.
        out: where the weights go.
    """
    folds_folder.mkdir(parents=True, exist_ok=True)
    named = {photo.key: int(fold) for photo, fold in zip(photos, fold_of, strict=True)}
    (folds_folder / "folds.json").write_text(json.dumps(named, indent=0))
    for fold, weights in enumerate(unjudged[:-1]):
        # Fitted on the other folds: nothing of this file has seen this fold.
        others = [answer for other, each in enumerate(answers) if other != fold for answer in each]
        write(judged(weights, others), folds_folder / f"fold-{fold}.safetensors")
    sources = len({photo.source for photo in photos})
    animals = sum(photo.box is not None for photo in photos)
    about = {
        "trained on": f"{animals} photos with and {len(photos) - animals} without animals, {sources} sources"
    }
    final = judged(unjudged[-1], [answer for each in answers for answer in each])
    digest = write(replace(final, about=about), out)
    print(f"{out}: sha256 {digest}; put it into detic_crop/detectors/lite/weights.py")


if __name__ == "__main__":
    main()
