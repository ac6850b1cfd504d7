"""From a name to a running detector of transformers. Nothing here uses a network."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.devices import resolve_device
from detic_crop.detectors.families import ModelRequest
from detic_crop.detectors.hf.asking import (
    Asking,
    ByLabel,
    ByQuery,
    BySentence,
    ByTask,
    ByWords,
    WordByWord,
)
from detic_crop.detectors.hf.detector import HfDetector
from detic_crop.detectors.hf.folder import check_has_tokenizer, find_folder, hashes_of, read_config
from detic_crop.detectors.hf.library import load_transformers, offline, quietly, reading
from detic_crop.detectors.vocabulary import VOCABULARIES, default_classes_of, join_names, split_names
from detic_crop.errors import UsageError, WeightsError

WORDS = ("whale", "dolphin", "porpoise", "seal", "sea lion", "manatee")
"""What a zero-shot detector is asked for if nothing else is said."""

BY_WORDS: dict[str, type[ByWords]] = {
    "grounding-dino": BySentence,
    "mm-grounding-dino": BySentence,
    "owlvit": ByQuery,
    "owlv2": ByQuery,
    "omdet-turbo": ByTask,
    "sam3": WordByWord,
    "sam3_video": WordByWord,
}
"""Model type of a zero-shot detector → how it is asked."""

EXAMPLES = "Grounding DINO, OWLv2, OmDet-Turbo, SAM 3, DETR, RT-DETR, D-FINE, YOLOS or RF-DETR"

_AUTO = "transformers.models.auto.modeling_auto"
_GPU_BATCH = 4


def load_hf(request: ModelRequest) -> HfDetector:
    """Load a model from its folder; see `detic_crop.load_detector`.

    Raises:
        UsageError: transformers is not installed, there is no such folder, or an option does not go with
            the model.
        WeightsError: the model was not pulled, is no detector, or its files are damaged or do not fit.
    """
    folder = find_folder(request.rest)
    described = read_config(folder.path)
    model_type = str(described.get("model_type", ""))
    transformers = load_transformers()
    check_detects(model_type, f"hf:{request.rest}")
    hashes = hashes_of(folder)
    device = resolve_device(request.device)
    with offline(), quietly():
        config = _config(transformers, folder.path, described)
        asking = _asking(transformers, folder.path, config, model_type, request)
        network = _network(transformers, folder.path, config, model_type)
    size, input_size = _size(asking.image_processor, request)
    is_zero_shot = isinstance(asking, ByWords)
    on_cpu = torch.device(device).type == "cpu"
    shown = input_size[0] * min(input_size[1], 2 * input_size[0])
    info = DetectorInfo(
        name=folder.name,
        class_names=_known_names(asking.class_names),
        default_conf=asking.default_conf,
        weights=hashes,
        vocabulary=join_names(asking.class_names) if is_zero_shot else "",
        default_classes="any" if is_zero_shot else default_classes_of(asking.class_names),
        floor=asking.floor,
        # On a CPU one photo per core is faster than one photo on all of them: nothing waits for the slowest.
        thread_safe=on_cpu,
        input_size=input_size,
        memory_per_photo=asking.pixel_bytes * shown if on_cpu else 0,
    )
    batch = request.batch_size or (1 if on_cpu else _GPU_BATCH)
    return HfDetector(network.to(device).eval(), asking, info, device, request.precision, size, batch)


def check_detects(model_type: str, name: str) -> None:
    """Refuse models that are no object detectors, or none that transformers knows.

    Raises:
        WeightsError: says what kinds there are.
    """
    auto: Any = importlib.import_module(_AUTO)
    if model_type in BY_WORDS or model_type in auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        return
    what = f"a model of the type {model_type!r}" if model_type else "a config.json without a model_type"
    raise WeightsError(
        "unusable_hf_model",
        f"{name} is {what}, which is no object detector that this version of transformers or detic-crop "
        f"knows; pass {EXAMPLES}, or update transformers",
    )


def _config(transformers: Any, path: Path, described: dict[str, Any]) -> Any:
    with reading(path, "config"):
        if _names_a_timm_backbone(described) and int(transformers.__version__.split(".")[0]) >= 5:
            config = transformers.AutoConfig.for_model(**_with_timm_backbone(described))
        else:
            config = transformers.AutoConfig.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
    parts: list[Any] = [config, getattr(config, "backbone_config", None)]
    for part in parts:
        if getattr(part, "use_pretrained_backbone", False):  # the weights of the folder are all there is
            part.use_pretrained_backbone = False
    return config


def _names_a_timm_backbone(described: dict[str, Any]) -> bool:
    """Return whether a configuration is one of those that transformers 5 would ask the hub about."""
    named = described.get("backbone") and not described.get("backbone_config")
    return bool(named and described.get("backbone_kwargs") and described.get("use_timm_backbone", True))


def _with_timm_backbone(described: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration in which a backbone that was named in the older way is described."""
    old = ("backbone", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone")
    kept = {key: value for key, value in described.items() if key not in old}
    backbone = {
        **described["backbone_kwargs"],
        "model_type": "timm_backbone",
        "backbone": described["backbone"],
        "use_pretrained_backbone": False,
    }
    return {**kept, "backbone_config": backbone}


def _asking(transformers: Any, path: Path, config: Any, model_type: str, request: ModelRequest) -> Asking:
    way = BY_WORDS.get(model_type)
    if way is None:
        if request.vocabulary is not None:
            raise UsageError(
                "option_not_applicable",
                f"--vocabulary {request.vocabulary} goes with zero-shot models only, not with "
                f"{request.name}, which has labels of its own (--classes chooses among them); leave it out",
            )
        with reading(path, "image processor"):
            processor = transformers.AutoImageProcessor.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
        if not hasattr(processor, "post_process_object_detection"):
            raise WeightsError(
                "unusable_hf_model",
                f"{request.name}: its image processor, {type(processor).__name__}, makes no boxes; "
                f"pass {EXAMPLES}",
            )
        return ByLabel(processor, config)
    words = _words(request.vocabulary)
    check_has_tokenizer(path)
    with reading(path, "processor"):
        processor = transformers.AutoProcessor.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        return way(processor, config, words)


def _words(spec: str | None) -> tuple[str, ...]:
    if spec is None:
        return WORDS
    words: dict[str, str] = {}  # the case makes no difference to any of these models
    for word in split_names(spec):
        words.setdefault(" ".join(word.lower().replace(".", " ").split()), " ".join(word.split()))
    words.pop("", None)
    if (
        spec.strip().casefold() in VOCABULARIES
        or spec.strip().endswith((".npy", ".npz", ".txt"))
        or not words
    ):
        raise UsageError(
            "unknown_vocabulary",
            f"--vocabulary {spec!r}: a zero-shot model of hf: is asked with words joined by commas, such as "
            "'whale,dolphin'; pass those, or leave it out",
        )
    return tuple(words.values())


def _network(transformers: Any, path: Path, config: Any, model_type: str) -> Any:
    """Return the network with the weights of the folder, every one of them."""
    auto = transformers.AutoModelForObjectDetection
    if model_type.startswith("sam3"):
        auto = transformers.Sam3Model
    elif model_type in BY_WORDS:
        auto = transformers.AutoModelForZeroShotObjectDetection
    with reading(path, "weights"):
        network, loading = auto.from_pretrained(
            path,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are refused below, with their name
            output_loading_info=True,
        )
    lacking = {*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])}
    if lacking:  # transformers would go on with random numbers
        raise WeightsError(
            "weights_do_not_fit",
            f"{path}: the weights do not fit {type(network).__name__}: {len(lacking)} tensors are missing or "
            f"of another shape, {min(lacking)} for one; pass a folder that was saved as a trained detector",
        )
    return network


def _size(image_processor: Any, request: ModelRequest) -> tuple[dict[str, int] | None, tuple[int, int]]:
    """Return the size that the image processor is told, if any, and the bounds of what it makes."""
    given = dict(image_processor.size)
    shortest, longest = given.get("shortest_edge"), given.get("longest_edge")
    if shortest:
        longest = longest or 1 << 30
        if request.detector_size is None:
            return None, (shortest, longest)
        side = request.detector_size
        most = max(side, round(longest * side / shortest)) if longest < 1 << 30 else longest
        return {"shortest_edge": side, "longest_edge": most}, (side, most)
    if request.detector_size is not None:
        raise UsageError(
            "option_not_applicable",
            f"--detector-size {request.detector_size} goes with models that keep a photo's proportions only, "
            f"not with {request.name}, which looks at {' × '.join(map(str, given.values()))} pixels; "
            "leave it out",
        )
    side = max(given.values(), default=0)
    if getattr(image_processor, "do_pad", False) and type(image_processor).__name__.startswith("Owlv2"):
        return None, (side, side)  # padded to a square first
    return None, (side, 1 << 30)  # stretched: neither side may be less


def _known_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
