"""Published checkpoints of Detic: every tensor accounted for.

The published files name their tensors after the code they were trained with, ours after the parts they belong
to. `published_name` is the whole difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from detic_crop.detectors.checkpoints import check_fit

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
    check_fit({published: tensor for published, (_, tensor) in wanted.items()}, tensors, is_ignored, source)
    ours = {name: tensors[published].float() for published, (name, _) in wanted.items()}
    counters = {name: torch.zeros((), dtype=torch.int64) for name in network.state_dict() if is_ignored(name)}
    network.load_state_dict(ours | counters, strict=True, assign=True)
