"""Train a network that tells individuals apart, on an export of crops: ArcFace with GeM pooling, in PyTorch.

    detic-crop split cropped --folds 5
    detic-crop export cropped --to imagefolder --out exported
    python examples/train_arcface.py exported --fold 0 --epochs 20 --pretrained

It is a beginning, not a winning solution. ArcFace is from Deng, Guo, Xue and Zafeiriou, "ArcFace: Additive
Angular Margin Loss for Deep Face Recognition", CVPR 2019 (arXiv:1801.07698). GeM pooling is from Radenović,
Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018 (arXiv:1711.02512).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import cast

import timm
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

Transform = Callable[[Image.Image], Tensor]


class Crops(Dataset[tuple[Tensor, int]]):
    """Crops of an export, with the number of the individual: (RGB float32 (3, S, S), int).

    Args:
        folder: what ``detic-crop export --to imagefolder`` wrote.
        rows: lines of its metadata.jsonl; the folder of `file_name` is the individual.
        classes: individual → number; -1 for others.
        transform: makes of a picture what the network takes.
    """

    def __init__(
        self, folder: Path, rows: list[dict[str, str]], classes: dict[str, int], transform: Transform
    ) -> None:
        self.folder, self.rows, self.classes, self.transform = folder, rows, classes, transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        name = self.rows[index]["file_name"]
        with Image.open(self.folder / name) as crop:
            pixels = self.transform(crop.convert("RGB"))
        return pixels, self.classes.get(individual_of(name), -1)


def individual_of(file_name: str) -> str:
    """Return the class folder of a picture."""
    return file_name.partition("/")[0]


class GeM(nn.Module):
    """Generalised mean of each channel: p = 1 is the average, a large p the maximum; p is learnt.

    Equation 3 of Radenović et al. 2018. (N, C, H, W) → (N, C).
    """

    def __init__(self, p: float = 3.0, least: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.least = least  # a power of zero has no gradient

    def forward(self, features: Tensor) -> Tensor:
        return features.clamp(min=self.least).pow(self.p).mean(dim=(2, 3)).pow(1 / self.p)


class Embedder(nn.Module):
    """Pictures to embeddings: (N, 3, S, S) → (N, D)."""

    def __init__(self, backbone: str, pretrained: bool, dimensions: int = 512) -> None:
        super().__init__()
        self.backbone = timm.create_model(backbone, pretrained=pretrained, num_classes=0, global_pool="")
        self.pool = GeM()
        self.neck = nn.Sequential(
            nn.Linear(cast(int, self.backbone.num_features), dimensions), nn.BatchNorm1d(dimensions)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        embeddings: Tensor = self.neck(self.pool(self.backbone(pictures)))
        return embeddings


class ArcFace(nn.Module):
    """Cosines between embeddings and classes, with a margin added to the angle of the true class.

    Equation 3 of Deng et al. 2019: s · cos(θ + m) for the true class, s · cos θ for the others. Of whales
    there are few photos for each individual, so margin and scale are lower here than for faces (0.5 and 64).
    """

    def __init__(self, dimensions: int, classes: int, scale: float = 30.0, margin: float = 0.3) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, dimensions)))
        self.scale, self.margin = scale, margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = functional.linear(functional.normalize(embeddings), functional.normalize(self.weight))
        angles = cosines.float().clamp(-1 + 1e-6, 1 - 1e-6).acos()  # at ±1 the gradient has no end
        is_true = functional.one_hot(labels, len(self.weight)).bool()
        with_margin = (angles + self.margin).clamp(max=math.pi)  # beyond, the cosine would rise again
        return self.scale * torch.where(is_true, with_margin, angles).cos()


def transforms(size: int) -> tuple[Transform, Transform]:
    """Return what is done with a picture in training, and otherwise.

    No flip: the left side of a dorsal fin is another pattern than the right one.
    """
    varied = create_transform(
        size, is_training=True, scale=(0.7, 1.0), ratio=(0.9, 1.1), hflip=0.0, color_jitter=0.2
    )
    return varied, create_transform(size, crop_pct=1.0, crop_mode="squash")


@torch.inference_mode()
def embed(model: Embedder, batches: Iterable[tuple[Tensor, Tensor]], device: str) -> tuple[Tensor, Tensor]:
    """Return embeddings of length one (N, D), and the labels (N,)."""
    model.eval()
    found = [(functional.normalize(model(pictures.to(device))).cpu(), labels) for pictures, labels in batches]
    return torch.cat([embeddings for embeddings, _ in found]), torch.cat([labels for _, labels in found])


def precision_at_5(known: Tensor, names: Tensor, asked: Tensor, answers: Tensor) -> float:
    """Return MAP@5, the measure of the Happywhale competition, of the photos whose individual is known.

    Each photo is answered by the five individuals with the most similar known photo; the right one counts
    1, 1/2 … 1/5 by its place.

    Args:
        known: (N, D) embeddings of known photos, of length one.
        names: (N,) their individuals.
        asked: (M, D) embeddings of other photos.
        answers: (M,) their individuals; -1 if that is none of the known ones.
    """
    scores = []
    for embedding, answer in zip(asked, answers.tolist(), strict=True):
        if answer >= 0:
            nearest = names[(known @ embedding).argsort(descending=True)].tolist()
            guesses = list(dict.fromkeys(nearest))[:5]
            scores.append(1 / (guesses.index(answer) + 1) if answer in guesses else 0.0)
    return sum(scores) / len(scores) if scores else math.nan


def main() -> None:
    """Train on all folds but one, and measure on that one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("exported", type=Path, help="what detic-crop export --to imagefolder wrote")
    parser.add_argument("--fold", type=int, default=0, help="the fold to measure on")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, help="most steps of an epoch, for a trial")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="side of the pictures, pixels")
    parser.add_argument("--backbone", default="resnet18", help="any network of timm that gives feature maps")
    parser.add_argument("--pretrained", action="store_true", help="download its weights of ImageNet")
    parser.add_argument("--workers", type=int, default=2, help="processes that load pictures")
    parser.add_argument("--out", type=Path, help="where the weights go, e.g. model.pt")
    given = parser.parse_args()

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lines = (given.exported / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    if "fold" not in rows[0]:
        parser.error("the export has no folds: run detic-crop split CROPPED first, then export again")
    train = [row for row in rows if row["fold"] not in (given.fold, -1)]  # -1: held out of all folds
    held = [row for row in rows if row["fold"] == given.fold]
    if not train or not held:
        parser.error(
            f"fold {given.fold} leaves {len(train)} photos to train on and {len(held)} to measure on"
        )
    names = sorted({individual_of(row["file_name"]) for row in train})
    classes = {name: number for number, name in enumerate(names)}
    varied, plain = transforms(given.size)

    def batches(
        rows: list[dict[str, str]], transform: Transform, shuffle: bool
    ) -> DataLoader[tuple[Tensor, int]]:
        crops = Crops(given.exported, rows, classes, transform)
        # A batch of one has no variance to normalise by.
        drop_last = shuffle and len(rows) % given.batch_size == 1
        return DataLoader(crops, given.batch_size, shuffle, num_workers=given.workers, drop_last=drop_last)

    model = Embedder(given.backbone, given.pretrained).to(device)
    head = ArcFace(512, len(classes)).to(device)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=3e-4, weight_decay=1e-4)
    print(f"{len(train)} photos of {len(classes)} individuals to train on, {len(held)} in fold {given.fold}")
    for epoch in range(given.epochs):
        model.train()
        losses = []
        for pictures, labels in islice(batches(train, varied, shuffle=True), given.steps):
            logits = head(model(pictures.to(device)), labels.to(device))
            loss = functional.cross_entropy(logits, labels.to(device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        known = embed(model, batches(train, plain, shuffle=False), device)
        asked = embed(model, batches(held, plain, shuffle=False), device)
        score = precision_at_5(*known, *asked)
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.3f}, MAP@5 {score:.3f}", flush=True)
    if given.out is not None:
        torch.save({"model": model.state_dict(), "head": head.state_dict(), "classes": names}, given.out)


if __name__ == "__main__":
    main()
