"""From an ONNX file and the options that go with it to a running detector."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detic_crop.config import onnx_input_size
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.embeddings import names_sha256, read_names
from detic_crop.detectors.onnx_file.contents import (
    Contents,
    external_files,
    hashes_of,
    read_contents,
    unusable,
)
from detic_crop.detectors.onnx_file.detector import OnnxDetector
from detic_crop.detectors.onnx_file.heads import Answer, Head, UnfitNamesError, UnknownHeadError, head_of
from detic_crop.detectors.onnx_file.heads.head import FLOOR
from detic_crop.detectors.onnx_file.inputs import Inputs, UnknownInputsError, inputs_of
from detic_crop.detectors.onnx_file.metadata import Metadata, metadata_of
from detic_crop.detectors.onnx_file.presentation import Presentation
from detic_crop.detectors.onnx_file.session import Session
from detic_crop.detectors.records import sha256_of
from detic_crop.detectors.vocabulary import default_classes_of, names_of
from detic_crop.errors import UsageError, WeightsError, one_line
from detic_crop.system.machine import threads_per_photo
from detic_crop.wording import counted

_log = logging.getLogger(__name__)

_DEFAULT_SIDE = 640
_GPU_BATCH = 8
_PIXEL_BYTES = 600
"""Memory that a large network takes while it looks, per pixel shown: 250 MB for 640×640."""
_GREY = 114

_MEGADETECTOR = {"animal", "person", "vehicle"}
_MEGADETECTOR_CONF = 0.2
"""What MegaDetector's own tools take for its typical threshold."""
_BACKGROUND = frozenset({"background", "__background__", "n/a", "no object", "no-object", "none"})
"""Names that stand for no class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRequest:
    """
    Attributes:
        path: the file.
        device: one of `onnx_devices`.
        names: text file of class names, one a line; None: those of the file.
        onnx_input: how photos are shown, as `CropConfig.onnx_input`.
        detector_size: side of the picture where the file takes any.
        batch_size: photos at a time on a GPU.
    """

    path: Path
    device: str = "cpu"
    names: Path | None = None
    onnx_input: str | None = None
    detector_size: int | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class _Classes:
    """Class of each number of a head, and what is to be said of that."""

    names: tuple[str | None, ...]
    note: str = ""

    @property
    def known(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name is not None)


def load_onnx(request: OnnxRequest) -> OnnxDetector:
    """Load the file, find out what head it has, and say so.

    Raises:
        UsageError: onnxruntime or the device is not there, or an option does not fit the file.
        WeightsError: the file is missing, damaged, or of a kind that is not known here.
    """
    path = request.path
    contents = read_contents(path)
    others = external_files(path, contents)
    metadata = metadata_of(path, contents.metadata)
    given = read_names(request.names) if request.names else None
    session, inputs, size_wh = _loaded(request, contents, metadata)
    answer = _asked(path, session, inputs, size_wh, metadata, given)
    head = _head(path, session, answer, given is not None)
    presentation = head.presentation(size_wh).changed_by(request.onnx_input)
    if inputs.takes_bytes:
        if "0-1" in (request.onnx_input or "") or "imagenet" in (request.onnx_input or ""):
            raise UsageError(
                "bad_value",
                f"--onnx-input must be 0-255 for {path.name}, which takes bytes, got {request.onnx_input!r}",
            )
        presentation = replace(presentation, values="0-255")
    classes = _classes(head, answer.names)
    weights = hashes_of(path, others)
    if given is not None:
        weights["class names"] = names_sha256(given)
    for source in metadata.sources:
        weights[source.name] = sha256_of(source)
    on_cpu = request.device == "cpu"
    info = DetectorInfo(
        name=f"onnx:{path.name}",
        class_names=classes.known,
        default_conf=_MEGADETECTOR_CONF if set(classes.known) == _MEGADETECTOR else head.conf,
        weights=weights,
        default_classes=_default_classes(classes.known),
        floor=FLOOR,
        thread_safe=on_cpu,
        input_size=presentation.bounds,
        memory_per_photo=_memory(size_wh) if on_cpu else 0,
    )
    batch_size = _batch(request, inputs)
    _log.info("%s", _said(path, head, presentation, classes, info))
    return OnnxDetector(
        session,
        inputs,
        head,
        presentation,
        info,
        classes.names,
        batch_size,
        [f"{path.name}: {classes.note}"] if classes.note else [],
    )


def _loaded(
    request: OnnxRequest, contents: Contents, metadata: Metadata
) -> tuple[Session, Inputs, tuple[int, int]]:
    path = request.path
    # How large the picture is is known only when the file is loaded; how many threads has to be said before.
    size = metadata.size_wh or (request.detector_size or _DEFAULT_SIDE,) * 2
    session = Session(path, contents, request.device, threads_per_photo(_memory(size)))
    try:
        inputs = inputs_of(session.inputs)
    except UnknownInputsError as error:
        raise unusable(path, f"{error}, got {', '.join(map(str, session.inputs))}") from error
    return session, inputs, _size(request, inputs, metadata)


def _memory(size_wh: tuple[int, int]) -> int:
    return _PIXEL_BYTES * size_wh[0] * size_wh[1]


def _size(request: OnnxRequest, inputs: Inputs, metadata: Metadata) -> tuple[int, int]:
    """Return width and height of the picture.

    Raises:
        UsageError: the options ask for another than the file takes.
    """
    asked = onnx_input_size(request.onnx_input)
    option = f"--onnx-input {request.onnx_input}"
    if request.detector_size is not None:
        side = request.detector_size
        if asked is not None and asked != (side, side):
            raise UsageError(
                "bad_value", f"--detector-size must be as in {option}, got {side}; leave one of them out"
            )
        asked, option = (side, side), "--detector-size"
    width, height = asked or metadata.size_wh or (_DEFAULT_SIDE, _DEFAULT_SIDE)
    taken = inputs.width or width, inputs.height or height
    if asked is not None and asked != taken:
        name = option.split()[0]
        raise UsageError(
            "bad_value",
            f"{name} must be {taken[0]}x{taken[1]}, which is all that {request.path.name} takes, got "
            f"{asked[0]}x{asked[1]}; leave it out, or export the model with another size",
        )
    return taken


def _asked(
    path: Path,
    session: Session,
    inputs: Inputs,
    size_wh: tuple[int, int],
    metadata: Metadata,
    given: tuple[str, ...] | None,
) -> Answer:
    """Ask the model about a grey picture: what comes tells its head.

    Raises:
        WeightsError: it cannot be run.
    """
    width, height = size_wh
    grey = np.full((1, height, width, 3), _GREY if inputs.takes_bytes else _GREY / 255, np.float32)
    try:
        outputs = session.run(inputs.feeds(grey))
    except Exception as error:  # onnxruntime's are of many kinds
        raise unusable(
            path,
            f"it cannot be run on a picture of {width}x{height} ({one_line(error, 300)}); pass another size "
            "with --detector-size, a multiple of 32 for most models, or export it again",
        ) from error
    return Answer(
        inputs=[port.name for port in session.inputs],
        outputs=outputs,
        size_wh=size_wh,
        metadata=metadata,
        names=given or metadata.names,
    )


def _head(path: Path, session: Session, answer: Answer, has_given_names: bool) -> Head:
    try:
        return head_of(answer)
    except UnknownHeadError as error:
        inputs = ", ".join(map(str, session.inputs))
        outputs = ", ".join(f"{name} {list(array.shape)}" for name, array in answer.outputs.items())
        raise WeightsError(
            "unknown_onnx_head",
            f"{path.name}: {error}; it has the inputs {inputs:.300} and the outputs {outputs:.600}; export a "
            "detector of a kind that docs/models.md lists",
        ) from error
    except UnfitNamesError as error:
        whose = "--names has" if has_given_names else "the file itself has"
        raise UsageError(
            "names_do_not_fit",
            f"{path.name}: {whose} {error}; pass the names it was trained with as --names TXT",
        ) from error


def _classes(head: Head, names: tuple[str, ...] | None) -> _Classes:
    """Return the class of each number of the head."""
    if head.names is not None:
        note = "" if names else "its 91 classes are taken for COCO's; if they are not, pass --names TXT"
        return _Classes(head.names, note)
    if names is not None:
        return _Classes(tuple(None if name.casefold() in _BACKGROUND else name for name in names))
    if head.n_classes is None:
        return _Classes((), "the file does not name its classes, so boxes of all count; pass --names TXT")
    if head.n_classes == len(names_of("coco")):
        return _Classes(
            names_of("coco"), "its 80 classes are taken for COCO's; if they are not, pass --names TXT"
        )
    names = tuple(f"class {number}" for number in range(head.n_classes))
    note = f"the file does not name its {len(names)} classes; pass --names TXT" if len(names) > 1 else ""
    return _Classes(names, note)


def _default_classes(names: tuple[str, ...]) -> str:
    """Return what ``--classes`` is by default: MegaDetector finds animals, not people and vehicles."""
    return "animal" if set(names) == _MEGADETECTOR else default_classes_of(names)


def _batch(request: OnnxRequest, inputs: Inputs) -> int:
    if inputs.batch is not None:
        if request.batch_size is not None and request.batch_size > inputs.batch:
            raise UsageError(
                "bad_value",
                f"--batch-size must be at most {inputs.batch}, which is all that {request.path.name} takes, "
                f"got {request.batch_size}; leave it out, or export the model with dynamic batches",
            )
        return request.batch_size or inputs.batch
    return request.batch_size or (1 if request.device == "cpu" else _GPU_BATCH)


def _said(path: Path, head: Head, presentation: Presentation, classes: _Classes, info: DetectorInfo) -> str:
    shown = ", ".join(classes.known[:6]) + (" …" if len(classes.known) > 6 else "")
    names = (
        f"{counted(len(classes.known), 'class', 'classes')} ({shown})" if shown else "classes without names"
    )
    return (
        f"{path.name}: {head.what}, {names}; photos are shown as {presentation}; by default --classes "
        f"{info.default_classes} --conf {info.default_conf:g}"
    )
