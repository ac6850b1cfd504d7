"""Detic: checkpoints, batches, precision, odd photos, and its arithmetic on numbers worked by hand.

That the whole equals the reference is shown in `test_parity`.
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from detic_crop.config import CropConfig
from detic_crop.detectors import load_detector
from detic_crop.detectors.base import Detector
from detic_crop.detectors.checkpoints import read_checkpoint
from detic_crop.detectors.detic import VARIANTS, DeticDetector
from detic_crop.detectors.detic.build import build
from detic_crop.detectors.detic.cascade import apply_deltas, clip, pyramid_level
from detic_crop.detectors.detic.checkpoint import (
    IGNORED,
    fill_network,
    is_ignored,
    published_name,
)
from detic_crop.detectors.detic.detector import FLOOR, Prepared, vocabulary_matrix
from detic_crop.detectors.detic.network import DeticNetwork
from detic_crop.detectors.detic.preprocess import longest_for, normalise, resize, resized_hw, to_photo
from detic_crop.detectors.detic.proposals import MAX_PROPOSALS, propose
from detic_crop.detectors.detic.select import class_scores, select
from detic_crop.detectors.detic.swin import join_windows, relative_positions, shift_mask, split_windows
from detic_crop.errors import UsageError, WeightsError
from tests.kit.errors import refused
from tests.kit.filled_weights import filled_checkpoint, filled_vocabulary, published_shapes
from tests.kit.parity_checks import agreement, filled_detector

R18 = "detic-r18"
SIZE = 128


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """A filled checkpoint of the smallest model; not to be changed."""
    return filled_checkpoint(published_shapes(R18), seed=0)


@pytest.fixture(scope="module")
def detector() -> DeticDetector:
    """The smallest model with filled weights, which looks at photos at `SIZE` pixels."""
    return filled_detector(R18, detector_size=SIZE)


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth noise, (H, W, 3) uint8 BGR."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


# --- checkpoints


@pytest.mark.parametrize("model", VARIANTS)
def test_every_published_tensor_is_used_or_ignored(model: str) -> None:
    shapes = published_shapes(model)
    network = build(model)
    ours = {
        published_name(name): list(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not is_ignored(name)
    }
    assert ours == {name: shape for name, shape in shapes.items() if not is_ignored(name)}
    assert not any(is_ignored(name) for name in ours)


def test_every_ignored_tensor_has_a_reason() -> None:
    assert all(reason for _, reason in IGNORED)


@pytest.mark.parametrize("width", [None, 1204, 22048])
def test_checkpoint_may_hold_any_vocabulary_or_none(tensors: dict[str, Tensor], width: int | None) -> None:
    extended = dict(tensors)
    for stage in range(3):
        if width:
            extended[f"roi_heads.box_predictor.{stage}.cls_score.zs_weight"] = torch.zeros(1).expand(
                512, width
            )
    fill_network(build(R18), extended, "test")


def test_checkpoint_without_counters_and_masks_loads(tensors: dict[str, Tensor]) -> None:
    """Files written by the detectron2 of 2022 have no `num_batches_tracked`."""
    fill_network(
        build(R18), {name: tensor for name, tensor in tensors.items() if not is_ignored(name)}, "test"
    )


def test_misfits_are_listed(tensors: dict[str, Tensor]) -> None:
    changed = dict(tensors)
    del changed["roi_heads.box_head.0.fc1.weight"]
    changed["roi_heads.box_head.0.fc3.weight"] = torch.zeros(1)
    changed["backbone.fpn_lateral3.bias"] = torch.zeros(255)
    with refused("weights_do_not_fit", WeightsError) as caught:
        fill_network(build(R18), changed, "file.pth")
    message = caught.value.message
    assert "file.pth does not fit" in message
    assert "1 missing: roi_heads.box_head.0.fc1.weight;" in message
    assert "1 extra: roi_heads.box_head.0.fc3.weight;" in message
    assert "1 misshapen: backbone.fpn_lateral3.bias expected (256,), got (255,)" in message


def test_another_models_file_is_refused_with_counts(tensors: dict[str, Tensor]) -> None:
    with refused("weights_do_not_fit", WeightsError):
        fill_network(build("detic-r50"), tensors, "r18.pth")


@pytest.mark.slow
def test_published_layout_with_training_state_loads(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    extra = {f"roi_heads.box_predictor.{i}.cls_score.zs_weight": torch.ones(512, 1204) for i in range(3)}
    training = {"optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}}, "iteration": 89999}
    torch.save({"model": tensors | extra, **training}, path)
    names = [str(i) for i in range(500)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    np.save(tmp_path / "own.npy", 3 * filled_vocabulary(0))  # the length of an embedding says nothing
    loaded = load_detector(
        R18,
        "cpu",
        vocabulary=str(tmp_path / "own.npy"),
        names=tmp_path / "names.txt",
        weights_file=path,
        detector_size=64,
    )
    assert isinstance(loaded, Detector)
    loaded.ask_for(["1", "2"])
    assert loaded.info.name == R18
    assert loaded.info.class_names == tuple(names)
    assert loaded.info.default_conf == 0.5
    assert loaded.info.floor == FLOOR == 0.05
    assert set(loaded.info.weights) == {"model.pth", "vocabulary own.npy"}
    assert (loaded.info.vocabulary, loaded.info.default_classes) == ("own.npy", "any")
    assert all(len(sha256) == 64 for sha256 in loaded.info.weights.values())
    image = photo(60, 90)
    ours, expected = loaded.detect(image), filled_detector(R18, detector_size=64).detect(image)
    assert ours.class_names == expected.class_names
    np.testing.assert_allclose(ours.xyxy, expected.xyxy, atol=1e-3)
    np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-5)
    assert ours.presence is not None
    assert expected.presence is None


class _Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("layout", ["zip", "bare pickle"])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, layout: str) -> None:
    path, marker = tmp_path / "model.pth", tmp_path / "was-run"
    content = {"model": {"a": torch.zeros(1)}, "hook": _Malicious(marker)}
    if layout == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(_Malicious(marker)))
    with refused("damaged_weights", WeightsError):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_cut_off_file_is_an_error(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    model = {"a": torch.arange(2000.0), "b": torch.ones(3)}
    if suffix == ".pth":
        torch.save({"model": model}, whole)
    else:
        save_file(model, whole)
    assert read_checkpoint(whole).keys() == model.keys()
    content = whole.read_bytes()
    for length in (0, 1, 9, 100, len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:length])
        with refused("damaged_weights", WeightsError):
            read_checkpoint(cut)


@pytest.mark.parametrize("content", [[1, 2], {"state": 1}, {"model": {"a": 1}}, {"model": torch.zeros(2)}])
def test_other_layouts_are_errors(tmp_path: Path, content: object) -> None:
    path = tmp_path / "model.pth"
    torch.save(content, path)
    with refused("weights_do_not_fit", WeightsError):
        read_checkpoint(path)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with refused("missing_weights", WeightsError):
        load_detector(R18, "cpu", vocabulary="nowhere.npy", weights_file=tmp_path / "nowhere.pth")


def test_wrong_arguments_are_usage_errors() -> None:
    good = np.ones((2, 512), np.float32)
    with refused("bad_embeddings", UsageError, names=["2"]):
        vocabulary_matrix(good[:1], ["a", "b"])
    with refused("bad_embeddings", UsageError, names=["512"]):
        vocabulary_matrix(good[:, :500], ["a", "b"])
    with refused("bad_embeddings", UsageError):
        vocabulary_matrix(good * np.float32(math.nan), ["a", "b"])
    with refused("bad_names", UsageError):
        vocabulary_matrix(good[:0], [])
    with refused("unknown_model", UsageError, names=["detic-swinb"]):
        load_detector("detic-r34")
    with refused("bad_value", UsageError, names=["--detector-size", "a whole number from 32"]):
        CropConfig(detector_size=0)
    with refused("bad_value", UsageError, names=["--precision", "float32"]):
        CropConfig(precision="int8")  # type: ignore[arg-type]


# --- the detector


@pytest.mark.slow
def test_twice_the_same(detector: DeticDetector) -> None:
    image = photo(200, 300)
    first, second = detector.detect(image), detector.detect(image)
    assert len(first) > 100
    np.testing.assert_array_equal(first.xyxy, second.xyxy)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.class_names == second.class_names


@pytest.mark.slow
def test_batch_equals_one_at_a_time(detector: DeticDetector) -> None:
    """Bound: that of the parity, and scores within 1e-5; seen, over all four models: 0.0007 px and 8e-7."""
    images = [photo(256, 384, 1), photo(250, 350, 2), photo(256, 256, 3)]
    assert [_shown(image).shape[2:] for image in images] == [(128, 192), (128, 192), (128, 128)]
    for alone, together in zip(
        map(detector.detect, images),
        detector.detect_batch([detector.prepare(image) for image in images]),
        strict=True,
    ):
        assert len(alone) > 100
        result = agreement(
            together.xyxy, together.scores, _numbers(together.class_names),
            alone.xyxy, alone.scores, _numbers(alone.class_names),
        )  # fmt: skip
        assert result.holds, result
        assert result.score_difference <= 1e-5


@pytest.mark.slow
def test_prepared_elsewhere_is_the_same(detector: DeticDetector) -> None:
    assert detector.preferred_batch == 1
    images = [photo(256, 384, 1), photo(200, 200, 2)]
    with ThreadPoolExecutor(2) as pool:
        prepared = list(pool.map(detector.prepare, images))
    for image, ready in zip(images, prepared, strict=True):
        alone, (later,) = detector.detect(image), detector.detect_batch([ready])
        np.testing.assert_array_equal(later.xyxy, alone.xyxy)
        np.testing.assert_array_equal(later.scores, alone.scores)
        assert later.class_names == alone.class_names


@pytest.mark.slow
def test_a_reduced_decode_is_shown_at_the_photos_size(detector: DeticDetector) -> None:
    """257 rows halve to 129, whose own size would be another; boxes are in pixels of the photo."""
    image = photo(257, 390)
    reduced = np.asarray(Image.fromarray(image).reduce(2))
    assert reduced.shape[:2] == (129, 195)
    ready = detector.prepare(reduced, photo_hw=(257, 390))
    assert ready.rgb.shape == detector.prepare(image).rgb.shape
    assert ready.photo_hw == (257, 390)
    found, shown = detector.detect_batch([ready, Prepared(ready.rgb, ready.shown_hw)])
    height, width = ready.shown_hw
    scale = np.array([390 / width, 257 / height] * 2)
    np.testing.assert_allclose(found.xyxy, shown.xyxy * scale, atol=0.05)


def test_no_photos_no_answers(detector: DeticDetector) -> None:
    assert detector.detect_batch([]) == []


@pytest.mark.slow
def test_asking_for_classes_changes_no_box(detector: DeticDetector) -> None:
    image = photo(200, 300)
    before = detector.detect(image)
    assert before.presence is None
    with torch.inference_mode():
        features = detector.network.features(_shown(image))
        proposals = detector.network.propose(features)
        ((_, scores),) = detector.network.refine(features, proposals, [(128, 192)], detector.vocabulary)
    rare = min(set(detector.info.class_names) - set(before.class_names))
    for wanted in ([before.class_names[5], rare], [rare], ["no such class"]):
        detector.ask_for(wanted)
        after = detector.detect(image)
        np.testing.assert_array_equal(after.xyxy, before.xyxy)
        np.testing.assert_array_equal(after.scores, before.scores)
        assert after.class_names == before.class_names
        columns = [
            detector.info.class_names.index(name) for name in wanted if name in detector.info.class_names
        ]
        assert after.presence == (float(scores[:, columns].max()) if columns else 0.0)
        reported = [
            score for score, name in zip(after.scores, after.class_names, strict=True) if name in wanted
        ]
        assert after.presence >= max(reported, default=0.0)
    detector.ask_for([rare])
    assert detector.detect(image).presence > 0.0  # type: ignore[operator]
    detector.ask_for(None)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (33, 1000), (1000, 33), (1, 500), (257, 31)])
def test_odd_sizes(detector: DeticDetector, size: tuple[int, int]) -> None:
    height, width = size
    found = detector.detect(photo(height, width))
    assert (found.xyxy >= 0).all()
    assert (found.xyxy[:, [0, 2]] <= width).all()
    assert (found.xyxy[:, [1, 3]] <= height).all()
    assert (found.xyxy[:, 2:] > found.xyxy[:, :2]).all()
    assert ((found.scores > FLOOR) & (found.scores <= 1)).all()


@pytest.mark.slow
def nothing_is_a_centre(network: DeticNetwork) -> None:
    """Make the first stage propose nothing."""
    assert network.head.centre.bias is not None
    network.head.centre.bias.fill_(-100.0)


@pytest.mark.parametrize("optimised", [True, False])
def test_nothing_in_sight(optimised: bool) -> None:
    nowhere = filled_detector(R18, detector_size=64, optimised=optimised, change=nothing_is_a_centre)
    nowhere.ask_for(["3"])
    found = nowhere.detect(photo(50, 70))
    assert len(found) == 0
    assert found.presence == 0.0


@pytest.mark.slow
def test_bfloat16_features_are_close(detector: DeticDetector) -> None:
    """Relative RMS error of each level at most 2 % (the issue's bound)."""
    rough = filled_detector(R18, detector_size=SIZE, precision="bfloat16")
    image = photo(256, 384)
    with torch.inference_mode():
        expected = detector.network.features(_shown(image))
        with torch.autocast("cpu", torch.bfloat16):
            ours = rough.network.features(_shown(image))
    for level, (a, b) in enumerate(zip(ours, expected, strict=True), start=3):
        error = float((a - b).square().mean().sqrt() / b.square().mean().sqrt())
        print(f"bfloat16: relative RMS error of P{level} {error:.2%}")
        assert a.dtype == torch.float32
        assert 0 < error <= 0.02, (level, error)
    assert len(rough.detect(image)) == pytest.approx(len(detector.detect(image)), rel=0.1)


# --- preprocessing


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3000, 4000), (800, 1067)),
        ((4000, 3000), (1067, 800)),
        ((1000, 6000), (222, 1333)),
        ((33, 1000), (44, 1333)),
        ((1, 1), (800, 800)),
        ((1, 5000), (1, 1333)),
        ((800, 1333), (800, 1333)),
        ((375, 500), (800, 1067)),
    ],
)
def test_sizes_worked_by_hand(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_hw(size, 800, longest_for(800)) == expected


def test_longest_side_goes_with_the_shortest() -> None:
    assert [longest_for(shortest) for shortest in (800, 480, 640)] == [1333, 800, 1066]


def test_resizing_is_pillows() -> None:
    image = photo(300, 200)
    expected = np.asarray(Image.fromarray(image).resize((100, 150), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize(image, (150, 100)), expected)


def test_normalised_pixels_worked_by_hand() -> None:
    rgb = torch.zeros(3, 1, 33, dtype=torch.uint8)
    rgb[:, 0, 0] = torch.tensor([255, 116, 0])
    pixels = normalise(rgb)
    assert pixels.shape == (3, 32, 64)
    np.testing.assert_allclose(pixels[:, 0, 0], [2.248908, -0.004902, -1.804444], atol=1e-6)
    assert not pixels[:, 1:].any()
    assert not pixels[:, :, 33:].any()


def test_boxes_return_to_the_photo() -> None:
    boxes = torch.tensor([[0.0, 0.0, 200.0, 100.0], [50.0, 25.0, 250.0, 99.0]])
    expected = [[0, 0, 600, 400], [150, 100, 600, 396]]
    np.testing.assert_allclose(to_photo(boxes, (100, 200), (400, 600)), expected, rtol=1e-6)


# --- boxes and scores


def test_deltas_worked_by_hand() -> None:
    boxes = torch.tensor([[10.0, 20.0, 30.0, 60.0]] * 3)
    deltas = torch.tensor([[0.0, 0, 0, 0], [5.0, -10.0, 5 * math.log(2), 0], [0, 0, 1e4, -1e4]])
    moved = apply_deltas(boxes, deltas, (10.0, 10.0, 5.0, 5.0))
    np.testing.assert_allclose(moved[0], [10, 20, 30, 60])
    np.testing.assert_allclose(moved[1], [10, -20, 50, 20], rtol=1e-5)  # centre (20, 40) → (30, 0), 40 wide
    np.testing.assert_allclose(moved[2], [20 - 625, 40, 20 + 625, 40], rtol=1e-5)  # 20 px · 1000/16


def test_clipped_boxes_stay_inside() -> None:
    boxes = torch.tensor([[-5.0, -5.0, 15.0, 25.0], [12.0, 3.0, 18.0, 4.0]])
    limits = torch.tensor([[10.0, 20.0, 10.0, 20.0]] * 2)
    assert clip(boxes, limits).tolist() == [[0, 0, 10, 20], [10, 3, 10, 4]]


def test_levels_worked_by_hand() -> None:
    sides = torch.tensor([0.0, 1.0, 223.0, 224.0, 447.0, 448.0, 4000.0])
    boxes = torch.stack([torch.zeros(7), torch.zeros(7), sides, sides], dim=1)
    assert pyramid_level(boxes, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_one_class_per_proposal_and_nms_within_a_class() -> None:
    boxes = torch.tensor(
        [
            [0.0, 0.0, 10.0, 10.0],
            [0.0, 0.0, 10.0, 9.0],  # as the first, less sure: removed
            [0.0, 0.0, 10.0, 10.0],  # as the first, of another class: stays
            [50.0, 50.0, 90.0, 90.0],  # two equally good classes: both stay; cut at the edge
            [0.0, 20.0, 10.0, 30.0],  # below the floor
            [math.nan, 0.0, 1.0, 1.0],
        ]
    )
    scores = torch.tensor(
        [[0.9, 0.8, 0.0], [0.7, 0.1, 0.6], [0.1, 0.6, 0.0], [0.5, 0.0, 0.5], [0.2, 0.3, 0.1], [1, 0, 0]]
    )
    found = select(boxes, scores, (60, 80), floor=0.3)
    reported = sorted(zip(found.classes.tolist(), found.boxes.tolist(), strict=True))
    assert reported == [
        (0, [0, 0, 10, 10]),
        (0, [50, 50, 80, 60]),
        (1, [0, 0, 10, 10]),
        (2, [50, 50, 80, 60]),
    ]
    np.testing.assert_allclose(found.scores, [0.9, 0.6, 0.5, 0.5])
    np.testing.assert_allclose(found.peaks, [1.0, 0.8, 0.6])


def test_nothing_selected_from_nothing() -> None:
    found = select(torch.zeros(0, 4), torch.zeros(0, 3), (10, 10), 0.05)
    assert found.boxes.shape == (0, 4)
    assert found.peaks.tolist() == [0, 0, 0]


def test_score_is_the_geometric_mean() -> None:
    scores = class_scores(torch.tensor([[0.25, 1.0]]), torch.tensor([0.64]))
    np.testing.assert_allclose(scores, [[0.4, 0.8]], rtol=1e-6)


def test_one_proposal_worked_by_hand() -> None:
    centre, sides = torch.zeros(1, 1, 2, 3), torch.ones(1, 4, 2, 3)
    centre[0, 0, 1, 2] = 0.81
    centre[0, 0, 0, 0] = 1e-4  # not above the threshold
    sides[0, :, 1, 2] = torch.tensor([1.0, 2.0, 3.0, 0.0])
    ((boxes, scores),) = propose([(centre, sides)], [8])
    # The cell in row 1, column 2 has its centre at x = 2·8 + 4, y = 1·8 + 4.
    np.testing.assert_allclose(boxes, [[12, -4, 44, 12]])
    np.testing.assert_allclose(scores, [0.9])
    sides[0, :, 1, 2] = 0  # a box without area is given some
    ((boxes, _),) = propose([(centre, sides)], [8])
    np.testing.assert_allclose(boxes, [[20, 12, 20.01, 12.01]], rtol=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_at_most_256_proposals_unless_tied(ties: bool) -> None:
    likelihood = torch.full((400,), 0.25) if ties else torch.linspace(0.1, 0.9, 400)
    small = torch.full((1, 4, 20, 20), 0.4)  # boxes of neighbouring cells do not touch
    ((boxes, scores),) = propose([(likelihood.view(1, 1, 20, 20), small)], [8])
    assert len(boxes) == (400 if ties else MAX_PROPOSALS)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_at_most_1000_locations_of_one_level() -> None:
    likelihood = torch.linspace(0.1, 0.9, 1600).view(1, 1, 40, 40)
    same = torch.full((1, 4, 40, 40), 0.4)
    ((_, scores),) = propose([(likelihood, same), (likelihood[..., :1, :1], same[..., :1, :1])], [8, 16])
    assert len(scores) == MAX_PROPOSALS
    assert float(scores.min()) > math.sqrt(0.75)


# --- windows


def test_windows_worked_by_hand() -> None:
    # Two tokens a side: 0 1 / 2 3. Row of the table: (Δy + 1) · 3 + (Δx + 1).
    assert relative_positions(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def test_windows_come_back_in_place() -> None:
    grid = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)
    windows = split_windows(grid, 2)
    assert windows.shape == (12, 4, 3)
    assert torch.equal(join_windows(windows, (2, 4, 6), 2), grid)


def test_shift_mask_worked_by_hand() -> None:
    mask = shift_mask((4, 2), 2, 1)  # two windows, one above the other, as wide as the map
    # Columns of a window are opposite edges of the map; in the lower window so are its rows.
    assert mask.shape == (2, 4, 4)
    assert (mask[0] == 0).tolist() == [[a % 2 == b % 2 for a in range(4)] for b in range(4)]
    assert (mask[1] == 0).tolist() == [[a == b for a in range(4)] for b in range(4)]
    assert mask.min() == -100


def _shown(image: NDArray[np.uint8]) -> Tensor:
    """What the network sees of a photo, (1, 3, H, W)."""
    size_hw = resized_hw((image.shape[0], image.shape[1]), SIZE, longest_for(SIZE))
    rgb = resize(image, size_hw)[:, :, ::-1]
    return normalise(torch.from_numpy(rgb.transpose(2, 0, 1).copy()))[None]


def _numbers(names: Sequence[str]) -> NDArray[np.int64]:
    return np.array([int(name) for name in names], np.int64)
