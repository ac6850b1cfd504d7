"""The Swin transformer as a detection backbone (Liu et al. 2021, arXiv 2103.14030), inference only.

Own code instead of timm's, because the published Detic checkpoints were trained with three habits that timm
does not share: a map that is not a multiple of the window is padded before the cyclic shift and not after it;
patches are merged at the end of a stage, after its map has been handed out; and every map handed out has a
normalisation of its own.

Letters: B batch, H W rows and columns of tokens, C channels, M window side, L = M², h heads, n windows of one
image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# Added to the attention between tokens that are not neighbours in the photo. Finite, as in training.
_FAR_APART = -100.0
_MLP_RATIO = 4


class SwinBackbone(nn.Module):
    """Pixels → the maps of the last three of four stages, of strides 8, 16 and 32.

    Args:
        width: channels of the first stage; each following one has twice as many.
        depths: blocks per stage.
        heads: attention heads per stage.
        window: side of an attention window in tokens.
    """

    def __init__(self, width: int, depths: Sequence[int], heads: Sequence[int], window: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(len(depths))]
        last = len(depths) - 1
        self.patch_embed = PatchEmbedding(width)
        self.layers = nn.ModuleList(
            SwinStage(widths[i], depths[i], heads[i], window, merge=i < last) for i in range(len(depths))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in widths[1:])

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return three (B, C, H, W) maps, finest first, of (B, 3, 32a, 32b) normalised pixels."""
        tokens: Tensor = self.patch_embed(pixels)  # (B, H, W, C)
        maps: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            tokens, merged = layer(tokens)
            if i > 0:
                maps.append(self.norms[i - 1](tokens).permute(0, 3, 1, 2).contiguous())  # (B, C, H, W)
            tokens = merged
        return maps


class PatchEmbedding(nn.Module):
    """Each patch of 4×4 pixels becomes one token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=4, stride=4)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens: Tensor = self.norm(self.proj(pixels).permute(0, 2, 3, 1))  # (B, H/4, W/4, C)
        return tokens


class SwinStage(nn.Module):
    """Blocks at one resolution, every second one with shifted windows; then, if asked, patch merging."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, merge: bool) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            SwinBlock(channels, heads, window, shift=window // 2 if i % 2 else 0) for i in range(depth)
        )
        self.downsample = PatchMerging(channels) if merge else None

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, H, W, C) after the blocks, and what the next stage starts from."""
        _, height, width, _ = tokens.shape
        padded = round_up(height, self.window), round_up(width, self.window)
        mask = shift_mask(padded, self.window, self.window // 2).to(tokens.device)  # (n, L, L)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens, tokens if self.downsample is None else self.downsample(tokens)


class SwinBlock(nn.Module):
    """Window attention and a perceptron, each after a normalisation and with a shortcut around it (eq. 3)."""

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Perceptron(channels)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        tokens = tokens + self._attend(self.norm1(tokens), mask)
        result: Tensor = tokens + self.mlp(self.norm2(tokens))  # (B, H, W, C)
        return result

    def _attend(self, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, height, width, _ = tokens.shape
        rows, columns = round_up(height, self.window), round_up(width, self.window)
        grid = functional.pad(tokens, (0, 0, 0, columns - width, 0, rows - height))
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = split_windows(grid, self.window)  # (B·n, L, C)
        windows = self.attn(windows, mask if self.shift else None)
        grid = join_windows(windows, (batch, rows, columns), self.window)
        if self.shift:
            grid = grid.roll((self.shift, self.shift), dims=(1, 2))
        return grid[:, :height, :width]


class WindowAttention(nn.Module):
    """Multi-head self-attention within a window, with a bias for every relative position (sec. 3.2)."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.position_index: Tensor
        self.register_buffer("position_index", relative_positions(window), persistent=False)  # (L, L)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B·n, L, C) of (B·n, L, C) tokens and an (n, L, L) mask."""
        count, length, channels = windows.shape
        qkv = self.qkv(windows).view(count, length, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B·n, h, L, C/h) each
        # Spelt out, and not scaled_dot_product_attention, which rounds otherwise: this way the boxes are the
        # reference's to the bit on a CPU, and it costs 5 % more.
        attention = (query * (channels // self.heads) ** -0.5) @ key.transpose(-2, -1)  # (B·n, h, L, L)
        attention = attention + self.position_bias[self.position_index].permute(2, 0, 1)
        if mask is not None:
            attention = attention.unflatten(0, (-1, len(mask))) + mask[:, None]  # (B, n, h, L, L)
            attention = attention.flatten(0, 1)
        mixed = attention.softmax(-1).to(value.dtype) @ value  # (B·n, h, L, C/h)
        result: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, channels))
        return result


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, _MLP_RATIO * channels)
        self.fc2 = nn.Linear(_MLP_RATIO * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result


class PatchMerging(nn.Module):
    """Each square of 2×2 tokens becomes one of twice the channels; odd maps get a row or column of zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        _, height, width, _ = tokens.shape
        tokens = functional.pad(tokens, (0, 0, 0, width % 2, 0, height % 2))
        # Down each column first: the order of the four in the weights.
        squares = torch.cat(
            [tokens[:, y::2, x::2] for x in (0, 1) for y in (0, 1)], dim=-1
        )  # (B, H/2, W/2, 4C)
        result: Tensor = self.reduction(self.norm(squares))  # (B, H/2, W/2, 2C)
        return result


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not below `length`."""
    return -(-length // multiple) * multiple


def split_windows(grid: Tensor, window: int) -> Tensor:
    """Return (B·n, L, C), windows row by row, of (B, H, W, C); H and W are multiples of the window."""
    batch, height, width, channels = grid.shape
    grid = grid.view(batch, height // window, window, width // window, window, channels)
    return grid.transpose(2, 3).reshape(-1, window * window, channels)


def join_windows(windows: Tensor, size: tuple[int, int, int], window: int) -> Tensor:
    """Return the inverse of `split_windows`; `size` is (B, H, W)."""
    batch, height, width = size
    grid = windows.view(batch, height // window, width // window, window, window, -1)
    return grid.transpose(2, 3).reshape(batch, height, width, -1)


def relative_positions(window: int) -> Tensor:
    """Return the (L, L) rows of the bias table by pairs of tokens: (Δy + M − 1)(2M − 1) + (Δx + M − 1)."""
    place = torch.arange(window * window, device="cpu")
    y, x = place // window, place % window
    apart_y = y[:, None] - y[None, :] + window - 1
    apart_x = x[:, None] - x[None, :] + window - 1
    return apart_y * (2 * window - 1) + apart_x


def shift_mask(size_hw: tuple[int, int], window: int, shift: int) -> Tensor:
    """Return what to add to the attention in shifted windows (fig. 4 of the paper).

    After the cyclic shift the last row and column of windows hold tokens from opposite edges of the map;
    these must not see each other.

    Returns:
        (n, L, L) float32, 0 where two tokens may attend to each other.
    """
    height, width = size_hw
    # Along each axis: 0 before the last window, 1 in it, 2 for what the shift has carried round to its end.
    rows, columns = torch.arange(height, device="cpu"), torch.arange(width, device="cpu")
    row_part = (rows >= height - window).int() + (rows >= height - shift).int()
    column_part = (columns >= width - window).int() + (columns >= width - shift).int()
    part = row_part[:, None] * 3 + column_part[None, :]  # (H, W)
    parts = split_windows(part[None, :, :, None], window)[..., 0]  # (n, L)
    return (parts[:, :, None] != parts[:, None, :]).float() * _FAR_APART
