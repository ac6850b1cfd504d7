"""A Swin block for CPUs: what `swin.SwinBlock` computes, up to rounding, with less moved and less multiplied.

Windows do not see each other, so a block goes through the map in pieces of a few windows, from the first
normalisation to the last shortcut, and what it makes on the way stays in the caches: tensors of 60 to 120 MB
cost more for their memory pages than for their numbers. A piece gathers its tokens, which does the work of
shift and cut. Padding is put in after queries, keys and values, so that it costs no products (its rows are
the bias). Windows are gathered in order of what they may see (in the middle, at the right edge, at the lower
edge, in the corner), so that each of the four kinds has one sum of position bias and mask, prepared once.

With products in bfloat16 the tokens, the normalisations and the attention's weights stay float32: that costs
3 % of the time, and the rounding of 24 blocks does not add up.

Letters: N tokens, C channels, L tokens of a window, h heads, n windows, r tokens of a piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.detectors.detic.packed import pack
from detic_crop.detectors.detic.swin import SwinBlock, round_up, shift_mask, split_windows

_KINDS = 4
# What the hidden layer of the perceptron, four times as wide as a token, may take in a piece.
_HIDDEN_BYTES = 2**23
# PyTorch moves numbers one by one: eight of bfloat16 as one of 16 bytes take a fifth of the time.
_WIDE = torch.complex128
_FITS = _WIDE.itemsize // torch.bfloat16.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some windows of a map, and where their tokens are.

    Attributes:
        tokens: (r,) int64 rows of the map, window after window, without padding.
        slots: (r,) int64, where each of them is among the piece's n·L rows of windows.
        gather: (n·L,) int64 row of `tokens` for each row of the windows, 0 for padding; None without any.
        padding: which rows of the windows are padding, int64.
        kinds: kind and number of the windows, in their order.
    """

    tokens: Tensor
    slots: Tensor
    gather: Tensor | None
    padding: Tensor
    kinds: tuple[tuple[int, int], ...]


# Photos of a few cameras have few sizes; the pieces of one take some 0.5 MB.
@lru_cache(maxsize=64)
def window_pieces(height: int, width: int, window: int, shift: int, most: int) -> tuple[Piece, ...]:
    """Return a map of `height` × `width` tokens in pieces of about `most` windows."""
    rows, columns = round_up(height, window), round_up(width, window)
    places = torch.full((rows, columns), -1, device="cpu")
    places[:height, :width] = torch.arange(height * width, device="cpu").view(height, width)
    places = places.roll((-shift, -shift), dims=(0, 1))
    windows = split_windows(places[None, :, :, None], window)[..., 0]  # (n, L), -1 for padding
    down, across = rows // window, columns // window
    kinds = torch.zeros(down, across, dtype=torch.int64, device="cpu")
    if shift:
        kinds[:, -1] += 1
        kinds[-1] += 2
    order = kinds.flatten().argsort(stable=True)
    windows, sorted_kinds = windows[order], kinds.flatten()[order]
    pieces = max(1, round(len(windows) / most))
    return tuple(
        _piece(some.flatten(), kind)
        for some, kind in zip(windows.tensor_split(pieces), sorted_kinds.tensor_split(pieces), strict=True)
    )


def _piece(places: Tensor, kinds: Tensor) -> Piece:
    """Return the piece of (n·L,) places in the map, -1 for padding, and the (n,) kinds of its windows."""
    there = places >= 0
    slots, padding = there.nonzero()[:, 0], (~there).nonzero()[:, 0]
    gather = (there.cumsum(0) - 1).where(there, 0) if len(padding) else None
    in_order = tuple((kind, len(list(some))) for kind, some in groupby(kinds.tolist()))
    return Piece(places[slots], slots, gather, padding, in_order)


class FastSwinBlock(nn.Module):
    """The same answers as `block`, whose weights it takes over.

    Args:
        block: float32, on a CPU.
        dtype: number format of the products.
    """

    def __init__(self, block: SwinBlock, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        attention = block.attn
        self.window, self.shift, self.heads = block.window, block.shift, attention.heads
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.qkv, self.proj = pack(attention.qkv, dtype=dtype), pack(attention.proj, dtype=dtype)
        self.fc1, self.fc2 = pack(block.mlp.fc1, True, dtype), pack(block.mlp.fc2, dtype=dtype)
        self.padding_row: Tensor
        self.masks: Tensor
        self.register_buffer("padding_row", attention.qkv.bias.detach().to(dtype))
        bias = attention.position_bias[attention.position_index].permute(2, 0, 1)  # (h, L, L)
        seen = kind_masks(self.window, self.shift)[:, None] + bias if self.shift else bias[None]
        self.register_buffer("masks", seen.detach().float().contiguous())  # (kinds, h, L, L)
        hidden_row = block.mlp.fc1.out_features * dtype.itemsize
        self._windows_a_piece = max(1, _HIDDEN_BYTES // (hidden_row * self.window**2))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, H, W, C) float32 of (B, H, W, C); `mask` is not used."""
        _, height, width, channels = tokens.shape
        result = tokens.new_empty(tokens.shape, dtype=torch.float32)
        pieces = window_pieces(height, width, self.window, self.shift, self._windows_a_piece)
        for image, answer in zip(tokens, result, strict=True):
            rows, answers = image.reshape(-1, channels), answer.view(-1, channels)
            for piece in pieces:
                some = self._one(rows.index_select(0, piece.tokens).float(), piece)
                answers.index_copy_(0, piece.tokens, some)
        return result

    def _one(self, tokens: Tensor, piece: Piece) -> Tensor:
        """Return the (r, C) tokens of a piece after the block."""
        windows = self.qkv(self.norm1(tokens))  # (r, 3C)
        if piece.gather is not None:
            windows = windows.index_select(0, piece.gather)  # (n·L, 3C)
            windows[piece.padding] = self.padding_row
        mixed = self._attend(windows, piece.kinds)  # (n·L, C)
        if piece.gather is not None:
            mixed = mixed.index_select(0, piece.slots)
        tokens = self.proj(mixed, tokens)  # (r, C)
        result: Tensor = self.fc2(self.fc1(self.norm2(tokens)), tokens)
        return result

    def _attend(self, windows: Tensor, kinds: tuple[tuple[int, int], ...]) -> Tensor:
        """Return (n·L, C) of (n·L, 3C)."""
        attend = self._fused if windows.dtype == torch.float32 else self._spelt_out
        return attend(windows, kinds).transpose(1, 2).reshape(len(windows), -1)

    def _split(self, windows: Tensor) -> Tensor:
        """Return queries, keys and values, (3, n, h, L, C/h), a view of (n·L, 3C)."""
        parts = windows.view(-1, self.window**2, 3, self.heads, windows.shape[1] // (3 * self.heads))
        return parts.permute(2, 0, 3, 1, 4)

    def _fused(self, windows: Tensor, kinds: tuple[tuple[int, int], ...]) -> Tensor:
        """Return (n, h, L, C/h): PyTorch's operator, which is the faster one in float32."""
        answers: list[Tensor] = []
        counts = [count for _, count in kinds]
        for (kind, count), some in zip(kinds, torch.split(self._split(windows), counts, 1), strict=True):
            query, key, value = some
            mask = self.masks[kind].expand(count, -1, -1, -1)
            answers.append(functional.scaled_dot_product_attention(query, key, value, attn_mask=mask))
        return torch.cat(answers) if len(answers) > 1 else answers[0]

    def _spelt_out(self, windows: Tensor, kinds: tuple[tuple[int, int], ...]) -> Tensor:
        """Return (n, h, L, C/h): twice as fast as PyTorch's operator in bfloat16, whose softmax is slow."""
        wide = windows.view(_WIDE) if windows.shape[1] % (3 * self.heads * _FITS) == 0 else windows
        query, key, value = self._split(wide).contiguous().view(windows.dtype)  # (n, h, L, C/h) each
        count, heads, length, width = value.shape
        scores = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2)).float()  # (n·h, L, L)
        scores *= width**-0.5
        done = 0
        for kind, many in kinds:
            scores.view(count, heads, length, length)[done : done + many] += self.masks[kind]
            done += many
        mixed = torch.bmm(scores.softmax(-1).to(value.dtype), value.flatten(0, 1))
        return mixed.view(count, heads, length, width)


def kind_masks(window: int, shift: int) -> Tensor:
    """Return (4, L, L): the mask in the middle, at the right edge, at the lower edge, in the corner."""
    middle, right, lower, corner = shift_mask((2 * window, 2 * window), window, shift)
    return torch.stack([middle, right, lower, corner])
