"""Published checkpoints: read without running anything, every tensor accounted for.

The published files name their tensors after the code they were trained with, ours after the parts they belong
to. `published_name` is the whole difference.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from detic_crop.detectors.torch_files import damage_of
from detic_crop.errors import WeightsError, one_line

# Our name of a tensor → the published one; the first pattern that fits is applied.
_RENAMES: tuple[tuple[str, str], ...] = (
    # Swin.
    (r"backbone\.layers\.(.*)\.position_bias$", r"backbone.bottom_up.layers.\1.relative_position_bias_table"),
    (r"backbone\.(layers|patch_embed)\.", r"backbone.bottom_up.\1."),
    (r"backbone\.norms\.0\.", r"backbone.bottom_up.norm1."),
    (r"backbone\.norms\.1\.", r"backbone.bottom_up.norm2."),
    (r"backbone\.norms\.2\.", r"backbone.bottom_up.norm3."),
    # ConvNeXt.
    (r"backbone\.stem\.", r"backbone.bottom_up.base.stem_0."),
    (r"backbone\.stem_norm\.", r"backbone.bottom_up.base.stem_1."),
    (r"backbone\.stages\.(\d+)\.downsample\.norm\.", r"backbone.bottom_up.base.stages_\1.downsample.0."),
    (r"backbone\.stages\.(\d+)\.downsample\.conv\.", r"backbone.bottom_up.base.stages_\1.downsample.1."),
    (
        r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.spread\.",
        r"backbone.bottom_up.base.stages_\1.blocks.\2.conv_dw.",
    ),
    (r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.fc", r"backbone.bottom_up.base.stages_\1.blocks.\2.mlp.fc"),
    (r"backbone\.stages\.(\d+)\.", r"backbone.bottom_up.base.stages_\1."),
    # The ResNets are timm's and keep its names.
    (r"backbone\.", r"backbone.bottom_up.base."),
    # Pyramid and heads.
    (r"pyramid\.(lateral|output)\.0\.", r"backbone.fpn_\g<1>3."),
    (r"pyramid\.(lateral|output)\.1\.", r"backbone.fpn_\g<1>4."),
    (r"pyramid\.(lateral|output)\.2\.", r"backbone.fpn_\g<1>5."),
    (r"pyramid\.", r"backbone.top_block."),
    (r"head\.tower\.", r"proposal_generator.centernet_head.bbox_tower."),
    (r"head\.centre\.", r"proposal_generator.centernet_head.agn_hm."),
    (r"head\.sides\.", r"proposal_generator.centernet_head.bbox_pred."),
    (r"head\.scales\.(\d+)$", r"proposal_generator.centernet_head.scales.\1.scale"),
    (r"cascade\.stages\.(\d+)\.(fc1|fc2)\.", r"roi_heads.box_head.\1.\2."),
    (r"cascade\.stages\.(\d+)\.embed\.", r"roi_heads.box_predictor.\1.cls_score.linear."),
    (r"cascade\.stages\.(\d+)\.box_hidden\.", r"roi_heads.box_predictor.\1.bbox_pred.0."),
    (r"cascade\.stages\.(\d+)\.box_delta\.", r"roi_heads.box_predictor.\1.bbox_pred.2."),
)

IGNORED: tuple[tuple[str, str], ...] = (
    (r"roi_heads\.mask_head\..*", "masks are not computed"),
    (r"roi_heads\.box_predictor\.\d+\.cls_score\.zs_weight", "the vocabulary is given separately"),
    (r"roi_heads\.box_predictor\.\d+\.freq_weight", "class frequencies, for training"),
    (r".*\.relative_position_index", "a constant, computed from the window size"),
    (r".*\.num_batches_tracked", "a counter, for training"),
    (r"backbone\.bottom_up\.base\.fc\.(weight|bias)", "the ImageNet classifier of the backbone"),
    (r"pixel_(mean|std)", "constants of the preprocessing"),
)
"""Published tensors that inference does not need, and why; they may be there or not."""

_LISTED = 10
_LARGER = 2  # times the size of their file that tensors may have together: some share their numbers


def published_name(name: str) -> str:
    """Return the name in a published checkpoint of our tensor `name`.

    >>> published_name("cascade.stages.2.box_delta.bias")
    'roi_heads.box_predictor.2.bbox_pred.2.bias'
    """
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn("^" + pattern, replacement, name)
        if count:
            return renamed
    return name


def is_ignored(published: str) -> bool:
    """Return whether a published tensor is one that inference does not need."""
    return any(re.fullmatch(pattern, published) for pattern, _ in IGNORED)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their published names, on the CPU.

    Args:
        path: a published ``.pth`` (a pickled dict with the tensors under ``model``; what else it holds, such
            as an optimiser, is left alone) or a ``.safetensors`` with the same names.

    Raises:
        WeightsError: it is not there, damaged, of another layout, or wants to run code.
    """
    if not path.is_file():
        raise WeightsError(
            "missing_weights", f"expected a checkpoint at {path}, got nothing there; check the path"
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except Exception as error:  # its own, and what torch says of kinds of numbers that it does not know
            raise WeightsError(
                "damaged_weights",
                f"{path} is not a complete safetensors file ({one_line(error, 200)}); get it again",
            ) from error
    try:
        if damage := damage_of(path, thorough=False):
            raise WeightsError("damaged_weights", f"{path} cannot be used: it {damage}; get it again")
        with warnings.catch_warnings(action="ignore"):  # about old pickle protocols; nothing a user can do
            content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0] if str(error) else "not a pickle"
        raise WeightsError(
            "damaged_weights",
            f"{path} is damaged or holds more than tensors and plain values, and is not trusted with that "
            f"({reason}); get the published file again",
        ) from error
    except Exception as error:  # a damaged file can make the reader raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            "damaged_weights", f"{path} is damaged or incomplete ({reason}); get it again"
        ) from error
    tensors = content.get("model") if isinstance(content, dict) else None
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WeightsError(
            "weights_do_not_fit",
            f"{path}: expected a dict with tensors under 'model', as the published checkpoints have",
        )
    if not all(_is_plain(tensor) for tensor in tensors.values()) or (
        sum(tensor.nbytes for tensor in tensors.values()) > _LARGER * path.stat().st_size
    ):
        raise WeightsError(
            "damaged_weights", f"{path} is damaged: its tensors claim more than its own bytes; get it again"
        )
    return {str(name): tensor for name, tensor in tensors.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has numbers of its own in this machine's memory, one for each element."""
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put every tensor of a checkpoint where it belongs, as float32 (those that are, uncopied).

    Args:
        network: network from `build`, on the meta device.
        tensors: by published name.
        source: name of the file they come from, for messages.

    Raises:
        WeightsError: something is missing, left over or of another shape; all of it is listed, by its
            published name.
    """
    wanted = {
        published_name(name): (name, tensor)
        for name, tensor in network.state_dict().items()
        if not is_ignored(name)
    }
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted and not is_ignored(name)]
    misshapen = [
        f"{name} expected {tuple(tensor.shape)}, got {tuple(tensors[name].shape)}"
        for name, (_, tensor) in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    problems = [
        _listing(kind, names)
        for kind, names in (("missing", missing), ("extra", extra), ("misshapen", misshapen))
        if names
    ]
    if problems:
        raise WeightsError(
            "weights_do_not_fit",
            f"{source} does not fit the model: {'; '.join(problems)}. Is it another model's file?",
        )
    ours = {name: tensors[published].float() for published, (name, _) in wanted.items()}
    counters = {name: torch.zeros((), dtype=torch.int64) for name in network.state_dict() if is_ignored(name)}
    network.load_state_dict(ours | counters, strict=True, assign=True)


def _listing(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{more}"
