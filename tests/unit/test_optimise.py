"""The fast form of Detic's network against the plain one, part by part and as a whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.config import Precision
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.detic import detector as detector_module
from detic_crop.detectors.detic import fused, packed, processor, resnet_fast, swin_fast, winograd
from detic_crop.detectors.detic import optimise as optimise_module
from detic_crop.detectors.detic.build import VARIANTS
from detic_crop.detectors.detic.detector import DeticDetector
from detic_crop.detectors.detic.fused import FusedConv2d, PlainConv2d, can_fuse
from detic_crop.detectors.detic.head_fast import FastProposalHead
from detic_crop.detectors.detic.optimise import fold_norms, optimise, store_as
from detic_crop.detectors.detic.packed import PackedLinear, PlainLinear, can_pack, pack
from detic_crop.detectors.detic.proposals import ProposalHead
from detic_crop.detectors.detic.resnet_fast import FastStem, make_resnet_fast
from detic_crop.detectors.detic.select import Found
from detic_crop.detectors.detic.swin import SwinBlock, round_up, shift_mask
from detic_crop.detectors.detic.swin_fast import FastSwinBlock, window_pieces
from detic_crop.detectors.detic.winograd import (
    BatchedProducts,
    GroupedProducts,
    WinogradConv2d,
    can_group,
    can_replace,
)
from tests.kit.parity_checks import filled_detector
from tests.kit.photos import picture

pytestmark = pytest.mark.slow

# Where values have unit size; float32 has 1e-7, and sums of thousands of products lose two digits.
ROUNDING = 1e-4
# What bfloat16 does to values of unit size: it has eight bits, and a block rounds several times.
EIGHT_BITS = 0.03
R18 = "detic-r18"


@pytest.fixture(scope="module")
def pair() -> tuple[DeticDetector, DeticDetector]:
    """The smallest model made fast, and as it is written, which look at photos at 96 pixels."""
    return filled_detector(R18, detector_size=96), filled_detector(R18, detector_size=96, optimised=False)


@pytest.mark.parametrize("size", [(7, 5), (33, 1000), (1000, 33), (96, 96), (250, 340)])
def test_fast_equals_plain(pair: tuple[DeticDetector, DeticDetector], size: tuple[int, int]) -> None:
    height, width = size
    fast, plain = (detector.detect(picture(1, width, height)) for detector in pair)
    assert len(fast) == len(plain) > 0
    # Edges and not IoU: some boxes of these weights are a fifth of a pixel wide.
    apart = np.abs(fast.xyxy[:, None] - plain.xyxy[None]).max(axis=2)  # (N, N)
    nearest = apart.argmin(axis=1)
    assert apart.min(axis=1).max() < 0.01
    assert sorted(nearest) == list(range(len(plain)))
    np.testing.assert_allclose(fast.scores, plain.scores[nearest], atol=ROUNDING)
    assert [plain.class_names[i] for i in nearest] == list(fast.class_names)


@pytest.mark.parametrize("model", VARIANTS)
def test_fast_features_equal_plain_ones(model: str) -> None:
    """P3–P7 of a map that is no multiple of the windows, in standard deviations of each."""
    network = filled_detector(model, optimised=False).network
    pixels = _noise(1, 3, 96, 160)
    with torch.inference_mode():
        plain = network.features(pixels)
        pairs = list(zip(optimise(network, "cpu").features(pixels), plain, strict=True))
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max() / theirs.std()) < ROUNDING
    assert any(not torch.equal(ours, theirs) for ours, theirs in pairs)  # it was another computation


@pytest.mark.parametrize("model", VARIANTS)
@pytest.mark.parametrize("emulated", [False, True])
def test_bfloat16_features_are_near_plain_ones(
    model: str, emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the form for processors that have its products, if this one has, and in the form for others."""
    network = filled_detector(model, optimised=False).network
    pixels = _noise(1, 3, 96, 160)
    if emulated:
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False, raising=False)
    with torch.inference_mode():
        plain = network.features(pixels)
        optimise(network, "cpu", torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network.features(pixels)
    for ours, theirs in zip(rough, plain, strict=True):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).square().mean().sqrt() / theirs.std()) < EIGHT_BITS


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9), (13, 33), (50, 76)])
@pytest.mark.parametrize("batch", [1, 2])
def test_winograd_equals_convolution(size: tuple[int, int], batch: int) -> None:
    conv = nn.Conv2d(24, 40, 3, padding=1).requires_grad_(False)
    maps = _noise(batch, 24, *size)
    expected = functional.conv2d(maps.double(), conv.weight.double(), conv.bias.double(), padding=1)  # type: ignore[union-attr]
    ours = WinogradConv2d(conv)(maps.contiguous(memory_format=torch.channels_last))
    assert ours.shape == expected.shape
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert float((ours - expected).abs().max()) < ROUNDING / 10


def test_winograd_of_whole_numbers_is_exact_but_for_the_division() -> None:
    """A filter that picks the pixel to the upper left, worked by hand."""
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False).requires_grad_(False)
    conv.weight.zero_()[0, 0, 0, 0] = 1
    maps = torch.arange(30.0).view(1, 1, 5, 6)
    expected = functional.pad(maps, (1, 0, 1, 0))[:, :, :5, :6]
    torch.testing.assert_close(WinogradConv2d(conv)(maps), expected, atol=1e-4, rtol=0)


def test_grouped_products_equal_batched_ones() -> None:
    filters, values = _noise(36, 24, 40), _noise(19, 36, 24)
    expected = torch.einsum("tpc,pck->tpk", values.double(), filters.double()).float()
    kinds = [BatchedProducts, GroupedProducts] if can_group() else [BatchedProducts]
    for kind in kinds:
        torch.testing.assert_close(kind(filters)(values), expected, atol=ROUNDING / 10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_grouped_products_nor_fused_operators(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a PyTorch that lacks oneDNN's operators."""
    monkeypatch.setattr(winograd, "can_group", lambda: False)
    monkeypatch.setattr(packed, "can_pack", lambda dtype: False)
    monkeypatch.setattr(fused, "can_fuse", lambda dtype: False)
    monkeypatch.setattr(optimise_module, "computes_fast", lambda dtype: True)
    for model in VARIANTS:
        network = filled_detector(model, optimised=False).network
        pixels = _noise(1, 3, 64, 96)
        with torch.inference_mode():
            plain = network.features(pixels)
            optimise(network, "cpu", dtype)
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
                ours = network.features(pixels)
        for fast, expected in zip(ours, plain, strict=True):
            apart = (fast - expected) / expected.std()
            assert apart.square().mean().sqrt() < (ROUNDING if dtype == torch.float32 else EIGHT_BITS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("channels", "settings"),
    [
        ((24, 40), {"kernel_size": 1}),
        ((24, 40), {"kernel_size": 1, "stride": 2, "bias": False}),
        ((3, 16), {"kernel_size": 7, "stride": 2, "padding": (0, 3)}),
        ((24, 24), {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 4}),
    ],
)
def test_fused_convolutions_equal_plain_ones(
    channels: tuple[int, int], settings: dict[str, Any], relu: bool, dtype: torch.dtype
) -> None:
    conv = nn.Conv2d(*channels, **settings).requires_grad_(False)
    maps = _noise(2, channels[0], 13, 18)
    expected = conv(maps)  # (2, K, H', W')
    bound = ROUNDING / 10 if dtype == torch.float32 else EIGHT_BITS
    kinds: list[nn.Module] = [PlainConv2d(conv, relu)]
    if can_fuse(dtype):
        kinds.append(FusedConv2d(conv, relu, dtype))
    for kind in kinds:
        shortcut = _noise(*expected.shape).contiguous(memory_format=torch.channels_last)
        both = expected + shortcut
        shortcut = shortcut.to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
            ours = kind(maps), kind(maps, shortcut)
        for result, theirs in zip(ours, (expected, both), strict=True):
            assert result.dtype == dtype
            torch.testing.assert_close(result.float(), theirs.relu() if relu else theirs, atol=bound, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
@pytest.mark.parametrize("size", [(1, 3, 32, 32), (2, 3, 96, 160)])
def test_fast_resnets_equal_plain_ones(
    model: str, size: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resnet_fast, "_STRIP_BYTES", 2**16)  # several strips
    plain = timm.create_model(model, features_only=True, out_indices=(2, 3, 4)).eval().requires_grad_(False)
    fold_norms(plain)
    expected = plain(_noise(*size))
    make_resnet_fast(plain, dtype)
    kinds = [type(module).__name__ for module in plain.modules()]
    assert kinds.count("FastResidualBlock") == (16 if model == "resnet50" else 8)
    assert kinds.count("FastStem") == 1
    pixels = _noise(*size)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        ours = plain(pixels)
    assert torch.equal(pixels, _noise(*size))
    for fast, theirs in zip(ours, expected, strict=True):
        assert fast.shape == theirs.shape
        apart = float((fast - theirs).square().mean().sqrt() / theirs.std())
        assert apart < (ROUNDING / 10 if dtype == torch.float32 else EIGHT_BITS)


def test_a_stem_worked_by_hand() -> None:
    """The middle of the filter alone: every second pixel; of these the greatest of 3×3, at every second."""
    conv = nn.Conv2d(1, 1, 7, 2, 3, bias=False).requires_grad_(False)
    conv.weight.zero_()[0, 0, 3, 3] = 1
    pixels = torch.zeros(1, 1, 8, 8)
    pixels[0, 0, 0, 2], pixels[0, 0, 6, 6], pixels[0, 0, 4, 0], pixels[0, 0, 1, 1] = 5, 3, 4, 9
    assert FastStem(conv)(pixels)[0, 0].tolist() == [[5, 5], [4, 3]]


def test_a_fast_head_equals_the_plain_one() -> None:
    head = ProposalHead(32, levels=2).eval().requires_grad_(False)
    head.scales[1].fill_(2.0)
    pyramid = [_noise(1, 32, 9, 14), _noise(1, 32, 5, 7)]
    expected = head(pyramid)
    for ours, theirs in zip(FastProposalHead(head)(pyramid), expected, strict=True):
        for fast, plain in zip(ours, theirs, strict=True):
            torch.testing.assert_close(fast, plain, atol=ROUNDING / 10, rtol=0)


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"padding": 1}, True),
        ({"padding": 0}, False),
        ({"padding": 1, "stride": 2}, False),
        ({"padding": 2, "dilation": 2}, False),
        ({"padding": 1, "groups": 2}, False),
        ({"padding": 1, "padding_mode": "reflect"}, False),
    ],
)
def test_only_plain_convolutions_are_replaced(settings: dict[str, Any], fits: bool) -> None:
    assert can_replace(nn.Conv2d(128, 128, 3, **settings)) is fits
    assert not can_replace(nn.Conv2d(128, 126, 3, **settings))
    assert not can_replace(nn.Linear(128, 128))


@pytest.mark.parametrize(("capability", "pays"), [("AVX2", False), ("AVX512", True), ("DEFAULT", True)])
def test_the_processor_decides_what_is_packed(
    monkeypatch: pytest.MonkeyPatch, capability: str, pays: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch._C, "has_mkl", True)
    assert isinstance(pack(nn.Linear(3, 3)), PackedLinear) is (pays and can_pack())
    monkeypatch.setattr(torch._C, "has_mkl", False)
    assert isinstance(pack(nn.Linear(3, 3)), PackedLinear) is can_pack()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [PackedLinear, PlainLinear])
@pytest.mark.parametrize("rows", [0, 1, 49, 5000])
def test_packed_layers_equal_linear_ones(kind: type[nn.Module], rows: int, dtype: torch.dtype) -> None:
    if kind is PackedLinear and not can_pack(dtype):
        with pytest.raises((AttributeError, RuntimeError)):
            PackedLinear(nn.Linear(3, 3), dtype=dtype)(_noise(1, 3))
        return
    settings: dict[str, Any] = {"dtype": dtype} if kind is PackedLinear else {}
    linear = nn.Linear(96, 40).requires_grad_(False)
    values, shortcut = _noise(rows, 96), _noise(rows, 40)
    expected = linear(values)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        ours = (
            kind(linear, **settings)(values),
            kind(linear, **settings)(values, shortcut),
            kind(linear, gelu=True, **settings)(values),
        )
    bound = ROUNDING / 10 if dtype == torch.float32 else EIGHT_BITS
    for result, theirs in zip(ours, (expected, expected + shortcut, functional.gelu(expected)), strict=True):
        torch.testing.assert_close(result.float(), theirs, atol=bound, rtol=0)
    assert [result.dtype for result in ours] == [dtype, torch.float32, dtype]  # a shortcut keeps its format


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (7, 8), (20, 13), (14, 28)])
@pytest.mark.parametrize("batch", [1, 2])
def test_fast_windows_equal_plain_ones(
    size: tuple[int, int], shift: int, batch: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swin_fast, "_HIDDEN_BYTES", 2 * 49 * 4 * 32 * dtype.itemsize)  # two windows a piece
    block = SwinBlock(32, heads=4, window=7, shift=shift).requires_grad_(False)
    block.attn.position_bias.normal_(generator=torch.Generator().manual_seed(1))
    tokens = _noise(batch, *size, 32)
    mask = shift_mask((round_up(size[0], 7), round_up(size[1], 7)), 7, 3)
    before = tokens.clone()
    fast = FastSwinBlock(block, dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        ours = fast(tokens)
    assert ours.dtype == torch.float32
    expected = block(tokens, mask)
    bound = ROUNDING / 10 if dtype == torch.float32 else EIGHT_BITS
    torch.testing.assert_close(ours, expected, atol=bound, rtol=0)
    assert torch.equal(tokens, before)


@pytest.mark.parametrize("most", [1, 3, 100])
def test_pieces_of_a_map_hold_each_token_once(most: int) -> None:
    pieces = window_pieces(20, 13, 7, 3, most)
    assert sorted(torch.cat([piece.tokens for piece in pieces]).tolist()) == list(range(20 * 13))
    assert sum(count for piece in pieces for _, count in piece.kinds) == 3 * 2
    for piece in pieces:
        assert len(piece.slots) + len(piece.padding) == 49 * sum(count for _, count in piece.kinds)


def test_pieces_worked_by_hand() -> None:
    """A map of 2×3 tokens, windows of 2×2, shifted by one: padded to 2×4, then everything one left and up."""
    (piece,) = window_pieces(2, 3, 2, 1, 2)
    #  0 1 2 .       4 5 . 3
    #  3 4 5 .   →   1 2 . 0
    assert piece.tokens.tolist() == [4, 5, 1, 2, 3, 0]
    assert piece.slots.tolist() == [0, 1, 2, 3, 5, 7]
    assert piece.gather is not None
    assert piece.gather.tolist() == [0, 1, 2, 3, 0, 4, 0, 5]
    assert piece.padding.tolist() == [4, 6]
    assert piece.kinds == ((2, 1), (3, 1))
    left, right = window_pieces(2, 3, 2, 1, 1)
    assert (left.tokens.tolist(), left.gather, left.kinds) == ([4, 5, 1, 2], None, ((2, 1),))
    assert (right.tokens.tolist(), right.slots.tolist(), right.kinds) == ([3, 0], [1, 3], ((3, 1),))


def test_folded_norms_are_exact_to_rounding() -> None:
    plain = timm.create_model("resnet18", features_only=True, out_indices=(2, 3, 4)).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                assert values is not None
                values.uniform_(0.5, 1.5)
            assert module.running_mean is not None
            module.running_mean.normal_()
    pixels = _noise(1, 3, 64, 96)
    with torch.inference_mode():
        expected = plain(pixels)
        fold_norms(plain)
        ours = plain(pixels)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    for a, b in zip(ours, expected, strict=True):
        assert float((a - b).abs().max() / b.std()) < ROUNDING


def test_the_same_bits_from_any_thread(pair: tuple[DeticDetector, DeticDetector]) -> None:
    """Whoever asks, and whatever was asked before: the threads inside an operator are as many."""
    images = [picture(seed, 200 - 30 * seed, 150) for seed in range(3)]
    expected = [pair[0].detect(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(pair[0].detect, images))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.xyxy, theirs.xyxy)
        np.testing.assert_array_equal(ours.scores, theirs.scores)


# --- memory and precision


class _SmallMemory(nn.Module):
    """A network that has memory for so many photos; the box tells which photo it was asked about."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.asked: list[int] = []

    def forward(
        self, pixels: Tensor, sizes_hw: Sequence[tuple[int, int]], vocabulary: Tensor, floor: float
    ) -> list[Found]:
        self.asked.append(len(pixels))
        if len(pixels) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        right = pixels.mean((1, 2, 3)).clamp(0, 1) + 1
        peaks, classes = torch.zeros(1), torch.zeros(1, dtype=torch.int64)
        return [Found(torch.tensor([[0.0, 0, x, 9]]), torch.ones(1), classes, peaks) for x in right]


def _with_memory(room: int, batch_size: int) -> tuple[DeticDetector, _SmallMemory]:
    network: Any = _SmallMemory(room)
    info = DetectorInfo("fake", ("a",), 0.5)
    return DeticDetector(
        network, info, torch.zeros(512, 1), detector_size=32, batch_size=batch_size, optimised=False
    ), network


def test_a_batch_too_large_is_halved() -> None:
    detector, network = _with_memory(2, 7)
    images = [picture(seed, 64, 64) for seed in range(7)]
    found = detector.detect_batch([detector.prepare(image) for image in images])
    assert network.asked == [7, 4, 2, 2, 3, 2, 1]
    assert detector.preferred_batch == 2
    alone = [_with_memory(1, 1)[0].detect(image).xyxy for image in images]
    np.testing.assert_allclose([f.xyxy for f in found], alone, rtol=1e-6)
    assert len({float(f.xyxy[0, 2]) for f in found}) > 1


def test_no_memory_for_a_single_photo_is_an_error() -> None:
    detector, _ = _with_memory(0, 2)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        detector.detect_batch([detector.prepare(picture(0, 64, 64))] * 2)


@pytest.mark.parametrize(
    ("device", "precision", "supported", "warned"),
    [
        ("cpu", "bfloat16", False, True),
        ("cpu", "bfloat16", True, False),
        ("cpu", "float16", False, True),
        ("cpu", "float32", False, False),
        ("cuda", "bfloat16", False, False),
    ],
)
def test_a_precision_that_the_processor_lacks(
    device: str, precision: Precision, supported: bool, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported"):
        monkeypatch.setattr(torch.ops.mkldnn, name, lambda: supported, raising=False)
    assert processor.slow_precision(device, precision) is warned


def test_the_warning_is_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(detector_module, "slow_precision", lambda device, precision: True)
    with caplog.at_level(logging.WARNING):
        DeticDetector(
            _SmallMemory(1),  # type: ignore[arg-type]
            DetectorInfo("fake", ("a",), 0.5),
            torch.zeros(512, 1),
            precision="bfloat16",
            optimised=False,
        )
    assert caplog.messages == [
        "this processor computes bfloat16 more slowly than float32; leave --precision out"
    ]


def test_half_precision_holds_half_weights_where_autocast_casts_them() -> None:
    rough = filled_detector(R18, optimised=False).network
    store_as(rough, torch.bfloat16)
    halves = {name for name, value in rough.named_parameters() if value.dtype == torch.bfloat16}
    assert {"cascade.stages.0.fc1.weight", "pyramid.output.0.weight", "backbone.conv1.weight"} <= halves
    decisive = ("centre", "sides", "embed", "box_delta", "scales")
    assert not [name for name in halves if any(part in name for part in decisive)]


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
