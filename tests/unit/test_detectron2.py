"""The adapter to detectron2, against a stand-in with the interface of its main branch (0.6)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from detic_crop.detectors import detectron2 as adapter
from detic_crop.detectors.base import Detector
from detic_crop.detectors.detectron2 import Detectron2Detector, load_detectron2
from detic_crop.detectors.vocabulary import names_of, resolve_classes
from detic_crop.errors import DeticCropError, UsageError, WeightsError
from tests.kit.errors import refused
from tests.kit.helpers import as_found, write

FASTER = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
RETINA = "COCO-Detection/retinanet_R_50_FPN_3x.yaml"
ZOO: dict[str, dict[str, object]] = {
    FASTER: {"META_ARCHITECTURE": "GeneralizedRCNN"},
    RETINA: {"META_ARCHITECTURE": "RetinaNet"},
    "COCO-Detection/rpn_R_50_FPN_1x.yaml": {"META_ARCHITECTURE": "ProposalNetwork"},
    "COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml": {"LOAD_PROPOSALS": True},
}
UNPUBLISHED = "COCO-Detection/faster_rcnn_R_18_FPN_1x.yaml"
PY_ONLY = "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ"
PHOTO = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


class Boxes:
    """detectron2.structures.Boxes."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Instances:
    """detectron2.structures.Instances: fields that some models give and some do not."""

    def __init__(self, image_size: tuple[int, int], **fields: Any) -> None:
        self.image_size = image_size
        self._fields = fields

    def has(self, name: str) -> bool:
        return name in self._fields

    def to(self, device: str) -> Instances:
        assert device == "cpu"
        return self

    def __getattr__(self, name: str) -> Any:
        if name not in self._fields:
            raise AttributeError(f"Cannot find field '{name}' in the given Instances!")
        return self._fields[name]


class CfgNode(SimpleNamespace):
    """detectron2.config.CfgNode; JSON, which is YAML, is all it reads."""

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = True) -> None:
        text = Path(cfg_filename).read_text()
        if "!!python" in text and not allow_unsafe:
            raise ValueError("could not determine a constructor for the tag")
        for section, values in json.loads(text).items():
            for key, value in values.items():
                setattr(getattr(self, section), key, value)


def get_cfg() -> CfgNode:
    """detectron2.config.get_cfg: the defaults."""
    return CfgNode(
        MODEL=SimpleNamespace(
            META_ARCHITECTURE="GeneralizedRCNN",
            WEIGHTS="",
            DEVICE="cuda",
            LOAD_PROPOSALS=False,
            ROI_HEADS=SimpleNamespace(SCORE_THRESH_TEST=0.5, NUM_CLASSES=80),
            RETINANET=SimpleNamespace(SCORE_THRESH_TEST=0.5, NUM_CLASSES=80),
        ),
        DATASETS=SimpleNamespace(TEST=("coco_2017_val",)),
    )


def instances(*found: tuple[list[float], float, int], **others: Any) -> Instances:
    """From (xyxy, score, class number) triples."""
    return Instances(
        (4, 6),
        pred_boxes=Boxes(torch.tensor([box for box, _, _ in found]).reshape(-1, 4)),
        scores=torch.tensor([score for _, score, _ in found]),
        pred_classes=torch.tensor([number for _, _, number in found], dtype=torch.int64),
        **others,
    )


@dataclass
class StandIn:
    """What the stand-in was asked for, and what it is to answer."""

    folder: Path
    settings: list[Any] = field(default_factory=list)
    photos: list[NDArray[np.uint8]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=lambda: {"instances": instances()})
    error: Exception | None = None
    thing_classes: dict[str, list[str]] = field(
        default_factory=lambda: {"coco_2017_val": list(names_of("coco"))}
    )

    def default_predictor(self, cfg: CfgNode) -> Callable[[NDArray[np.uint8]], dict[str, Any]]:
        """engine.DefaultPredictor."""
        if self.error:
            raise self.error
        self.settings.append(cfg)
        return self.predict

    def predict(self, original_image: NDArray[np.uint8]) -> dict[str, Any]:
        """BGR photo → outputs."""
        self.photos.append(original_image)
        return self.answer

    def get_config_file(self, config_path: str) -> str:
        """model_zoo.get_config_file."""
        if config_path not in (*ZOO, UNPUBLISHED):
            raise RuntimeError(f"{config_path} not available in Model Zoo!")
        return f"/site-packages/detectron2/model_zoo/configs/{config_path}"

    def get_config(self, config_path: str, trained: bool = False) -> CfgNode:
        """model_zoo.get_config: without `trained`, the weights of a backbone."""
        cfg = get_cfg()
        vars(cfg.MODEL).update(
            {"WEIGHTS": "detectron2://ImageNetPretrained/MSRA/R-50.pkl"}, **ZOO.get(config_path, {})
        )
        if trained:
            cfg.MODEL.WEIGHTS = self.get_checkpoint_url(config_path)
        return cfg

    def get_checkpoint_url(self, config_path: str) -> str:
        """model_zoo.get_checkpoint_url."""
        if config_path not in ZOO:
            raise RuntimeError(f"Pretrained model for {config_path} is not available!")
        return f"https://dl.fbaipublicfiles.com/detectron2/{config_path[:-5]}/1/model_final_abc.pkl"

    def get_metadata(self, name: str) -> dict[str, list[str]]:
        """MetadataCatalog.get: empty metadata for a data set that nobody registered."""
        return {"thing_classes": self.thing_classes[name]} if name in self.thing_classes else {}

    def get_local_path(self, path: str) -> str:
        """PathManager.get_local_path: where a checkpoint has been fetched to."""
        return str(self.folder / path.rsplit("/", 1)[-1]) if "://" in path else path


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Installed as detectron2, its checkpoint fetched."""
    stand_in = StandIn(tmp_path)
    write(tmp_path / "model_final_abc.pkl", b"a checkpoint")
    urls = SimpleNamespace(CONFIG_PATH_TO_URL_SUFFIX={**{name[:-5]: "" for name in ZOO}, PY_ONLY: ""})
    contents: dict[str, dict[str, Any]] = {
        "detectron2": {},
        "detectron2.model_zoo": {
            "get_config": stand_in.get_config,
            "get_config_file": stand_in.get_config_file,
            "get_checkpoint_url": stand_in.get_checkpoint_url,
        },
        "detectron2.model_zoo.model_zoo": {"_ModelZooUrls": urls},
        "detectron2.config": {"get_cfg": get_cfg},
        "detectron2.data": {"MetadataCatalog": SimpleNamespace(get=stand_in.get_metadata)},
        "detectron2.engine": {"DefaultPredictor": stand_in.default_predictor},
        "detectron2.structures": {"Boxes": Boxes, "Instances": Instances},
        "detectron2.utils": {},
        "detectron2.utils.file_io": {"PathManager": SimpleNamespace(get_local_path=stand_in.get_local_path)},
    }
    for name, values in contents.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    return stand_in


def own_config(path: Path, **model: Any) -> str:
    """A `.yaml` of one's own, with a checkpoint beside it."""
    weights = write(path.with_name("mine.pth"), b"my checkpoint")
    path.write_text(json.dumps({"MODEL": {"WEIGHTS": str(weights), **model}}))
    return str(path)


# --- loading ---


@pytest.mark.parametrize("config", [FASTER, RETINA, FASTER.removesuffix(".yaml")])
def test_a_config_of_the_zoo(config: str, zoo: StandIn) -> None:
    detector = load_detectron2(config, "cpu")
    assert isinstance(detector, Detector)
    assert detector.info.name == f"detectron2:{config}"
    assert detector.info.class_names == names_of("coco")
    assert (detector.info.default_conf, detector.info.floor) == (0.5, 0.05)
    sha256 = hashlib.sha256(b"a checkpoint").hexdigest()
    assert detector.info.weights == {"model_final_abc.pkl": sha256}
    model = zoo.settings[0].MODEL
    assert model.DEVICE == "cpu"
    assert model.ROI_HEADS.SCORE_THRESH_TEST == model.RETINANET.SCORE_THRESH_TEST == 0.05
    assert model.WEIGHTS.startswith("https://")  # the trained detector, not the config's own backbone


def test_a_checkpoint_that_cannot_be_found_is_known_by_its_address(zoo: StandIn) -> None:
    (zoo.folder / "model_final_abc.pkl").unlink()
    weights = load_detectron2(FASTER, "cpu").info.weights
    assert weights == {"model_final_abc.pkl": zoo.get_checkpoint_url(FASTER)}


def test_a_detectron2_without_its_file_manager(zoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2.utils.file_io", None)
    assert load_detectron2(FASTER, "cpu").info.weights["model_final_abc.pkl"].startswith("https://")


def test_a_config_of_ones_own(zoo: StandIn, tmp_path: Path) -> None:
    config = own_config(tmp_path / "fins.yaml")
    info = load_detectron2(config, "cpu").info
    assert info.name == "detectron2:fins.yaml"  # no folder of this machine in the audit
    assert info.weights == {
        "mine.pth": hashlib.sha256(b"my checkpoint").hexdigest(),
        "fins.yaml": hashlib.sha256(Path(config).read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize("architecture", ["GeneralizedRCNN", "RetinaNet"])
def test_a_data_set_that_detectron2_does_not_know_has_numbers(
    architecture: str, zoo: StandIn, tmp_path: Path
) -> None:
    head = SimpleNamespace(SCORE_THRESH_TEST=0.5, NUM_CLASSES=2)
    heads = {"META_ARCHITECTURE": architecture}
    config = own_config(tmp_path / "fins.yaml", **heads)
    zoo.thing_classes["coco_2017_val"] = ["of", "another", "data", "set"]
    detectron2 = adapter._Detectron2()
    settings = detectron2.settings(config)
    vars(settings.MODEL).update(RETINANET=head, ROI_HEADS=head)
    assert detectron2.class_names(settings) == ("class 0", "class 1")
    settings.DATASETS.TEST = ("nobody_registered_it",)
    assert detectron2.class_names(settings) == ("class 0", "class 1")
    settings.DATASETS.TEST = ()
    assert detectron2.class_names(settings) == ("class 0", "class 1")


def test_coco_has_no_marine_class(zoo: StandIn) -> None:
    info = load_detectron2(FASTER, "cpu").info
    with refused(
        "unknown_class",
        UsageError,
        match=r"no class of the group 'marine'.*--classes any or.*'bird,boat,surfboard'",
    ):
        resolve_classes("marine", info.class_names, info.name)
    assert resolve_classes("any", info.class_names, info.name) is None


# --- what cannot be loaded ---


def test_without_detectron2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also: our own module of that name is not taken for it."""
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with refused("missing_extra", UsageError) as caught:
        load_detectron2(FASTER, "cpu")
    message = caught.value.message
    assert "pip install 'git+https://github.com/facebookresearch/detectron2.git'" in message
    assert "torch and a C++ compiler" in message
    assert "--model lite" in message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import pkg_resources_is_not_here",
            "cannot be imported .*pkg_resources_is_not_here.*install it again",
        ),
        ("raise ModuleNotFoundError('no', name='pkg_resources')", "pip install 'setuptools<81'"),
        ("raise ImportError('_C.so: undefined symbol')", "undefined symbol.*for this version of torch"),
        ("raise AttributeError('PIL.Image has no LINEAR')", "PIL.Image has no LINEAR.*--model lite"),
    ],
)
def test_a_detectron2_that_does_not_import(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "detectron2" / "__init__.py", source.encode())
    for name in [name for name in sys.modules if name.split(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with refused("missing_extra", UsageError, match=message):
        load_detectron2(FASTER, "cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("COCO-Detection/faster_rcnn_R_50_FPN_3", f"no config .*close names: {FASTER}"),
        ("Retinanet_R_50_FPN", f"close names: {RETINA}"),
        ("yolo", f"close names: {FASTER}"),  # nothing close: an example
        (f"{PY_ONLY}.py", r"\.py configs are not supported"),
        (PY_ONLY, "no config"),
        ("/nowhere/fins.yaml", "/nowhere/fins.yaml: there is no such file"),
        (UNPUBLISHED, f"publishes no checkpoint for .*close names: {FASTER}"),
    ],
)
def test_configs_that_are_not_there(config: str, message: str, zoo: StandIn) -> None:
    with refused("unknown_detectron2_config", UsageError, match=message) as caught:
        load_detectron2(config, "cpu")
    assert PY_ONLY not in caught.value.message.partition("close names")[2]
    assert zoo.settings == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("COCO-Detection/rpn_R_50_FPN_1x", rf"\(ProposalNetwork.*detectron2:{FASTER}"),
        ("COCO-Detection/fast_rcnn_R_50_FPN_1x", "proposals from elsewhere"),
    ],
)
def test_configs_that_detect_nothing_alone(config: str, message: str, zoo: StandIn) -> None:
    with refused("unusable_detectron2_config", UsageError, match=message):
        load_detectron2(config, "cpu")
    assert zoo.settings == []


def test_a_zoo_that_keeps_its_list_elsewhere(zoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2.model_zoo.model_zoo", ModuleType("model_zoo"))
    with refused("unknown_detectron2_config", UsageError, names=[f"close names: {FASTER}"]):
        load_detectron2("nothing-like-it", "cpu")


@pytest.mark.parametrize("weights", ["", "detectron2://ImageNetPretrained/MSRA/R-50.pkl"])
def test_an_untrained_detector_is_refused(weights: str, zoo: StandIn, tmp_path: Path) -> None:
    with refused("unusable_detectron2_config", UsageError):
        load_detectron2(own_config(tmp_path / "fins.yaml", WEIGHTS=weights), "cpu")


@pytest.mark.parametrize(
    "text", ["no config", '{"MODEL": "!!python/object/apply:os.system"}', '{"X": {"Y": 1}}']
)
def test_a_yaml_that_is_no_plain_config_is_refused(text: str, zoo: StandIn, tmp_path: Path) -> None:
    (tmp_path / "fins.yaml").write_text(text)
    with refused("unusable_detectron2_config", UsageError, names=["fins.yaml"]):
        load_detectron2(str(tmp_path / "fins.yaml"), "cpu")


@pytest.mark.parametrize(
    "error",
    [OSError("Name or service not known"), AssertionError("Checkpoint x not found!"), KeyError("model")],
)
def test_a_checkpoint_that_cannot_be_had(error: Exception, zoo: StandIn) -> None:
    zoo.error = error
    with refused("missing_weights", WeightsError) as caught:
        load_detectron2(FASTER, "cpu")
    assert str(error) in caught.value.message
    assert "model_final_abc.pkl" in caught.value.message
    assert "MODEL.WEIGHTS" in caught.value.message


@pytest.mark.parametrize(
    ("asked", "best", "expected"),
    [("auto", "mps", "cpu"), ("auto", "cuda", "cuda"), ("cpu", "cpu", "cpu"), ("cuda:1", "cuda:1", "cuda:1")],
)
def test_devices(asked: str, best: str, expected: str, zoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "resolve_device", lambda device: best)
    load_detectron2(FASTER, asked)
    assert expected == zoo.settings[0].MODEL.DEVICE


def test_mps_is_refused_where_it_was_asked_for(zoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "resolve_device", lambda device: device)
    with refused("missing_device", UsageError):
        load_detectron2(FASTER, "mps")


# --- detecting ---


@pytest.fixture
def detector(zoo: StandIn) -> Detectron2Detector:
    """Faster R-CNN of the stand-in."""
    return load_detectron2(FASTER, "cpu")


def test_boxes_scores_and_names(zoo: StandIn, detector: Detectron2Detector) -> None:
    zoo.answer["instances"] = instances(([1, 0, 5.5, 3], 0.9, 8), ([0, 0, 2, 2], 0.25, 14))
    found = detector.detect(PHOTO, "a.jpg")
    assert as_found(found) == [((1, 0, 5.5, 3), np.float32(0.9), "boat"), ((0, 0, 2, 2), 0.25, "bird")]
    assert {found.xyxy.dtype, found.scores.dtype} == {np.dtype(np.float32)}
    assert found.presence is None
    np.testing.assert_array_equal(zoo.photos[0], PHOTO)  # BGR, as cv2 reads it


def test_no_boxes(zoo: StandIn, detector: Detectron2Detector) -> None:
    found = detector.detect(PHOTO)
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)


def test_masks_and_keypoints_are_ignored(zoo: StandIn, detector: Detectron2Detector) -> None:
    masks, keypoints = torch.ones(1, 4, 6, dtype=torch.bool), torch.zeros(1, 17, 3)
    zoo.answer["instances"] = instances(([1, 1, 2, 2], 0.5, 0), pred_masks=masks, pred_keypoints=keypoints)
    zoo.answer["panoptic_seg"] = object()
    assert as_found(detector.detect(PHOTO)) == [((1, 1, 2, 2), 0.5, "person")]


def test_half_precision_gradients_and_rounding(zoo: StandIn, detector: Detectron2Detector) -> None:
    answer = instances(([1, 1, 2, 2], 1.0, 0))
    answer.pred_boxes.tensor = answer.pred_boxes.tensor.half().requires_grad_()
    answer._fields["scores"] = torch.tensor([1.0000001])
    zoo.answer["instances"] = answer
    assert as_found(detector.detect(PHOTO)) == [((1, 1, 2, 2), 1.0, "person")]


def test_boxes_that_are_no_numbers_are_left_out(zoo: StandIn, detector: Detectron2Detector) -> None:
    inf, nan = float("inf"), float("nan")
    zoo.answer["instances"] = instances(
        ([0, 0, inf, 1], 0.9, 0), ([0, 0, 1, 1], nan, 0), ([0, nan, 1, 1], 0.9, 0), ([0, 0, 1, 1], 0.5, 1)
    )
    assert as_found(detector.detect(PHOTO)) == [((0, 0, 1, 1), 0.5, "bicycle")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"sem_seg": 0}, "expected instances with pred_boxes, scores, pred_classes, got sem_seg"),
        ({"proposals": 0}, "got proposals"),
        ({}, "got nothing"),
        ({"instances": Instances((4, 6), pred_boxes=Boxes(torch.zeros(0, 4)))}, "got instances"),
    ],
)
def test_a_model_that_detects_nothing(
    answer: dict[str, Any], message: str, zoo: StandIn, detector: Detectron2Detector
) -> None:
    zoo.answer = answer
    with refused("unusable_detectron2_config", match=message):
        detector.detect(PHOTO)


def test_rotated_boxes_are_refused(zoo: StandIn, detector: Detectron2Detector) -> None:
    answer = instances(([1, 1, 2, 2], 0.5, 0))
    answer.pred_boxes.tensor = torch.zeros(4, 5)
    zoo.answer["instances"] = answer
    with refused("unusable_detectron2_config", DeticCropError, names=["(4, 5)"]):
        detector.detect(PHOTO)
