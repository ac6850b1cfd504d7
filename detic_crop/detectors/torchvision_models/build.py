"""From a name and a checkpoint to a network of torchvision, without a download; all tensors accounted for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from detic_crop.detectors.checkpoints import check_fit
from detic_crop.detectors.detic.optimise import fold_norms
from detic_crop.detectors.detic.winograd import WinogradConv2d, can_replace

_models: Any = importlib.import_module("torchvision.models")

N_COCO = 91
"""Classes of the published checkpoints: numbers 1 to 90, of which COCO uses 80, and the background."""

# torchvision sets the epsilon of their frozen normalisations to 0 when it loads the published weights. A
# checkpoint that holds no counters has been trained with frozen ones, most likely from those.
_WITHOUT_EPSILON = ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn")
_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What all names begin with when DataParallel, torch.compile or a Lightning module was saved."""
_COUNTER = ".num_batches_tracked"
# Where the number of classes can be read: the rows of this tensor are a multiple of it.
_CLASS_SCORES = (
    "roi_heads.box_predictor.cls_score.weight",
    "head.classification_head.cls_logits.weight",
    "head.classification_head.module_list.0.weight",
    "head.classification_head.module_list.0.1.weight",
)
_FEATURES = ("backbone", "rpn.head.conv", "head.classification_head.conv", "head.regression_head.conv")
_HIDDEN = (*_FEATURES, "roi_heads.box_head")
"""The layers that take the time; behind them boxes and scores are computed, always in float32."""


def architectures() -> list[str]:
    """Return the models that this torchvision can build and that answer with boxes of several classes."""
    return [name for name in _models.list_models(module=_models.detection) if not name.startswith("keypoint")]


def coco_names(architecture: str) -> tuple[str, ...]:
    """Return a name for each class number of the published checkpoint, ``__background__`` and ``N/A`` too."""
    return tuple(_models.get_model_weights(architecture).DEFAULT.meta["categories"])


def build(architecture: str, n_classes: int = N_COCO) -> nn.Module:
    """Return the network in evaluation mode, on the CPU, its weights not yet set.

    Args:
        architecture: torchvision's name, e.g. ``fasterrcnn_resnet50_fpn_v2``.
        n_classes: class numbers, the background's among them.
    """
    with _NothingRandom():
        network: nn.Module = _models.get_model(
            architecture, weights=None, weights_backbone=None, num_classes=n_classes, progress=False
        )
    return network.eval().requires_grad_(False)


def build_filled(architecture: str, tensors: Mapping[str, Tensor], source: str) -> tuple[nn.Module, int]:
    """Return the network with the weights of a checkpoint, and how many class numbers it has.

    Args:
        architecture: torchvision's name.
        tensors: by torchvision's names.
        source: name of the file they come from, for messages.

    Raises:
        WeightsError: something is missing, left over or of another shape.
    """
    for wrapper in _WRAPPERS * 2:  # one may be inside another
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    network = build(architecture)
    n_classes = _classes_in(tensors, network)
    if n_classes != N_COCO:
        network = build(architecture, n_classes)
    state = network.state_dict()
    wanted = {name: tensor for name, tensor in state.items() if not name.endswith(_COUNTER)}
    check_fit(wanted, tensors, lambda name: name in state, f"{source}, as torchvision:{architecture},")
    counters = {name: torch.zeros((), dtype=torch.int64) for name in state if name.endswith(_COUNTER)}
    ours = {name: tensors[name].float() for name in wanted}
    network.load_state_dict(ours | counters, strict=True, assign=True)
    if architecture in _WITHOUT_EPSILON and not any(name.endswith(_COUNTER) for name in tensors):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return network, n_classes


def optimise(network: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """Make the network fast, in place, and return it; in float32 its numbers change by rounding only.

    Args:
        network: filled, on `device`.
        device: device that it runs on.
        dtype: number format of the hidden layers.
    """
    fold_norms(network)
    if dtype == torch.float32 and torch.device(device).type == "cpu":
        for path in _FEATURES:
            _replace(network, path, _with_winograd)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # the order that oneDNN and tensor cores want
            module.to(memory_format=torch.channels_last)
    if dtype != torch.float32:
        for path in _HIDDEN:
            _replace(network, path, lambda hidden: _Lowered(hidden, dtype))
    return network


class _NothingRandom(TorchFunctionMode):
    """Leaves tensors as they are where a network would fill them: a checkpoint does it at once."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class _Lowered(nn.Module):
    """Computes a part of the network in another number format; what comes out is float32."""

    def __init__(self, part: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype)
        self.part = part
        self._dtype = dtype

    def forward(self, maps: Tensor) -> Any:
        with torch.autocast(maps.device.type, self._dtype):
            features = self.part(maps)
        if isinstance(features, Tensor):
            return features.float()
        return type(features)((name, feature.float()) for name, feature in features.items())


def _classes_in(tensors: Mapping[str, Tensor], network: nn.Module) -> int:
    """Return the class numbers of a checkpoint, judged by a network of `N_COCO` ones."""
    ours = network.state_dict()
    for name in _CLASS_SCORES:
        if name in ours and name in tensors and tensors[name].ndim:
            rows_per_class = len(ours[name]) // N_COCO
            n_classes, rest = divmod(len(tensors[name]), rows_per_class)
            if n_classes and not rest:
                return n_classes
    return N_COCO  # then the tensors do not fit, which is said of all of them


def _replace(network: nn.Module, path: str, make: Callable[[nn.Module], nn.Module]) -> None:
    """Put what `make` returns in the place of a part, where the network has such a part."""
    *above, name = path.split(".")
    parent: Any = network
    for step in above:
        parent = getattr(parent, step, None)
    if parent is not None and isinstance(getattr(parent, name, None), nn.Module):
        setattr(parent, name, make(getattr(parent, name)))


def _with_winograd(part: nn.Module) -> nn.Module:
    for module in list(part.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and can_replace(child):
                setattr(module, name, WinogradConv2d(child))
    return part
