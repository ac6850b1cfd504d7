"""From names and files to a running Detic: checkpoint, vocabulary, and the hashes that a run records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detic_crop.config import Precision
from detic_crop.detectors import weights as store
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.checkpoints import installed_or_own
from detic_crop.detectors.detic.build import VARIANTS, build
from detic_crop.detectors.detic.checkpoint import fill_network
from detic_crop.detectors.detic.detector import (
    DEFAULT_CONF,
    DEFAULT_SIZE,
    FLOOR,
    DeticDetector,
    vocabulary_matrix,
)
from detic_crop.detectors.embeddings import Vocabulary, load_vocabulary
from detic_crop.errors import UsageError, WeightsError

DEFAULT_VOCABULARY = "openimages"
# The last column is the background's and always zero.
_CLASSIFIER = "roi_heads.box_predictor.0.cls_score.zs_weight"


def load_detic_by_name(
    name: str,
    device: str,
    vocabulary: str | None = None,
    names: Path | None = None,
    weights_file: Path | None = None,
    precision: Precision = "float32",
    detector_size: int | None = None,
    batch_size: int | None = None,
    optimised: bool = True,
) -> DeticDetector:
    """Return a Detic model with its weights and vocabulary; see `detic_crop.load_detector`.

    The checkpoint is opened and checked before a vocabulary is asked for. `optimised=False` leaves the
    network as it is written, for comparisons.

    Raises:
        UsageError: there is no such model, or vocabulary and names do not go together.
        WeightsError: weights or embeddings are missing, damaged, or another model's.
    """
    if name not in VARIANTS:
        raise UsageError("unknown_model", f"--model must be one of {', '.join(VARIANTS)}, got {name!r}")
    network = build(name)
    tensors, hashes = installed_or_own(name, weights_file)
    fill_network(network, tensors, f"{weights_file or next(iter(hashes))}, as {name},")
    spec = vocabulary or DEFAULT_VOCABULARY
    words = load_vocabulary(spec, names, _find_embeddings)
    embeddings = _checkpoint_classifier(tensors, words) if words.in_checkpoint else words.embeddings
    info = DetectorInfo(
        name=name,
        class_names=words.class_names,
        default_conf=DEFAULT_CONF,
        weights={**hashes, f"vocabulary {words.name}": words.sha256},
        vocabulary=words.name,
        default_classes="marine" if words.name in store.catalogue() or words.in_checkpoint else "any",
        floor=FLOOR,
    )
    matrix = vocabulary_matrix(embeddings, words.class_names)
    return DeticDetector(
        network.to(device),
        info,
        matrix,
        device,
        precision,
        detector_size or DEFAULT_SIZE,
        batch_size=batch_size,
        optimised=optimised,
    )


def _find_embeddings(file_name: str) -> Path | None:
    for entry in store.catalogue().values():
        if entry.file == file_name:
            return store.require(entry.name).path
    return None


def _checkpoint_classifier(tensors: Mapping[str, Tensor], words: Vocabulary) -> NDArray[np.float32]:
    """Return the (C, 512) embeddings of the checkpoint's own classifier."""
    classifier = tensors.get(_CLASSIFIER)
    if classifier is None:
        raise WeightsError(
            "no_classifier",
            "this checkpoint has no classifier of its own; "
            "pass --vocabulary openimages, lvis, objects365 or coco",
        )
    embeddings = classifier.float().numpy()[:, :-1].T  # (D, C + 1) → (C, D)
    if len(embeddings) != len(words.class_names):
        raise UsageError(
            "names_do_not_fit",
            f"the checkpoint's classifier has {len(embeddings)} classes, "
            f"--names has {len(words.class_names)}; pass the names it was trained with",
        )
    return np.ascontiguousarray(embeddings)
