"""Where half precision ends: what decides about boxes and scores is computed in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def in_float32(layer: nn.Module, values: Tensor) -> Tensor:
    """Return `layer(values)` computed in float32, also inside an autocast region.

    Eight bits of mantissa would make many scores equal, and the order among equals is chance.
    """
    with torch.autocast(values.device.type, enabled=False):
        result: Tensor = layer(values.float())
    return result
