"""The `lite` detector: its weights, its evenness of temper, and whether it finds what it should.

How good it is on real photos is measured by `python -m benchmarks.lite_quality`.
"""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.layers.conv2d_same import Conv2dSame

import detic_crop
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors import lite as lite_module
from detic_crop.detectors.base import Detector
from detic_crop.detectors.lite import evidence as lite_evidence
from detic_crop.detectors.lite import fast as lite_fast
from detic_crop.detectors.lite.backbone import (
    LiteNetwork,
    load_network,
    port_weights,
    read_checkpoint,
    timm_name,
)
from detic_crop.detectors.lite.boxes import best_rectangle, evidence_boxes, refine_by_colour
from detic_crop.detectors.lite.detector import LiteDetector, inside_photo, load_lite
from detic_crop.detectors.lite.evidence import HEADS_FILE, Pixels, View, read_heads, window_around
from detic_crop.detectors.lite.fast import FusedConv2d, can_fuse
from detic_crop.detectors.lite.package import weights_path
from detic_crop.errors import WeightsError
from tests.kit.errors import refused
from tests.kit.seas import back_and_fin, sea

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lite() -> LiteDetector:
    return load_lite()


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, torch.Tensor]:
    return read_checkpoint(weights_path())


def a_model() -> torch.nn.Module:
    import timm

    model: torch.nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return model.eval()


def assert_same(a: Detections, b: Detections) -> None:
    assert a.xyxy.tobytes() == b.xyxy.tobytes()
    assert a.scores.tobytes() == b.scores.tobytes()
    assert a.presence == b.presence


def assert_sound(found: Detections, height: int, width: int) -> None:
    assert len(found) <= 5
    assert set(found.class_names) <= {"Marine mammal"}
    assert found.presence is not None
    assert 0 <= found.presence <= 1
    assert (found.scores >= 0).all()
    assert (found.scores <= 1).all()
    assert found.scores.sum() <= found.presence + 1e-6
    assert (found.xyxy[:, :2] >= 0).all()
    assert (found.xyxy[:, 2] <= width).all()
    assert (found.xyxy[:, 3] <= height).all()
    assert (found.rounded().areas > 0).all()


# --- weights ---------------------------------------------------------------------------------------------


def test_every_tensor_of_the_checkpoint_has_its_place(checkpoint: dict[str, torch.Tensor]) -> None:
    model = a_model()
    assert [timm_name(name) for name in checkpoint] == list(
        model.state_dict()
    )  # an independent oracle: the order
    port_weights(checkpoint, model)
    for ours, theirs in zip(model.state_dict().values(), checkpoint.values(), strict=True):
        assert torch.equal(ours, theirs)


def test_missing_extra_and_misshapen_tensors_are_all_listed(checkpoint: dict[str, torch.Tensor]) -> None:
    damaged = dict(checkpoint)
    del damaged["_blocks.3._bn1.weight"]
    damaged["_fc.scale"] = torch.zeros(1)
    damaged["_conv_stem.weight"] = torch.zeros(32, 3, 5, 5)
    with refused("weights_do_not_fit", WeightsError) as caught:
        port_weights(damaged, a_model())
    message = str(caught.value)
    assert "missing blocks.2.0.bn2.weight (144,)" in message
    assert "extra classifier.scale" in message
    assert "misshapen conv_stem.weight: expected (32, 3, 3, 3), got (32, 3, 5, 5)" in message


def test_a_checkpoint_with_other_bytes_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "weights.pth"
    content = bytearray(weights_path().read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with refused("damaged_weights", WeightsError, names=["579344248a93"]):
        load_network(copy)
    with refused("unreadable_weights", WeightsError):
        load_network(tmp_path / "absent.pth")


@pytest.mark.parametrize(("fused", "optimised"), [(True, True), (False, True), (True, False)])
def test_the_network_is_the_published_one(
    checkpoint: dict[str, torch.Tensor], fused: bool, optimised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch norms folded, classifier at every cell: the mean over the cells is timm's own answer."""
    model = a_model()
    port_weights(checkpoint, model)
    monkeypatch.setattr(lite_fast, "can_fuse", lambda: fused)  # False: a machine without the operator
    network = load_network(optimised=optimised)
    assert sum(isinstance(m, FusedConv2d) for m in network.modules()) == (49 if fused and optimised else 0)
    pixels = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        fine, coarse = network(pixels)
        ours, theirs = network.logits(coarse).mean((1, 2)), model(pixels)
    assert fine.shape == (1, 112, 6, 8)
    assert coarse.shape == (1, 320, 3, 4)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)  # float32, other order of sums


def test_this_machine_has_the_operator_that_lite_is_fast_with() -> None:
    """Else the tests above would compare nothing; without it lite works as well, only slower."""
    assert can_fuse()


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 12), (6, 7), (2, 2)])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_fused_convolution_pads_as_the_published_one(
    kernel: int, stride: int, height: int, width: int, groups: int
) -> None:
    conv = Conv2dSame(4, 4, kernel, stride, groups=groups).requires_grad_(False)
    image = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(kernel))
    with torch.inference_mode():
        torch.testing.assert_close(FusedConv2d(conv, relu6=False)(image), conv(image), atol=1e-5, rtol=1e-5)


def test_damaged_heads_are_refused(tmp_path: Path) -> None:
    heads = read_heads()
    short = tmp_path / HEADS_FILE
    np.savez(short, overview=heads.overview[:-1], close_up=heads.close_up, presence=heads.presence, conf=0.5)
    with refused("damaged_weights", WeightsError):
        read_heads(short)
    with refused("damaged_weights", WeightsError):
        read_heads(tmp_path / "absent.npz")
    short.write_bytes(b"not a zip file")
    with refused("damaged_weights", WeightsError):
        read_heads(short)


def test_info_names_what_the_answers_depend_on(lite: LiteDetector) -> None:
    assert isinstance(lite, Detector)
    assert set(lite.info.weights) == {"efficientnet-lite0-57934424.pth", HEADS_FILE}
    assert all(len(digest) == 64 for digest in lite.info.weights.values())
    assert 0 < lite.info.default_conf < 1


# --- boxes from maps -------------------------------------------------------------------------------------


def test_best_rectangle_by_hand() -> None:
    gains = np.array([[-1.0, -1, -1, -1], [-1, 2, -1, 3], [-1, 2, 2, -9]])
    # Row 1 from column 1 gives 2 − 1 + 3 = 4, row 2 gives 2 + 2 = 4, columns 1–2 of both 2 − 1 + 2 + 2 = 5.
    assert best_rectangle(gains) == ((1, 1, 3, 3), 5)


def test_best_rectangle_against_trying_all() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 6), (5, 1), (4, 7)):
        gains = rng.normal(size=(height, width))
        (left, top, right, bottom), gain = best_rectangle(gains)
        everything = [
            gains[y0:y1, x0:x1].sum()
            for y0 in range(height)
            for y1 in range(y0 + 1, height + 1)
            for x0 in range(width)
            for x1 in range(x0 + 1, width + 1)
        ]
        assert gain == pytest.approx(max(everything))
        assert gain == pytest.approx(gains[top:bottom, left:right].sum())


def test_two_animals_give_two_boxes_heaviest_first() -> None:
    evidence = np.zeros((20, 40), np.float32)
    evidence[5:10, 4:10] = 0.9
    evidence[8:16, 20:34] = 0.9
    found = evidence_boxes(evidence, (0, 0, 400, 200), limit=5, least=0.1)
    assert [gain for _, gain in found] == sorted((gain for _, gain in found), reverse=True)
    assert len(found) == 2
    assert iou_of_pair(found[0][0], (200, 80, 340, 160)) > 0.85
    assert iou_of_pair(found[1][0], (40, 50, 100, 100)) > 0.7
    assert len(evidence_boxes(evidence, (0, 0, 400, 200), limit=5, least=0.9)) == 1
    assert evidence_boxes(np.zeros((4, 4), np.float32), (0, 0, 9, 9)) == []


def test_colours_sharpen_a_box_and_are_ignored_when_they_disagree() -> None:
    photo = np.full((200, 300, 3), (120, 90, 50), np.uint8)
    photo += np.random.default_rng(0).integers(0, 12, photo.shape, dtype=np.uint8)
    cv2.ellipse(photo, (150, 100), (70, 30), 0, 0, 360, (30, 30, 30), -1)
    truth = (80.0, 70.0, 221.0, 131.0)
    rough = (95.0, 60.0, 240.0, 140.0)
    evidence = np.zeros((20, 30), np.float32)
    evidence[6:14, 9:24] = 0.9
    window = (0, 0, 300, 200)
    assert (
        iou_of_pair(refine_by_colour(photo, window, evidence, rough), truth)
        > iou_of_pair(rough, truth) + 0.05
    )
    elsewhere = (0.0, 0.0, 60.0, 40.0)
    assert refine_by_colour(photo, window, evidence, elsewhere) == elsewhere
    assert refine_by_colour(photo, window, np.zeros((20, 30), np.float32), rough) == rough


def test_windows_and_boxes_stay_inside_the_photo() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        width, height = (int(side) for side in rng.integers(1, 300, 2))
        x0, x1 = np.sort(rng.uniform(-20, width + 20, 2))
        y0, y1 = np.sort(rng.uniform(-20, height + 20, 2))
        left, top, right, bottom = inside_photo((x0, y0, x1, y1), width, height)
        assert 0 <= left <= right - 1
        assert right <= width
        assert 0 <= top <= bottom - 1
        assert bottom <= height
        window = window_around((left, top, right, bottom), width, height)
        assert 0 <= window[0] < window[2] <= width
        assert 0 <= window[1] < window[3] <= height


# --- the whole detector ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 4000), (4000, 1), (2, 3), (37, 53), (700, 1051), (3, 70000)]
)
def test_any_shape_gives_sound_boxes(lite: LiteDetector, height: int, width: int) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert_sound(lite.detect(image), height, width)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_uniform_photos_hold_no_animal(lite: LiteDetector, value: int) -> None:
    found = lite.detect(np.full((300, 400, 3), value, np.uint8))
    assert_sound(found, 300, 400)
    assert (found.scores < lite.info.default_conf).all()


def test_a_slice_or_read_only_array_is_taken_as_it_is(lite: LiteDetector) -> None:
    image = sea(240, 320)
    image.flags.writeable = False
    view = image[::-1, 5:-5]
    assert_same(lite.detect(view), lite.detect(view.copy()))


def test_same_photo_same_bits_whatever_happened_before(lite: LiteDetector) -> None:
    image, _ = back_and_fin(480, 720, (300, 280), 320)
    before = image.copy()
    first = lite.detect(image)
    np.random.default_rng().random(9)
    torch.rand(9)
    cv2.setRNGSeed(12345)
    cv2.randn(np.zeros((9, 9)), np.zeros(1), np.ones(1))
    lite.detect(sea(300, 500, seed=3))
    assert_same(lite.detect(image), first)
    np.testing.assert_array_equal(image, before)


def test_threads_share_one_detector(lite: LiteDetector) -> None:
    images = [back_and_fin(320, 480, (x, 200), 200)[0] for x in (150, 240, 330)]
    expected = [lite.detect(image) for image in images]
    found: dict[tuple[int, int], Detections] = {}

    def work(worker: int) -> None:
        for index, image in enumerate(images):
            found[worker, index] = lite.detect(image)

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert len(found) == 9
    for (_, index), detections in found.items():
        assert_same(detections, expected[index])


@pytest.mark.parametrize(
    ("centre", "length"),
    [((300, 300), 360), ((500, 200), 240), ((200, 380), 150)],
    ids=["large", "right", "small"],
)
def test_a_drawn_back_is_found(lite: LiteDetector, centre: tuple[int, int], length: int) -> None:
    image, truth = back_and_fin(480, 720, centre, length)
    found = lite.detect(image)
    left, top, right, bottom = (float(edge) for edge in found.xyxy[0])
    x0, y0, x1, y1 = (float(edge) for edge in truth)
    assert iou_of_pair((left, top, right, bottom), (x0, y0, x1, y1)) >= 0.5


def test_an_animal_makes_presence_rise(lite: LiteDetector) -> None:
    with_animal = lite.detect(back_and_fin(480, 720, (300, 300), 360)[0]).presence
    without = lite.detect(sea(480, 720)).presence
    assert with_animal is not None
    assert without is not None
    assert with_animal > without


@pytest.fixture(scope="module")
def two_dolphins() -> NDArray[np.uint8]:
    """A picture whose cut depends on the seed of GrabCut's k-means."""
    path = Path(__file__).parents[2] / "examples" / "train_images" / "two_dolphins.jpg"
    return np.asarray(cv2.imread(str(path)), np.uint8)


def test_the_cut_does_not_depend_on_what_was_drawn_before(
    lite: LiteDetector, two_dolphins: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lite.detect(two_dolphins)
    for seed in range(4):
        cv2.setRNGSeed(seed)
        assert_same(lite.detect(two_dolphins), first)
    seeds = iter(range(2, 8))
    seed_with = cv2.setRNGSeed
    monkeypatch.setattr("detic_crop.detectors.lite.boxes.cv2.setRNGSeed", lambda _: seed_with(next(seeds)))
    answers = {lite.detect(two_dolphins).xyxy.tobytes() for _ in range(6)}
    assert len(answers) > 1  # else this picture would prove nothing


def test_a_photo_is_one_cores_work(
    lite: LiteDetector, two_dolphins: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    look = lite_evidence.look

    def watched(network: LiteNetwork, picture: Pixels) -> View:
        seen.append(torch.get_num_threads())
        return look(network, picture)

    monkeypatch.setattr(lite_module, "look", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    lite.detect(two_dolphins)
    assert seen == [1]
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_run_with_any_number_of_workers_is_the_same(tmp_path: Path) -> None:
    photos = Path(__file__).parents[2] / "examples" / "train_images"
    before = torch.get_num_threads()
    for workers in (1, 4):
        out = tmp_path / str(workers)
        detic_crop.run(photos, out, model="lite", device="cpu", workers=workers, quiet=True)
    assert torch.get_num_threads() == before
    one, four = tmp_path / "1", tmp_path / "4"
    files = sorted(path.relative_to(one) for path in one.rglob("*.jpg"))
    assert len(files) == 13
    for name in [*files, Path("audit.csv"), Path("audit.html")]:
        assert (one / name).read_bytes() == (four / name).read_bytes(), name
