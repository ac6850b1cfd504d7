"""Checkpoints of PyTorch: opened without running anything in them, and held against a network."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from detic_crop.detectors import weights as store
from detic_crop.detectors.records import sha256_of
from detic_crop.detectors.torch_files import damage_of
from detic_crop.errors import WeightsError, one_line

_LISTED = 10
_HELD_UNDER = ("model", "state_dict", "model_state_dict")
"""Keys of a state dict among other things: of torchvision and detectron2, Lightning, PyTorch's tutorials."""
_LARGER = 2  # times the size of their file that tensors may have together: some share their numbers


def installed_or_own(
    name: str, weights_file: Path | None, *, bare: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file of one's own or else of the pulled one, and file name → sha256.

    Args:
        name: name in the catalogue.
        weights_file: one's own.
        bare: see `read_checkpoint`.

    Raises:
        WeightsError: there is no such file, or it is damaged or changed.
    """
    if weights_file is not None:
        return read_checkpoint(weights_file, bare=bare), {weights_file.name: sha256_of(weights_file)}
    found = store.require(name, with_vocabulary=False)
    tensors = read_checkpoint(found.converted or found.path, bare=bare)
    sha256 = found.sha256[found.entry.file]
    if found.converted is None:
        store.convert(found.path, tensors, sha256)
    return tensors, {found.entry.file: sha256}


def read_checkpoint(path: Path, *, bare: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their published names, on the CPU.

    Args:
        path: a ``.pth`` (a pickled dict with the tensors under ``model``; what else it holds, such as an
            optimiser, is left alone) or a ``.safetensors`` with the same names.
        bare: the dict may be the state dict itself, or hold it as other trainers do.

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
        found = re.search(
            r"Unsupported global: GLOBAL ([\w.]{1,200})", str(error)
        )  # the rest is advice to trust it
        holds = f" ({found[1].rstrip('.')})" if found else ""
        raise WeightsError(
            "damaged_weights",
            f"{path} is damaged or holds more than tensors and plain values{holds}, and is not trusted with "
            f"that; get the published file again, or save your own with "
            "torch.save(model.state_dict(), FILE)",
        ) from error
    except Exception as error:  # a damaged file can make the reader raise nearly anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            "damaged_weights", f"{path} is damaged or incomplete ({reason}); get it again"
        ) from error
    tensors = None
    if isinstance(content, dict):
        keys = [key for key in (_HELD_UNDER if bare else _HELD_UNDER[:1]) if key in content]
        tensors = content[keys[0]] if keys else content if bare else None
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        alone = "a state dict, alone or" if bare else "a dict with tensors"
        raise WeightsError(
            "weights_do_not_fit",
            f"{path}: expected {alone} under 'model', as the published checkpoints have",
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


def check_fit(
    wanted: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    is_ignored: Callable[[str], bool],
    source: str,
) -> None:
    """Hold every tensor of a checkpoint against those that a network needs.

    Args:
        wanted: those of the network, by their names in the checkpoint.
        tensors: those of the checkpoint.
        is_ignored: says whether a tensor of the checkpoint need not be wanted.
        source: name of the file they come from, for messages.

    Raises:
        WeightsError: something is missing, left over or of another shape; all of it is listed.
    """
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted and not is_ignored(name)]
    misshapen = [
        f"{name} expected {tuple(tensor.shape)}, got {tuple(tensors[name].shape)}"
        for name, tensor in wanted.items()
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


def _listing(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{more}"
