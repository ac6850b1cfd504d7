"""A Swin block for CPUs: what `swin.SwinBlock` computes, up to rounding, with less moved and less multiplied.

Tokens stay rows of one matrix. Queries, keys and values are computed before the map is cut into windows, so
that padding costs no products (its rows are the bias), and one gather does the work of padding, shift and
cut. Windows are gathered in order of what they may see (in the middle, at the right edge, at the lower edge,
in the corner), so that each of the four kinds has one sum of position bias and mask, prepared once.

Letters: N tokens, C channels, L tokens of a window, h heads, n windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.detectors.detic.packed import pack
from detic_crop.detectors.detic.swin import SwinBlock, round_up, shift_mask, split_windows

_KINDS = 4
# Tokens per step of the perceptron: its hidden layer, four times as wide, stays in the caches.
_HIDDEN_VALUES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class WindowOrder:
    """Where the tokens of the windows are in a map.

    Attributes:
        gather: (n·L,) int64 row of the map for each token of each window; 0 for padding.
        padding: which of these are padding, int64.
        scatter: (N,) int64, where each token of the map is among the windows.
        counts: windows of each kind, in this order.
    """

    gather: Tensor
    padding: Tensor
    scatter: Tensor
    counts: tuple[int, ...]


# Photos of a few cameras have few sizes; an order takes some 0.5 MB.
@lru_cache(maxsize=64)
def window_order(height: int, width: int, window: int, shift: int) -> WindowOrder:
    """Return the order for a map of `height` × `width` tokens."""
    rows, columns = round_up(height, window), round_up(width, window)
    places = torch.full((rows, columns), -1, device="cpu")
    places[:height, :width] = torch.arange(height * width, device="cpu").view(height, width)
    places = places.roll((-shift, -shift), dims=(0, 1))
    windows = split_windows(places[None, :, :, None], window)[..., 0]  # (n, L)
    down, across = rows // window, columns // window
    kinds = torch.zeros(down, across, dtype=torch.int64, device="cpu")
    if shift:
        kinds[:, -1] += 1
        kinds[-1] += 2
    order = kinds.flatten().argsort(stable=True)
    flat = windows[order].flatten()
    there = (flat >= 0).nonzero()[:, 0]
    scatter = torch.empty(height * width, dtype=torch.int64, device="cpu")
    scatter[flat[there]] = there
    counts = tuple(int((kinds == kind).sum()) for kind in range(_KINDS))
    return WindowOrder(flat.clamp(min=0), (flat < 0).nonzero()[:, 0], scatter, counts)


class FastSwinBlock(nn.Module):
    """The same answers as `block`, whose weights it takes over."""

    def __init__(self, block: SwinBlock) -> None:
        super().__init__()
        attention = block.attn
        self.window, self.shift, self.heads = block.window, block.shift, attention.heads
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.qkv, self.proj = pack(attention.qkv), pack(attention.proj)
        self.fc1, self.fc2 = pack(block.mlp.fc1, gelu=True), pack(block.mlp.fc2)
        self.padding_row: Tensor
        self.masks: Tensor
        self.register_buffer("padding_row", attention.qkv.bias.detach())
        bias = attention.position_bias[attention.position_index].permute(2, 0, 1)  # (h, L, L)
        seen = kind_masks(self.window, self.shift)[:, None] + bias if self.shift else bias[None]
        self.register_buffer("masks", seen.detach().contiguous())  # (kinds, h, L, L)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, H, W, C) of (B, H, W, C); `mask` is not used."""
        return (
            torch.stack([self._one(image) for image in tokens])
            if len(tokens) > 1
            else self._one(tokens[0])[None]
        )

    def _one(self, tokens: Tensor) -> Tensor:
        height, width, channels = tokens.shape
        order = window_order(height, width, self.window, self.shift)
        rows = tokens.reshape(-1, channels)  # (N, C)
        windows = self.qkv(self.norm1(rows)).index_select(0, order.gather)  # (n·L, 3C)
        windows[order.padding] = self.padding_row
        mixed = self._attend(windows, order.counts).index_select(0, order.scatter)  # (N, C)
        rows = self.proj(mixed, rows)
        step = max(1, _HIDDEN_VALUES // (4 * channels))
        for some in torch.split(rows, step):
            some.copy_(self.fc2(self.fc1(self.norm2(some)), some))
        result: Tensor = rows.view(height, width, channels)
        return result

    def _attend(self, windows: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Return (n·L, C) of (n·L, 3C)."""
        length = self.window**2
        parts = windows.view(-1, length, 3, self.heads, windows.shape[1] // (3 * self.heads))
        answers: list[Tensor] = []
        kinds = torch.split(parts, list(counts[: len(self.masks)]))
        for mask, some in zip(self.masks, kinds, strict=True):
            query, key, value = some.permute(2, 0, 3, 1, 4)  # (n, h, L, C/h) each
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[None])
            answers.append(mixed.transpose(1, 2))
        return torch.cat(answers).reshape(len(windows), -1)


def kind_masks(window: int, shift: int) -> Tensor:
    """Return (4, L, L): the mask in the middle, at the right edge, at the lower edge, in the corner."""
    middle, right, lower, corner = shift_mask((2 * window, 2 * window), window, shift)
    return torch.stack([middle, right, lower, corner])
