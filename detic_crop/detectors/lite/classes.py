"""What ImageNet's own classes say: is this a marine mammal or one of a thousand other things?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MARINE_MAMMALS = (147, 148, 149, 150)  # ImageNet: grey whale, killer whale, dugong, sea lion
TOP_SHARE = 0.1  # of the cells: a small animal in a large sea counts as well as a large one


def margin(logits: Tensor) -> float:
    """Return the log-odds of ImageNet's marine mammals against its 996 other classes, including sharks.

    Per cell log Σ exp(their logits) − log Σ exp(the others'); of these the mean over all cells and the
    mean over the highest tenth, averaged.

    Args:
        logits: (h, w, 1000) of one picture.
    """
    each = logits.flatten(0, 1)  # (cells, 1000)
    marine = torch.zeros(each.shape[1], dtype=torch.bool, device=each.device)
    marine[list(MARINE_MAMMALS)] = True
    margins = each[:, marine].logsumexp(1) - each[:, ~marine].logsumexp(1)  # (cells,)
    cells = np.sort(margins.cpu().numpy().astype(np.float64))
    top = cells[-max(1, int(len(cells) * TOP_SHARE)) :]
    return float(cells.mean() + top.mean()) / 2
