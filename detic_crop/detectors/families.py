"""Kinds of models: the names that each answers to, the options that go with it, and how it is loaded.

A new kind is one more `Family` in `FAMILIES`; what a command line, a resume or a cluster needs to know of a
kind of models, it asks its family. Nothing heavy is imported before `Family.load` is called.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detic_crop.config import MODELS, BoxFormat, Precision
from detic_crop.detectors.joined.names import Node, parse, written
from detic_crop.errors import UsageError

if TYPE_CHECKING:
    from detic_crop.detectors.base import Detector

_DEFAULTS: dict[str, Any] = {"precision": "float32"}
_OPTION = {"weights_file": "--weights"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A model as asked for; see `detic_crop.load_detector`."""

    name: str
    device: str = "auto"
    vocabulary: str | None = None
    names: Path | None = None
    weights_file: Path | None = None
    precision: Precision = "float32"
    detector_size: int | None = None
    batch_size: int | None = None
    box_format: BoxFormat | None = None
    onnx_input: str | None = None
    loaded: Mapping[str, Detector] = field(default_factory=dict)
    """Of a joined name the models that are there already, by name: those that another process looked up."""

    @property
    def rest(self) -> str:
        """What follows the colon of the name."""
        return self.name.partition(":")[2]

    @property
    def path(self) -> Path:
        """What follows the colon, as a path."""
        # A shell leaves the ~ of boxes:~/a.csv alone.
        return Path(os.path.expanduser(self.rest))

    def given(self) -> dict[str, Any]:
        """Return the options that are not at their defaults, by field."""
        options = (name for name in self.__slots__ if name not in ("name", "device", "loaded"))
        values = {name: getattr(self, name) for name in options}
        return {name: value for name, value in values.items() if value != _DEFAULTS.get(name)}


def _torch_devices(devices: str) -> list[str]:
    from detic_crop.detectors.devices import resolve_devices

    return resolve_devices(devices)


def _onnx_devices(devices: str) -> list[str]:
    from detic_crop.detectors.onnx_file.session import onnx_devices

    return onnx_devices(devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of models.

    Attributes:
        forms: names as people write them: whole ones such as ``lite``, or a beginning and what follows it,
            such as ``boxes:FILE``.
        what: the kind in words, for messages: ``a Detic model``.
        load: returns the detector.
        options: fields of `ModelRequest` that go with it.
        is_path: whether what follows the colon is a path of this machine.
        resumes_by_name: the name that a folder records is enough to load the model again.
        uses_device: it computes, so that ``--device`` concerns it.
        packages: distributions, beyond what detic-crop always needs, whose versions may change its boxes.
        devices: what ``--device`` means for it; devices, or names joined by commas → one name each.
    """

    forms: tuple[str, ...]
    what: str
    load: Callable[[ModelRequest], Detector]
    options: frozenset[str] = frozenset()
    is_path: Callable[[str], bool] = lambda rest: False
    resumes_by_name: bool = True
    uses_device: bool = True
    packages: tuple[str, ...] = ()
    devices: Callable[[str], list[str]] = _torch_devices

    def answers_to(self, name: str) -> bool:
        """Return whether a model of that name is of this family."""
        return any(_fits(name, form) for form in self.forms)

    def absolute(self, name: str) -> str:
        """Return a name that means the same in every working folder."""
        request = ModelRequest(name=name)
        if not request.rest or not self.is_path(request.rest):
            return name
        return f"{name.partition(':')[0]}:{os.path.abspath(request.path)}"

    def resumes(self, name: str) -> bool:
        """Return whether the name that a folder records is enough to load the model again."""
        return self.resumes_by_name

    def check(self, request: ModelRequest) -> None:
        """Refuse options that do not go with this family.

        Raises:
            UsageError: names the option and what it goes with.
        """
        for option, value in request.given().items():
            if option not in self.options:
                owners = " or ".join(family.what for family in FAMILIES if option in family.options)
                flag = _OPTION.get(option, f"--{option.replace('_', '-')}")
                raise UsageError(
                    "option_not_applicable",
                    f"{flag} {value} goes with {owners} only, not with {request.name}; leave it out",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFamily(Family):
    """A family whose models have the name of a hub, such as ``hf:OWNER/NAME``, or are folders."""

    def resumes(self, name: str) -> bool:
        """Return whether the recorded name is one of the hub; of a folder only the last part is recorded."""
        from detic_crop.detectors.hf.folder import hub_name

        return hub_name(ModelRequest(name=name).rest) is not None


def family_of(name: str) -> Family:
    """Return the family of a model, or of several that are joined, as in ``a+b``.

    Raises:
        UsageError: there is no such model; says which it may have been.
    """
    from detic_crop.detectors.joined.family import joined_family

    node = parts_of(name)
    if not isinstance(node, str):
        return joined_family(node, _family_of_one)
    return _family_of_one(name)


def absolute_name(name: str) -> str:
    """Return the name of a model, or of joined ones, that means the same in every working folder.

    Raises:
        UsageError: there is no such model.
    """
    return written(parts_of(name), lambda one: one if one == "auto" else _family_of_one(one).absolute(one))


def parts_of(name: str) -> Node:
    """Return what a name joins; a name that joins nothing, as it is.

    Raises:
        UsageError: it joins models, but not in a way that is understood.
    """
    return parse(name, [form for family in FAMILIES for form in family.forms])


def packages_of(model: str) -> tuple[str, ...]:
    """Return `Family.packages` of a model; none for a detector that a caller has made."""
    try:
        return family_of(model).packages
    except UsageError:
        return ()


def _family_of_one(name: str) -> Family:
    for family in FAMILIES:
        if family.answers_to(name):
            return family
    raise UsageError("unknown_model", f"--model must be {MODELS}, got {name!r}{_hint(name)}")


def _hint(name: str) -> str:
    """Return what somebody may have meant by a name that no family answers to; "" if nothing is likely."""
    forms = [form for family in FAMILIES for form in family.forms]
    first, comma, others = name.partition(",")
    if comma and any(_fits(first, form) for form in forms):
        return f"; to ask several models, write {first}+{others} or 'wbf({name})'"
    first, plus, last = name.rpartition("+")
    if plus and any(_fits(first, form) for form in forms):
        return f", in which {last!r} is no model" if last else "; the + joins nothing"
    if name.endswith(".safetensors"):
        return f"; if `teach` wrote it, pass --model lite:{name}"
    if name.endswith(".onnx"):
        return f"; pass --model onnx:{name}"
    if name.endswith((".pt", ".pth")):
        return f"; if {name} is a detector of your own, export it as ONNX and pass --model onnx:FILE"
    if name and os.path.exists(name):
        return f"; if it has boxes, pass --model boxes:{name}"
    kind, colon, rest = name.partition(":")
    kinds = [form.partition(":")[0] for form in forms if ":" in form] if colon else forms
    near = difflib.get_close_matches(kind, kinds, 1)
    return f"; did you mean {near[0]}{colon}{rest}?" if near else ""


def _fits(name: str, form: str) -> bool:
    beginning, colon, _ = form.partition(":")
    return name.startswith(beginning + colon) if colon else name == form


def _always(rest: str) -> bool:
    return True


def _is_hf_folder(rest: str) -> bool:
    from detic_crop.detectors.hf.folder import is_path

    return is_path(rest)


def _is_detectron2_file(rest: str) -> bool:
    from detic_crop.detectors.detectron2 import own_file

    return own_file(rest) is not None


def _load_lite(request: ModelRequest) -> Detector:
    from detic_crop.detectors.devices import resolve_device
    from detic_crop.detectors.lite.detector import load_lite

    return load_lite(resolve_device(request.device))


def _load_taught(request: ModelRequest) -> Detector:
    from detic_crop.detectors.devices import resolve_device
    from detic_crop.detectors.lite.teaching import load_taught

    if not request.rest.strip():
        raise UsageError(
            "no_taught_path",
            "expected a file of `detic-crop teach` after lite:, got nothing; write lite:FILE",
        )
    return load_taught(request.path, resolve_device(request.device))


def _load_detic(request: ModelRequest) -> Detector:
    from detic_crop.detectors.detic_loading import load_detic_by_name
    from detic_crop.detectors.devices import resolve_device

    return load_detic_by_name(
        request.name,
        resolve_device(request.device),
        request.vocabulary,
        request.names,
        request.weights_file,
        request.precision,
        request.detector_size,
        request.batch_size,
    )


def _load_boxes(request: ModelRequest) -> Detector:
    from detic_crop.detectors.boxes_file import load_boxes_file

    if not request.rest.strip():
        raise UsageError(
            "no_boxes_path", "expected a boxes file or folder after boxes:, got nothing; write boxes:PATH"
        )
    return load_boxes_file(request.path, request.box_format)


def _load_onnx(request: ModelRequest) -> Detector:
    from detic_crop.detectors.onnx_file.loading import OnnxRequest, load_onnx

    if not request.rest.strip():
        raise UsageError("no_onnx_path", "expected an ONNX file after onnx:, got nothing; write onnx:FILE")
    return load_onnx(
        OnnxRequest(
            path=request.path,
            device=_onnx_devices(request.device)[0],
            names=request.names,
            onnx_input=request.onnx_input,
            detector_size=request.detector_size,
            batch_size=request.batch_size,
        )
    )


def _load_detectron2(request: ModelRequest) -> Detector:
    from detic_crop.detectors.detectron2 import load_detectron2

    return load_detectron2(request.rest, request.device)


def _load_torchvision(request: ModelRequest) -> Detector:
    from detic_crop.detectors.devices import resolve_device
    from detic_crop.detectors.torchvision_models.load import load_torchvision

    return load_torchvision(
        request.rest,
        resolve_device(request.device),
        request.names,
        request.weights_file,
        request.precision,
        request.detector_size,
        request.batch_size,
    )


def _load_hf(request: ModelRequest) -> Detector:
    from detic_crop.detectors.hf.loading import load_hf

    return load_hf(request)


FAMILIES = (
    Family(forms=("lite",), what="lite", load=_load_lite),
    Family(forms=("lite:FILE",), what="lite:FILE", load=_load_taught, is_path=_always, resumes_by_name=False),
    Family(
        forms=("detic-swinb", "detic-convnext", "detic-r50", "detic-r18"),
        what="a Detic model",
        load=_load_detic,
        options=frozenset(
            ("vocabulary", "names", "weights_file", "precision", "detector_size", "batch_size")
        ),
    ),
    Family(
        forms=("torchvision:NAME",),
        what="a torchvision model",
        load=_load_torchvision,
        options=frozenset(("names", "weights_file", "precision", "detector_size", "batch_size")),
    ),
    Family(
        forms=("boxes:FILE",),
        what="boxes:FILE",
        load=_load_boxes,
        options=frozenset(["box_format"]),
        is_path=_always,
        resumes_by_name=False,
        uses_device=False,
    ),
    Family(
        forms=("onnx:FILE",),
        what="onnx:FILE",
        load=_load_onnx,
        options=frozenset(("names", "onnx_input", "detector_size", "batch_size")),
        is_path=_always,
        resumes_by_name=False,
        packages=("onnxruntime", "onnxruntime-gpu"),
        devices=_onnx_devices,
    ),
    Family(
        forms=("detectron2:CONFIG",),
        what="detectron2:CONFIG",
        load=_load_detectron2,
        is_path=_is_detectron2_file,
        resumes_by_name=False,
        packages=("detectron2",),
    ),
    HubFamily(
        forms=("hf:ID_OR_FOLDER",),
        what="hf:ID_OR_FOLDER",
        load=_load_hf,
        options=frozenset(("vocabulary", "precision", "detector_size", "batch_size")),
        is_path=_is_hf_folder,
        packages=("transformers",),
    ),
)
"""Every kind of models, in the order in which help and messages name them."""
