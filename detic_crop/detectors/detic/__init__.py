"""Detic (Zhou et al. 2022, arXiv 2201.02605) in plain PyTorch: inference from the published checkpoints.

The way through: `preprocess` → `network` (backbone → `pyramid` → `proposals` → `cascade` → `select`) →
`detector`. `build` knows the four published models, `checkpoint` their files.
"""

from __future__ import annotations

from detic_crop.detectors.detic.build import VARIANTS
from detic_crop.detectors.detic.detector import DeticDetector

__all__ = ["VARIANTS", "DeticDetector"]
