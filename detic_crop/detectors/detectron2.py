"""The `detectron2:CONFIG` detector: a detection config of detectron2's model zoo, or a `.yaml` of one's own.

detectron2 is not installed with this package. It fetches and keeps its checkpoints itself, and reads them
with pickle: give it only checkpoints that you trust.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.devices import resolve_device
from detic_crop.detectors.records import sha256_of
from detic_crop.errors import DeticCropError, UsageError, WeightsError

DEFAULT_CONF = 0.5
"""What detectron2's own demo uses."""
FLOOR = 0.05
"""Boxes below this score are left out by the model's own threshold."""

EXAMPLE = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
INSTALL = "pip install 'git+https://github.com/facebookresearch/detectron2.git' --no-build-isolation"

_FIELDS = ("pred_boxes", "scores", "pred_classes")
_NO_BOXES = ("ProposalNetwork", "SemanticSegmentor")  # architectures without classes or without boxes
_UNTRAINED = "ImageNetPretrained"  # in the address of weights for a backbone alone

_log = logging.getLogger(__name__)


class Detectron2Detector(Detector):
    """Asks a detectron2 predictor; masks and keypoints are ignored.

    Args:
        predictor: (H, W, 3) uint8 BGR → ``{"instances": Instances}``, a `DefaultPredictor`.
        info: `class_names` in the order of the model's class numbers.
    """

    def __init__(self, predictor: Any, info: DetectorInfo) -> None:
        self.info = info
        self._predictor = predictor

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return boxes in one photo, (H, W, 3) uint8 BGR, in the model's order; `key` is not used."""
        outputs = self._predictor(image)
        if "instances" not in outputs or not all(outputs["instances"].has(field) for field in _FIELDS):
            raise DeticCropError(
                "unusable_detectron2_config",
                f"{self.info.name}: expected instances with {', '.join(_FIELDS)}, "
                f"got {', '.join(outputs) or 'nothing'}; pass e.g. detectron2:{EXAMPLE}",
            )
        instances = outputs["instances"].to("cpu")
        xyxy = _array(instances.pred_boxes.tensor)  # (N, 4)
        scores = _array(instances.scores)  # (N,)
        if xyxy.ndim != 2 or xyxy.shape[1] != 4:
            raise DeticCropError(
                "unusable_detectron2_config",
                f"{self.info.name}: expected boxes of 4 numbers, got shape {xyxy.shape}; "
                "rotated boxes are not supported",
            )
        usable = np.flatnonzero(np.isfinite(xyxy).all(axis=1) & np.isfinite(scores))
        classes = [int(index) for index in instances.pred_classes]
        return Detections(
            xyxy[usable],
            scores[usable].clip(0, 1),
            tuple(self.info.class_names[classes[i]] for i in usable),
        )


def load_detectron2(config: str, device: str = "auto") -> Detectron2Detector:
    """Load a model-zoo config with its published checkpoint, or a `.yaml` that names its own.

    Args:
        config: e.g. ``COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml``, or the path of a `.yaml` file whose
            MODEL.WEIGHTS are a trained detector's.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: detectron2 is not installed, or there is no such config, or it detects nothing.
        WeightsError: the checkpoint cannot be downloaded or read.
    """
    detectron2 = _Detectron2()
    settings = detectron2.settings(config)
    settings.MODEL.DEVICE = _device(device)
    settings.MODEL.ROI_HEADS.SCORE_THRESH_TEST = FLOOR
    settings.MODEL.RETINANET.SCORE_THRESH_TEST = FLOOR
    _log.info("detectron2 loads %s", settings.MODEL.WEIGHTS)
    try:
        predictor = detectron2.engine.DefaultPredictor(settings)
    except Exception as error:  # its own errors are of every kind, assertions among them
        raise WeightsError(
            "missing_weights",
            f"detectron2 cannot load {config} with {settings.MODEL.WEIGHTS}: "
            f"{error or type(error).__name__}; check the network, or put the checkpoint on this machine "
            "and pass a .yaml whose MODEL.WEIGHTS is its path",
        ) from error
    weights = detectron2.weights(settings.MODEL.WEIGHTS)
    own = own_file(config)
    if own is not None:
        weights[own.name] = sha256_of(own)
    info = DetectorInfo(
        name=f"detectron2:{config if own is None else own.name}",
        class_names=detectron2.class_names(settings),
        default_conf=DEFAULT_CONF,
        weights=weights,
        floor=FLOOR,
    )
    return Detectron2Detector(predictor, info)


class _Detectron2:
    """The top-level package of that name, as far as it is used here."""

    def __init__(self) -> None:
        try:
            importlib.import_module("detectron2")
            self.zoo: Any = importlib.import_module("detectron2.model_zoo")
            self.config: Any = importlib.import_module("detectron2.config")
            self.data: Any = importlib.import_module("detectron2.data")
            self.engine: Any = importlib.import_module("detectron2.engine")
        except (ImportError, AttributeError, OSError) as error:  # also: too old for this torch or Pillow
            raise UsageError("missing_extra", _why_not(error)) from error

    def settings(self, config: str) -> Any:
        """Return the config node, with the weights of a trained detector."""
        path = own_file(config)
        if path is not None:
            settings = self.config.get_cfg()
            try:
                # By default detectron2 runs the code in tags such as !!python/object/apply; the file may be
                # a stranger's. The zoo's Base-RetinaNet.yaml has one, which `CfgNode.dump` resolves.
                settings.merge_from_file(str(path), allow_unsafe=False)
            except Exception as error:  # YAML's, yacs' and Python's own
                raise UsageError(
                    "unusable_detectron2_config",
                    f"{path} is not a detectron2 config of plain values ({error}); "
                    "write all values out with cfg.dump(), as detectron2's training does in config.yaml",
                ) from error
        else:
            settings = self._zoo_settings(config)
        _check_detects(config, settings)
        return settings

    def _zoo_settings(self, config: str) -> Any:
        name = config if config.endswith(".yaml") else f"{config}.yaml"
        if not self._has(name):
            raise UsageError("unknown_detectron2_config", _unknown_config(config, self._known_configs()))
        settings = self.zoo.get_config(name)
        try:
            settings.MODEL.WEIGHTS = self.zoo.get_checkpoint_url(name)
        except RuntimeError as error:
            raise UsageError(
                "unknown_detectron2_config",
                f"detectron2 publishes no checkpoint for {config}; {_close(config, self._known_configs())}",
            ) from error
        return settings

    def _known_configs(self) -> list[str]:
        """Return the `.yaml` configs with a checkpoint; none if detectron2 keeps its list elsewhere."""
        try:
            module: Any = importlib.import_module("detectron2.model_zoo.model_zoo")
            published = [f"{name}.yaml" for name in module._ModelZooUrls.CONFIG_PATH_TO_URL_SUFFIX]
        except (ImportError, AttributeError):
            return []
        return [name for name in published if self._has(name)]

    def _has(self, name: str) -> bool:
        try:
            self.zoo.get_config_file(name)
        except RuntimeError:  # some are there as .py only
            return False
        return True

    def class_names(self, settings: Any) -> tuple[str, ...]:
        """Return one name for each class number; ``class 0`` … if detectron2 does not know the data set."""
        is_retinanet = settings.MODEL.META_ARCHITECTURE == "RetinaNet"
        head = settings.MODEL.RETINANET if is_retinanet else settings.MODEL.ROI_HEADS
        names: list[str] = []
        if len(settings.DATASETS.TEST):
            metadata = self.data.MetadataCatalog.get(settings.DATASETS.TEST[0])
            names = list(metadata.get("thing_classes", []))
        if len(names) != head.NUM_CLASSES:  # another data set's names would be worse than none
            names = [f"class {number}" for number in range(head.NUM_CLASSES)]
        return tuple(names)

    def weights(self, address: str) -> dict[str, str]:
        """Return file name → sha256 of the checkpoint where detectron2 keeps it, else its address."""
        try:
            file_io: Any = importlib.import_module("detectron2.utils.file_io")
            return {Path(address).name: sha256_of(Path(file_io.PathManager.get_local_path(address)))}
        except (ImportError, OSError):
            return {Path(address).name: address}


def own_file(config: str) -> Path | None:
    """Return the path of a config that is a file of one's own; None if it is a name of the zoo."""
    path = Path(config)
    return path if path.suffix.lower() in (".yaml", ".yml") and path.is_file() else None


def _why_not(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "detectron2":
        return (
            "--model detectron2:… needs detectron2, which is not installed; with torch and a C++ compiler: "
            f"{INSTALL}; or pass --model lite, which needs nothing more"
        )
    hint = "install it again for this version of torch"
    if isinstance(error, ModuleNotFoundError) and error.name == "pkg_resources":
        hint = "pip install 'setuptools<81', which still has pkg_resources"
    return f"detectron2 is installed but cannot be imported ({error}); {hint}; or pass --model lite"


def _check_detects(config: str, settings: Any) -> None:
    """Refuse configs that would run and answer with nothing, or with noise."""
    architecture, weights = settings.MODEL.META_ARCHITECTURE, settings.MODEL.WEIGHTS
    if architecture in _NO_BOXES or settings.MODEL.LOAD_PROPOSALS:
        needs = "proposals from elsewhere" if settings.MODEL.LOAD_PROPOSALS else "no classes or no boxes"
        raise UsageError(
            "unusable_detectron2_config",
            f"{config} is not a detector on its own ({architecture}, {needs}); "
            f"pass e.g. detectron2:{EXAMPLE}",
        )
    if not weights or _UNTRAINED in weights:
        raise UsageError(
            "unusable_detectron2_config",
            f"{config}: expected MODEL.WEIGHTS of a trained detector, got {weights or 'none'!r}; "
            "set MODEL.WEIGHTS in that file to your checkpoint",
        )


def _device(device: str) -> str:
    resolved = resolve_device(device)
    if resolved != "mps":
        return resolved
    if device != "auto":
        raise UsageError("missing_device", "--device mps does not run detectron2; pass --device cpu")
    return "cpu"


def _unknown_config(config: str, known: Sequence[str]) -> str:
    if config.endswith(".py"):
        return f"--model detectron2:{config}: .py configs are not supported; {_close(config, known)}"
    if config.endswith((".yaml", ".yml")) and Path(config).is_absolute():
        return f"--model detectron2:{config}: there is no such file"
    return f"detectron2 has no config {config!r} and there is no such file; {_close(config, known)}"


def _close(config: str, known: Sequence[str]) -> str:
    spelling = {name.casefold(): name for name in known}
    spelling |= {name.casefold().split("/")[-1]: name for name in reversed(known)}
    near = difflib.get_close_matches(config.casefold(), spelling, n=5, cutoff=0.5)
    names = list(dict.fromkeys(spelling[name] for name in near))[:4] or [EXAMPLE]
    return f"close names: {', '.join(names)}"


def _array(tensor: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.asarray(tensor.detach().numpy(), dtype=np.float32)
    return array
