"""The `lite` detector: its weights, its evenness of temper, and whether it finds what it should.

How good it is on real photos is measured by `python -m benchmarks.lite_quality`.
"""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

import detic_crop
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors.base import Detector
from detic_crop.detectors.lite import fast as lite_fast
from detic_crop.detectors.lite import weights as lite_weights
from detic_crop.detectors.lite.backbone import load_imagenet, port_weights, read_checkpoint, timm_name
from detic_crop.detectors.lite.boxes import boxes_of_cells
from detic_crop.detectors.lite.classes import margin
from detic_crop.detectors.lite.detector import LiteDetector, inside_photo, load_lite
from detic_crop.detectors.lite.fast import FusedConv2d, PackedPointwise, can_fuse
from detic_crop.detectors.lite.judgement import FEATURES, Evidence, Judgement
from detic_crop.detectors.lite.network import CELL, LiteNetwork, Sight
from detic_crop.detectors.lite.package import weights_path
from detic_crop.detectors.lite.taught_file import write_taught
from detic_crop.detectors.lite.views import as_tensor, close_up, overview, window_around
from detic_crop.detectors.lite.weights import FILE, SHIPPED, load_network, read_weights
from detic_crop.errors import WeightsError
from tests.kit.errors import refused
from tests.kit.folders import comparable
from tests.kit.seas import back_and_fin, sea

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lite() -> LiteDetector:
    return load_lite()


@pytest.fixture(scope="module")
def network() -> LiteNetwork:
    return load_network(read_weights())


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
    assert len(found) >= 1
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
    message = caught.value.message
    assert "missing blocks.2.0.bn2.weight (144,)" in message
    assert "extra classifier.scale" in message
    assert "misshapen conv_stem.weight: expected (32, 3, 3, 3), got (32, 3, 5, 5)" in message


def test_a_checkpoint_with_other_bytes_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "weights.pth"
    content = bytearray(weights_path().read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with refused("damaged_weights", WeightsError, names=["579344248a93"]):
        load_imagenet(copy)
    with refused("unreadable_weights", WeightsError):
        load_imagenet(tmp_path / "absent.pth")


@pytest.mark.parametrize(("fused", "optimised"), [(True, True), (False, True), (True, False)])
def test_the_branch_of_imagenet_is_the_published_network(
    checkpoint: dict[str, torch.Tensor], fused: bool, optimised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch norms folded, classifier at every cell: the mean over the cells is timm's own answer."""
    model = a_model()
    port_weights(checkpoint, model)
    monkeypatch.setattr(lite_weights, "can_fuse", lambda: fused)  # False: a machine without the operator
    network = load_network(read_weights(), optimised=optimised)
    count = sum(isinstance(m, FusedConv2d | PackedPointwise) for m in network.modules())
    assert (count > 80) if fused and optimised else count == 0
    pixels = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        below = network.below(pixels)
        fine, coarse = network.published(below)
        ours, theirs = network.class_logits(coarse).mean((1, 2)), model(pixels)
    assert below.shape == (1, 40, 12, 16)
    assert fine.shape == (1, 112, 6, 8)
    assert coarse.shape == (1, 320, 3, 4)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)  # float32, other order of sums


def test_the_trained_branch_is_the_same_however_it_is_computed(network: LiteNetwork) -> None:
    plain = load_network(read_weights(), optimised=False)
    pixels = as_tensor(sea(96, 128)[None])
    with torch.inference_mode():
        ours: Sight = network(network.below(pixels))
        theirs: Sight = plain(plain.below(pixels))
    assert ours.cells.shape == (1, 6, 12, 16)
    torch.testing.assert_close(ours.cells, theirs.cells, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(ours.presence, theirs.presence, atol=1e-3, rtol=1e-3)
    with torch.inference_mode():
        again = plain.cells(theirs.features), plain.presence(theirs.pooled)[:, 0]
    torch.testing.assert_close(again[0], theirs.cells)
    torch.testing.assert_close(again[1], theirs.presence)


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


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 12), (40, 56)])
@pytest.mark.parametrize("relu6", [True, False])
def test_a_packed_convolution_is_the_fused_one(height: int, width: int, relu6: bool) -> None:
    conv = nn.Conv2d(24, 144, 1).requires_grad_(False)
    fused = FusedConv2d(conv, relu6)
    image = torch.randn(2, 24, height, width, generator=torch.Generator().manual_seed(1))
    for each in (image, image.contiguous(memory_format=torch.channels_last)):
        with torch.inference_mode():
            packed = PackedPointwise.of(fused)
            ours = packed(each)
            torch.testing.assert_close(ours, fused(each), atol=1e-6, rtol=1e-6)
            assert torch.equal(pickle.loads(pickle.dumps(packed))(each), ours)
        assert ours.is_contiguous(memory_format=torch.channels_last)


def test_only_layers_that_keep_their_bits_are_packed(
    network: LiteNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The boxes of a folder that is continued are those of the version that began it."""
    monkeypatch.setattr(lite_fast, "_fused", FusedConv2d)
    unpacked = load_network(read_weights())
    assert not any(isinstance(module, PackedPointwise) for module in unpacked.modules())
    for height, width in ((320, 448), (96, 256)):
        with torch.inference_mode():
            pixels = as_tensor(sea(height, width)[None])
            ours, theirs = network.below(pixels), unpacked.below(pixels)
            assert torch.equal(ours, theirs)
            assert torch.equal(network(ours).features, unpacked(theirs).features)
            assert all(map(torch.equal, network.published(ours), unpacked.published(theirs)))


def test_the_weights_file_is_small_and_written_the_same_each_time() -> None:
    weights = read_weights()
    assert SHIPPED.stat().st_size <= 12_000_000
    assert weights.to_bytes() == SHIPPED.read_bytes()
    assert "photos" in weights.about["trained on"]


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = SHIPPED.read_bytes()
    file = tmp_path / "mine.safetensors"
    tensors = load(content)
    about = {"detic-crop": '{"format": "detic-crop lite 1"}'}
    first = next(name for name in tensors if name.startswith("network."))
    broken: list[bytes] = [
        b"",
        b"not a file of tensors",
        content[:-1],
        save(tensors),
        save(tensors, {"detic-crop": '{"format": "another"}'}),
        save(tensors, {"detic-crop": "[]"}),
        save(tensors, {"detic-crop": "[" * 5000}),
        b"\0\0\1\0\0\0\0\0" + b"[" * (1 << 16),  # a header that nests too deep
        b"\xff" * 8 + content[8:],  # a header that claims more than there is
        content + bytes(lite_weights.MOST_BYTES),
        save({name: value for name, value in tensors.items() if name != "conf"}, about),
        save(tensors | {"conf": np.array([7], np.float32)}, about),
        save(tensors | {"conf": np.array([0.3j], np.complex64)}, about),
        save(tensors | {"judgement.box": np.zeros(2, np.float32)}, about),
        save(tensors | {first: np.full_like(tensors[first], np.nan)}, about),
        save(tensors | {first: tensors[first].astype(np.float32)}, about),
    ]
    for bad in broken:
        file.write_bytes(bad)
        with refused("damaged_weights", WeightsError, names=[str(file)]):
            read_weights(file)
    with refused("unreadable_weights", WeightsError):
        read_weights(tmp_path / "absent.safetensors")
    write_taught(file, {"conf": np.array(0.3)}, {}, {})
    with refused("damaged_weights", WeightsError, names=["--model lite:FILE"]):
        read_weights(file)
    file.write_bytes(save({name: value for name, value in tensors.items() if name != first}, about))
    with refused("weights_do_not_fit", WeightsError, names=[first.removeprefix("network.")]):
        load_network(read_weights(file))
    monkeypatch.setattr(lite_weights, "SHIPPED", file)  # pip's own copy is another file than was built
    with refused("damaged_weights", WeightsError):
        read_weights(file)


def test_info_names_what_the_answers_depend_on(lite: LiteDetector, tmp_path: Path) -> None:
    assert isinstance(lite, Detector)
    assert set(lite.info.weights) == {"efficientnet-lite0-57934424.pth", FILE}
    assert all(len(digest) == 64 for digest in lite.info.weights.values())
    assert 0 < lite.info.default_conf < 1


# --- boxes from cells ------------------------------------------------------------------------------------


def cells_of(boxes: list[tuple[float, float, float, float]], height: int, width: int) -> NDArray[np.float32]:
    """Cells that are sure of some boxes and see nothing anywhere else."""
    cells = np.full((6, height, width), -6, np.float32)
    cells[1:5] = 0
    for left, top, right, bottom in boxes:
        x, y = int((left + right) / 2 / CELL), int((top + bottom) / 2 / CELL)
        for row, column in ((y, x), (y, x + 1), (y + 1, x)):
            at_x, at_y = (column + 0.5) * CELL, (row + 0.5) * CELL
            reach = np.array([at_x - left, at_y - top, right - at_x, bottom - at_y])
            cells[1:5, row, column] = np.log(reach / CELL)
            cells[0, row, column] = 3 if (row, column) == (y, x) else 1
    return cells


def test_each_animal_gives_one_box_likeliest_first() -> None:
    truth = [(16.0, 24.0, 120.0, 88.0), (150.0, 100.0, 290.0, 200.0)]
    cells = cells_of(truth, 30, 40)
    cells[0, 18, 27] += 1
    boxes, chances = boxes_of_cells(cells, 5)
    assert len(boxes) == 2
    np.testing.assert_allclose(boxes, truth[::-1], atol=1e-3)
    assert chances[0] > chances[1] > 0.9
    assert len(boxes_of_cells(cells, 1)[0]) == 1


def test_cells_that_agree_share_the_say() -> None:
    cells = cells_of([(16.0, 24.0, 120.0, 88.0)], 30, 40)
    cells[3, 7, 9] += 0.2  # one of the lesser cells sees the right edge farther out
    box = boxes_of_cells(cells, 1)[0][0]
    assert 120 < box[2] < 124


def test_cells_that_see_nothing_give_one_faint_box_inside_the_picture() -> None:
    cells = np.full((6, 4, 5), -9, np.float32)
    cells[1:5] = 50  # far beyond the picture
    boxes, chances = boxes_of_cells(cells, 5)
    np.testing.assert_array_equal(boxes, [[0, 0, 40, 32]])
    assert chances[0] < 0.01


def test_a_score_is_the_logistic_of_what_is_known() -> None:
    evidence = Evidence(*np.arange(9.0))
    assert list(evidence.array()) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    weights = np.zeros(len(FEATURES) + 1, np.float32)
    weights[2], weights[-1] = 0.5, -1
    judgement = Judgement(weights, -weights)
    assert judgement.score(evidence) == pytest.approx(0.5)
    assert judgement.presence_of(replace(evidence, presence_overview=4.0)) == pytest.approx(1 / (1 + np.e))


def test_the_margin_weighs_marine_mammals_against_all_others() -> None:
    logits = torch.zeros(2, 5, 1000)
    assert margin(logits) == pytest.approx(np.log(4 / 996), abs=1e-5)
    logits[0, 0, 148] = 20
    assert margin(logits) > np.log(4 / 996) + 5  # one cell of ten is the highest tenth


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


def test_views_are_whole_cells() -> None:
    photo = sea(301, 997)
    for picture in (overview(photo), close_up(photo, (5, 7, 900, 40)), close_up(photo, (5, 7, 6, 8))):
        assert picture.shape[0] % 32 == 0
        assert picture.shape[1] % 32 == 0
    assert overview(photo).shape == (128, 448, 3)


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


def test_a_detector_can_be_sent(lite: LiteDetector) -> None:
    image, _ = back_and_fin(320, 480, (240, 200), 200)
    assert_same(pickle.loads(pickle.dumps(lite)).detect(image), lite.detect(image))


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
    path = Path(__file__).parents[2] / "examples" / "train_images" / "two_dolphins.jpg"
    return np.asarray(cv2.imread(str(path)), np.uint8)


def test_a_photo_is_one_cores_work(
    lite: LiteDetector, two_dolphins: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    see = nn.Module.__call__

    def watched(module: nn.Module, *given: object) -> object:
        if isinstance(module, LiteNetwork):
            seen.append(torch.get_num_threads())
        return see(module, *given)

    monkeypatch.setattr(LiteNetwork, "__call__", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    lite.detect(two_dolphins)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_several_animals_give_several_boxes(lite: LiteDetector, two_dolphins: NDArray[np.uint8]) -> None:
    assert len(lite.detect(two_dolphins)) >= 2


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
        made = [comparable(str(name), (folder / name).read_bytes()) for folder in (one, four)]
        assert made[0] == made[1], name
