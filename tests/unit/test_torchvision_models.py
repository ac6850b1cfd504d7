"""Torchvision's models against torchvision's own forward, and the checkpoints that they take."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from detic_crop import UsageError, load_detector
from detic_crop.boxes.detections import Detections
from detic_crop.detectors import catalogue as catalogue_module
from detic_crop.detectors import resolve_model, weights
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.catalogue import catalogue
from detic_crop.detectors.torchvision_models.build import architectures, build_filled, coco_names
from detic_crop.detectors.torchvision_models.detector import FLOOR, TorchvisionDetector
from detic_crop.errors import WeightsError
from detic_crop.images.partial import reduction_to_show
from tests.kit.errors import refused
from tests.kit.parity_checks import CLOSE_PIXELS, agreement
from tests.kit.photos import picture
from tests.kit.torchvision_weights import SMALL, made_weights, models, write_weights

FASTER = "fasterrcnn_mobilenet_v3_large_320_fpn"
PHOTO = picture(3, 400, 270)
NUMBERS = tuple(map(str, range(91)))


def published(architecture: str, tensors: Mapping[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model as torchvision makes it of its own weights, if they were these."""
    member = models.get_model_weights(architecture).DEFAULT
    monkeypatch.setattr(type(member), "get_state_dict", lambda *_, **__: tensors)
    return models.get_model(architecture, weights=member, progress=False).eval()


def show_at(network: Any, shortest: int) -> None:
    transform = network.transform
    transform.max_size = round(transform.max_size * shortest / transform.min_size[-1])
    transform.min_size = (shortest,)


def theirs(network: Any, *photos: NDArray[np.uint8]) -> list[dict[str, NDArray[Any]]]:
    """Boxes, scores and labels of torchvision's forward; those with an area that score enough."""
    tensors = [torch.from_numpy(photo[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255 for photo in photos]
    with torch.inference_mode():
        found = network(tensors)
    answers = []
    for one in found:
        has_area = (one["boxes"][:, 2:] > one["boxes"][:, :2]).all(dim=1)
        kept = has_area & (one["scores"] > FLOOR)
        answers.append({name: one[name][kept].numpy() for name in ("boxes", "scores", "labels")})
    return answers


def detector(architecture: str, **settings: Any) -> TorchvisionDetector:
    network, n_classes = build_filled(architecture, made_weights(architecture), "made weights")
    names = NUMBERS[:n_classes]
    return TorchvisionDetector(network, DetectorInfo(architecture, names, 0.5), names, **settings)


def assert_agree(ours: Detections, golden: Mapping[str, NDArray[Any]]) -> None:
    labels = np.array([int(name) for name in ours.class_names])
    found = agreement(
        ours.xyxy, ours.scores, labels, golden["boxes"], golden["scores"], golden["labels"].astype(np.int64)
    )
    assert found.n_ours == found.n_golden == found.n_close > 3, found
    assert found.pixels <= CLOSE_PIXELS
    np.testing.assert_allclose(ours.scores, golden["scores"], atol=1e-4)  # in the same order, but for ties


def test_the_catalogue_is_what_torchvision_publishes() -> None:
    entries = [entry for entry in catalogue().values() if entry.kind == "torchvision"]
    assert {entry.architecture: entry.address for entry in entries} == {
        name: models.get_model_weights(name).DEFAULT.url for name in architectures()
    }


@pytest.mark.slow
@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("architecture", architectures())
def test_boxes_are_torchvisions(architecture: str, optimised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    size = None if architecture.startswith("ssd") else 128
    reference = published(architecture, made_weights(architecture), monkeypatch)
    if size is not None:
        show_at(reference, size)
    (golden,) = theirs(reference, PHOTO)
    assert_agree(detector(architecture, detector_size=size, optimised=optimised).detect(PHOTO), golden)


@pytest.mark.parametrize("architecture", [SMALL, FASTER])
def test_batches_and_threads_equal_single_photos(architecture: str) -> None:
    ours = detector(architecture)
    assert ours.info.thread_safe
    photos = [PHOTO, picture(1, 401, 268), picture(2, 90, 200), picture(4, 30, 20), PHOTO]
    alone = [ours.detect(photo) for photo in photos]
    together = ours.detect_batch([ours.prepare(photo) for photo in photos])
    with ThreadPoolExecutor(3) as pool:
        threads = list(pool.map(ours.detect, photos))
    for one, batched, threaded in zip(alone, together, threads, strict=True):
        golden = {
            "boxes": one.xyxy,
            "scores": one.scores,
            "labels": np.array([int(name) for name in one.class_names]),
        }
        assert_agree(batched, golden)
        np.testing.assert_array_equal(threaded.xyxy, one.xyxy)
    assert ours.group_of(ours.prepare(PHOTO)) == ours.group_of(ours.prepare(picture(1, 401, 268)))


def test_a_long_and_narrow_photo_does_not_spoil_the_next_ones() -> None:
    narrow, ordinary = detector(FASTER), detector(FASTER)
    narrow.detect(picture(0, 900, 6))
    np.testing.assert_array_equal(narrow.detect(PHOTO).xyxy, ordinary.detect(PHOTO).xyxy)


@pytest.mark.parametrize("architecture", [SMALL, FASTER])
def test_memory_that_is_too_small_halves_the_batch(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = detector(architecture, batch_size=4)
    forward = ours._network.forward

    def small(photos: list[Tensor]) -> Any:
        if len(photos) > 1:
            raise torch.cuda.OutOfMemoryError("too many")
        return forward(photos)

    alone = ours.detect(PHOTO)
    monkeypatch.setattr(ours._network, "forward", small)
    found = ours.detect_batch([ours.prepare(PHOTO)] * 3)
    assert [len(one) for one in found] == [len(alone)] * 3
    assert ours.preferred_batch == 1


@pytest.mark.parametrize("architecture", [SMALL, FASTER, "retinanet_resnet50_fpn_v2"])
def test_bfloat16_changes_little(architecture: str) -> None:
    size = 96 if architecture.startswith("retinanet") else None
    plain = detector(architecture, detector_size=size)
    half = detector(architecture, precision="bfloat16", detector_size=size)
    one, other = plain.detect(PHOTO), half.detect(PHOTO)
    assert other.xyxy.dtype == other.scores.dtype == np.dtype(np.float32)
    assert len(other) > len(one) / 2
    assert abs(float(other.scores[0]) - float(one.scores[0])) < 0.1


def test_a_reduced_photo_is_shown_at_the_same_size() -> None:
    for architecture in (SMALL, FASTER):
        ours = detector(architecture)
        whole = ours.prepare(picture(5, 1600, 1200))
        reduced = ours.prepare(picture(5, 800, 600), photo_hw=(1200, 1600))
        assert (whole.shown_hw, whole.photo_hw) == (reduced.shown_hw, reduced.photo_hw)
        for resolution_wh in ((1600, 1200), (3000, 500), (500, 3000)):
            shown_height, shown_width = ours.view.shown_hw(resolution_wh[::-1])
            reduction = reduction_to_show(resolution_wh, ours.info.input_size)
            assert resolution_wh[0] / reduction >= shown_width - 1
            assert resolution_wh[1] / reduction >= shown_height - 1


def test_a_network_of_one_size_takes_no_other() -> None:
    with refused("option_not_applicable", UsageError, names=["--detector-size 640", "320 × 320"]):
        detector(SMALL, detector_size=640)


class TestLoad:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The weights folder; whoever asks for a download fails."""

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise AssertionError("a download was asked for")

        monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
        monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
        monkeypatch.setattr("urllib.request.urlopen", refuse)
        monkeypatch.setattr(sys.modules["torch.hub"], "download_url_to_file", refuse)
        return tmp_path / "weights"

    @pytest.fixture
    def pulled(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Made-up weights of the smallest model, as if they were the published ones."""
        path = write_weights(folder / "made.pth")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path = path.rename(folder / f"{SMALL}_coco-{digest[:8]}.pth")
        ours = dict(catalogue())
        ours[f"torchvision:{SMALL}"] = dataclasses.replace(ours[f"torchvision:{SMALL}"], file=path.name)
        for module in (catalogue_module, weights):
            monkeypatch.setattr(module, "catalogue", lambda: ours)
        return path

    def test_pulled_weights(self, pulled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded = load_detector(f"torchvision:{SMALL}", "cpu")
        info = loaded.info
        assert info.name == f"torchvision:{SMALL}"
        assert info.weights == {pulled.name: hashlib.sha256(pulled.read_bytes()).hexdigest()}
        assert (info.default_conf, info.floor, info.default_classes) == (0.5, FLOOR, "marine")
        assert len(info.class_names) == 80
        assert {"bird", "boat", "surfboard"} < set(info.class_names)
        found = loaded.detect(PHOTO)
        golden = theirs(published(SMALL, made_weights(SMALL), monkeypatch), PHOTO)[0]
        names = models.get_model_weights(SMALL).DEFAULT.meta["categories"]
        expected = [name for label in golden["labels"] if (name := names[label]) != "N/A"]
        assert sorted(found.class_names) == sorted(expected)
        assert set(found.class_names) <= set(info.class_names)
        again = load_detector(f"torchvision:{SMALL}", "cpu").detect(PHOTO)  # from the safetensors copy
        assert pulled.with_suffix(".safetensors").exists()
        np.testing.assert_array_equal(again.xyxy, found.xyxy)

    def test_auto_takes_no_coco_model(self, pulled: Path) -> None:
        assert weights.installed(f"torchvision:{SMALL}") is not None
        assert resolve_model("auto")[0] == "lite"

    def test_another_file_under_its_name_is_refused(self, pulled: Path) -> None:
        write_weights(pulled, seed=1)
        with refused("damaged_weights", WeightsError, names=["as its name says", "pull torchvision:"]):
            load_detector(f"torchvision:{SMALL}", "cpu")

    def test_weights_that_are_not_there(self) -> None:
        with refused(
            "missing_weights", WeightsError, names=["weights pull torchvision:fcos_resnet50_fpn", "99b0c9b7"]
        ):
            load_detector("torchvision:fcos_resnet50_fpn", "cpu")

    def test_a_name_that_is_not_there(self) -> None:
        with refused("unknown_model", UsageError, names=["did you mean torchvision:fcos_resnet50_fpn?"]):
            load_detector("torchvision:fcos_resnet_50_fpn", "cpu")
        with refused("unknown_model", UsageError, names=["keypointrcnn"]):
            load_detector("torchvision:keypointrcnn_resnet50_fpn", "cpu")
        with refused("unknown_model", UsageError, names=["got ''"]):
            load_detector("torchvision:", "cpu")

    @pytest.mark.parametrize(
        "form", ["bare", "model", "model_state_dict", "module.", "lightning", "safetensors"]
    )
    def test_own_weights(self, tmp_path: Path, form: str) -> None:
        from safetensors.torch import save_file

        path, tensors = tmp_path / "own.pth", made_weights(SMALL, 3)
        if form == "safetensors":
            path = path.with_suffix(".safetensors")
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        elif form == "module.":
            torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
        elif form == "lightning":
            inside = {f"model._orig_mod.{name}": tensor for name, tensor in tensors.items()}
            torch.save({"state_dict": inside, "epoch": 3}, path)
        else:
            torch.save(tensors if form == "bare" else {form: tensors, "epoch": 3}, path)
        (tmp_path / "names.txt").write_text("fin\nfluke\n")
        loaded = load_detector(f"torchvision:{SMALL}", "cpu", weights_file=path, names=tmp_path / "names.txt")
        assert (loaded.info.class_names, loaded.info.default_classes) == (("fin", "fluke"), "any")
        assert set(loaded.info.weights) == {path.name, "names names.txt"}
        assert set(loaded.detect(PHOTO).class_names) == {"fin", "fluke"}

    @pytest.mark.parametrize("architecture", [FASTER, SMALL])
    def test_the_number_of_classes_is_read_from_the_head(self, tmp_path: Path, architecture: str) -> None:
        path = write_weights(tmp_path / "own.pth", architecture, 7)
        loaded = load_detector(f"torchvision:{architecture}", "cpu", weights_file=path)
        assert loaded.info.class_names == tuple(f"class {number}" for number in range(7))
        assert loaded.info.default_classes == "any"
        (tmp_path / "names.txt").write_text("\n".join("abcdefg"))  # the first one for the background
        named = load_detector(
            f"torchvision:{architecture}", "cpu", weights_file=path, names=tmp_path / "names.txt"
        )
        numbered = loaded.detect(PHOTO).class_names
        assert [f"class {'abcdefg'.index(name)}" for name in named.detect(PHOTO).class_names] == [*numbered]

    def test_own_names_say_which_classes_count(self, tmp_path: Path) -> None:
        """As of every detector with labels: boats beside dolphins do not count, nor do people of COCO."""
        path = write_weights(tmp_path / "own.pth", SMALL, 3)
        (tmp_path / "names.txt").write_text("dolphin\nboat\n")
        loaded = load_detector(f"torchvision:{SMALL}", "cpu", weights_file=path, names=tmp_path / "names.txt")
        assert loaded.info.default_classes == "marine"
        path = write_weights(tmp_path / "coco.pth", SMALL)
        (tmp_path / "names.txt").write_text("\n".join(coco_names(SMALL)))
        loaded = load_detector(f"torchvision:{SMALL}", "cpu", weights_file=path, names=tmp_path / "names.txt")
        assert loaded.info.default_classes == "marine"

    def test_names_that_do_not_fit(self, tmp_path: Path) -> None:
        path = write_weights(tmp_path / "own.pth", SMALL, 3)
        (tmp_path / "names.txt").write_text("a\n")
        with refused("names_do_not_fit", UsageError, names=["3 classes", "has 1"]):
            load_detector(f"torchvision:{SMALL}", weights_file=path, names=tmp_path / "names.txt")

    def test_another_architecture(self, tmp_path: Path) -> None:
        path = write_weights(tmp_path / "own.pth", SMALL)
        with refused("weights_do_not_fit", WeightsError, names=["own.pth", f"as torchvision:{FASTER}"]):
            load_detector(f"torchvision:{FASTER}", weights_file=path)

    def test_a_whole_model_is_not_opened(self, tmp_path: Path) -> None:
        torch.save(models.get_model(SMALL, weights=None, weights_backbone=None), tmp_path / "own.pth")
        with refused(
            "damaged_weights", WeightsError, names=["torch.save(model.state_dict(), FILE)"]
        ) as caught:
            load_detector(f"torchvision:{SMALL}", weights_file=tmp_path / "own.pth")
        assert (
            "torchvision.models.detection" in caught.value.message
        )  # what it holds, without advice to trust it
        assert "can still be loaded" not in caught.value.message
        torch.save({"model": 3}, tmp_path / "own.pth")
        with refused("weights_do_not_fit", WeightsError, names=["a state dict"]):
            load_detector(f"torchvision:{SMALL}", weights_file=tmp_path / "own.pth")

    def test_weights_that_were_trained_from_scratch_keep_their_epsilon(self) -> None:
        architecture = "fasterrcnn_resnet50_fpn"
        tensors = made_weights(architecture)
        networks = [build_filled(architecture, tensors, "published")[0]]
        tensors["backbone.body.bn1.num_batches_tracked"] = torch.tensor(5)
        networks.append(build_filled(architecture, tensors, "own")[0])
        norms: list[Any] = [network.get_submodule("backbone.body.bn1") for network in networks]
        assert [norm.eps for norm in norms] == [0.0, 1e-5]
