"""A finished run as a PyTorch data set, the way a consumer would write it.

    python examples/crops_dataset.py cropped

With `--labels` the run's audit.csv begins with the label columns; `species` becomes the class index.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

WITHOUT_CROP = ("failed", "rejected")


class Crops(Dataset[tuple[Tensor, int]]):
    """Crops of `folder`: (RGB float32 CHW in [0, 1], index into `species` or -1 where it is unknown)."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        table = pd.read_csv(self.folder / "audit.csv", dtype=str, keep_default_na=False)
        self.table = table[~table["status"].isin(WITHOUT_CROP)].reset_index(drop=True)
        names = self.table["species"] if "species" in self.table else pd.Series("", index=self.table.index)
        self.species = sorted(set(names) - {""})
        self.labels = [self.species.index(name) if name else -1 for name in names]

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.folder / str(self.table["crop"].iloc[index])) as crop:
            pixels = torch.from_numpy(np.array(crop.convert("RGB")))  # (H, W, 3) uint8
        return pixels.permute(2, 0, 1).float() / 255, self.labels[index]


if __name__ == "__main__":
    crops = Crops(sys.argv[1])
    images, labels = next(iter(DataLoader(crops, batch_size=8)))
    print(f"{len(crops)} crops of {len(crops.species)} species")
    print(f"first batch {tuple(images.shape)}, labels {labels.tolist()}")
