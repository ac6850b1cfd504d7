"""Which detector a run asks, and where it runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors import load_detector, resolve_model, with_auto
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.families import family_of, parts_of
from detic_crop.detectors.joined.names import models_of
from detic_crop.detectors.joined.several import Several
from detic_crop.detectors.joined.tiled import with_tiles
from detic_crop.detectors.vocabulary import join_names, resolve_classes
from detic_crop.errors import UsageError
from detic_crop.work.executors.ray_cluster import device_of, import_ray


@dataclass(frozen=True, slots=True)
class ChosenDetector:
    """The detector of a run.

    Attributes:
        detector: loaded; if other processes load it, on the CPU of this one, to say what it is.
        reason: why this one, in one phrase.
        model: name by which other processes load it; empty for one given by the caller.
        settings: further arguments of `load_detector`.
        devices: where it runs on this machine.
    """

    detector: Detector
    reason: str
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    def settings_elsewhere(self) -> dict[str, Any]:
        """Return the further arguments of `load_detector` in another process."""
        lookups = self.detector.lookups if isinstance(self.detector, Several) else {}
        return {**self.settings, "loaded": lookups} if lookups else self.settings


def choose_detector(
    config: CropConfig, options: RunOptions, begun_with: CropConfig | None, given: Detector | None
) -> ChosenDetector:
    """Choose and load the detector.

    Args:
        config: settings as asked for.
        options: how the work is done.
        begun_with: settings of the folder, if there are any.
        given: the caller's own detector.

    Raises:
        UsageError, WeightsError: see `load_detector`.
    """
    if options.executor == "ray":
        import_ray(options.ray_address)
        device_of(options.device, needs_pixels=True)
    if given is not None:
        for option, model in (("box_format", "boxes:FILE"), ("onnx_input", "onnx:FILE")):
            if getattr(config, option) is not None:
                raise UsageError(
                    "option_not_applicable",
                    f"--{option.replace('_', '-')} goes with --model {model} only, not with your own "
                    "detector",
                )
        asked = with_tiles(given) if config.tiles == "auto" else given
        return ChosenDetector(asked, "given by the caller")
    model, reason = resolve_model(config.model)
    if config.model == "auto" and begun_with is not None:
        model, reason = _begun_with(begun_with.model), "this folder was begun with it"
    elif begun_with is not None:
        model = as_begun(config.model, begun_with.model) or model
    settings: dict[str, Any] = {
        "vocabulary": config.vocabulary,
        "names": options.names,
        "weights_file": options.weights_file,
        "precision": config.precision,
        "detector_size": config.detector_size,
        "batch_size": options.batch_size,
        "box_format": config.box_format,
        "tiles": config.tiles,
        "onnx_input": config.onnx_input,
    }
    devices: list[str] = []
    if options.executor != "ray":  # on Ray each node has its own
        family = family_of(model)
        devices = family.devices(options.device) if family.uses_device else [options.device]
    if len(devices) == 1:
        detector = load_detector(model, devices[0], **settings)
    else:  # this process only asks what it is; on the CPU that takes no GPU memory
        detector = load_detector(model, "cpu", **{**settings, "precision": "float32"})
    return ChosenDetector(detector, reason, model, settings, tuple(devices))


def _begun_with(model: str) -> str:
    """Return the name of the model of a folder, by which it can be loaded again.

    Raises:
        UsageError: it cannot be loaded by that name.
    """
    try:
        family = family_of(model)
    except UsageError as error:
        raise UsageError(
            "model_needs_path",
            f"this folder was made with a detector of your own, {model}; pass it again, from Python",
        ) from error
    if not family.resumes(model):
        raise UsageError(
            "model_needs_path",
            f"this folder was made with --model {model}; pass --model and the file's path",
        )
    return model


def as_begun(asked: str, begun: str) -> str | None:
    """Return a joined name with the model that its ``auto`` stood for when a folder was begun.

    Args:
        asked: the name as asked for.
        begun: name of the model that the folder was begun with.

    Returns:
        None if there is no ``auto`` in it, or nothing tells what it stood for.
    """
    node = parts_of(asked)
    if "auto" not in models_of(node):
        return None
    named = set(models_of(node))
    then = list(models_of(parts_of(begun)))
    stood_for = [name for name in then if name not in named and family_of(name).resumes(name)]
    stood_for += [name for name in then if name in named]
    return with_auto(node, stood_for[0]) if stood_for else None


def resolve_config(
    config: CropConfig, info: DetectorInfo, begun_with: CropConfig | None
) -> tuple[CropConfig, tuple[str, ...] | None]:
    """Return the settings with what the model decides, and the wanted classes; None for any.

    A resume keeps the default confidence of its folder. With boxes from a file it keeps the classes, too:
    earlier versions took only some of them by default.

    Args:
        config: settings as asked for.
        info: the detector's description.
        begun_with: settings of the folder, if there are any.

    Raises:
        UsageError: the model does not know a class, or never answers with such low scores.
    """
    same_model = begun_with is not None and begun_with.model == info.name
    wanted = config.classes
    if wanted is None and begun_with is not None and same_model and not info.needs_pixels:
        wanted = begun_with.classes
        if info.weights != begun_with.weights:  # another file: that is refused later, rather than its classes
            wanted = None
    classes = resolve_classes(wanted or info.default_classes, info.class_names, info.name)
    conf = config.conf
    if conf is None:
        conf = begun_with.conf if begun_with is not None and same_model else info.default_conf
    confs = dict(info.confs)
    if config.conf is not None:
        confs = dict.fromkeys(confs, config.conf)
    elif begun_with is not None and same_model and begun_with.confs.keys() == confs.keys():
        confs = begun_with.confs
    if conf is not None and conf < info.floor and (config.conf is not None or not confs):
        raise UsageError(
            "conf_below_floor",
            f"--conf {conf} is below {info.floor}, the lowest score that model {info.name} answers with; "
            f"pass {info.floor} or more",
        )
    return (
        dataclasses.replace(
            config,
            model=info.name,
            classes=classes_text(classes),
            vocabulary=info.vocabulary or None,
            conf=conf,
            confs=confs,
            weights=dict(sorted(info.weights.items())),
        ),
        classes,
    )


def classes_text(classes: tuple[str, ...] | None) -> str:
    """Return resolved classes as a setting; the order in which they were named makes no difference."""
    return "any" if classes is None else join_names(sorted(classes))
