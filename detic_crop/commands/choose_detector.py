"""Which detector a run asks, and where it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors import load_detector, resolve_model
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.devices import resolve_devices
from detic_crop.detectors.vocabulary import join_names, resolve_classes
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.system.machine import default_workers
from detic_crop.work.execute import Executor
from detic_crop.work.executors.processes import Recipe, run_devices
from detic_crop.work.executors.ray_cluster import Cluster, connected, device_of, import_ray
from detic_crop.work.executors.ray_run import RayRun
from detic_crop.work.pipeline import Pipeline


def detector_for(
    config: CropConfig, options: RunOptions, begun_with: CropConfig | None, detector: Detector | None
) -> tuple[Detector, str, Spread | OnRay | None]:
    """The detector, why this one, and where it is to run when that is in several processes."""
    if options.executor == "ray":
        import_ray(options.ray_address)
        device_of(options.device, needs_pixels=True)
    if detector is not None:
        if config.box_format is not None:
            raise UsageError("--box-format goes with --model boxes:FILE only, not with your own detector")
        sent = OnRay("", {}, detector, detector, options) if options.executor == "ray" else None
        return detector, "given by the caller", sent
    model, reason = resolve_model(config.model)
    if config.model == "auto" and begun_with is not None:
        model, reason = begun_with.model, "this folder was begun with it"
        if model.startswith(("boxes:", "detectron2:")):
            raise UsageError(f"this folder was made with --model {model}; pass --model and the file's path")
    settings: dict[str, Any] = {
        "vocabulary": config.vocabulary,
        "names": options.names,
        "weights_file": options.weights_file,
        "precision": config.precision,
        "detector_size": config.detector_size,
        "batch_size": options.batch_size,
        "box_format": config.box_format,
    }
    devices: list[str] = []
    if options.executor == "local":
        devices = [options.device] if model.startswith("boxes:") else resolve_devices(options.device)
    if len(devices) == 1:
        return load_detector(model, devices[0], **settings), reason, None
    # This process only asks what it is; to load it on the CPU costs no GPU memory.
    probe = load_detector(model, "cpu", **{**settings, "precision": "float32"})
    if devices:
        return probe, reason, Spread(model, settings, tuple(devices))
    sent_along = None if probe.info.needs_pixels else probe  # the nodes need not have the file
    return probe, reason, OnRay(model, settings, probe, sent_along, options)


def _recipe(
    model: str, detector_settings: dict[str, Any], pipeline: Pipeline, folder: OutputFolder, workers: int
) -> Recipe:
    """What another process needs to do a part of a run."""
    return Recipe(
        model,
        detector_settings,
        pipeline.classes,
        pipeline.config,
        pipeline.max_pixels,
        folder.root.absolute(),
        dict(pipeline.decisions),
        workers,
        shard=folder.shard,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """Several devices, and what a process on one of them loads."""

    model: str
    detector_settings: dict[str, Any]
    devices: tuple[str, ...]

    def executor(self, pipeline: Pipeline, folder: OutputFolder, workers: int | None) -> Executor:
        """What does the jobs of a run there."""
        each = workers or default_workers(processes=len(self.devices))
        recipe = _recipe(self.model, self.detector_settings, pipeline, folder, each)
        do = partial(run_devices, recipe=recipe, devices=self.devices, times=pipeline.times)
        n = len(self.devices)
        return Executor(do, each * n, n, concurrent=set(self.devices) == {"cpu"})


@dataclass(frozen=True, slots=True)
class OnRay:
    """A Ray cluster, and what a process on one of its nodes loads, or gets sent."""

    model: str
    detector_settings: dict[str, Any]
    detector: Detector
    sent: Detector | None
    options: RunOptions

    @contextmanager
    def connected(self) -> Iterator[ExecutorFor]:
        """The cluster, connected."""
        info, options = self.detector.info, self.options
        # What was given has its device already, and pickle takes it to the processor of a node.
        device = device_of(options.device, info.needs_pixels and self.sent is None)
        with connected(
            options.ray_address, device, split=info.thread_safe, workers=options.workers
        ) as cluster:
            yield partial(self._executor, cluster)

    def _executor(
        self, cluster: Cluster, pipeline: Pipeline, folder: OutputFolder, workers: int | None
    ) -> Executor:
        recipe = _recipe(self.model, self.detector_settings, pipeline, folder, workers or 1)
        ray_run = RayRun(cluster, recipe, self.sent, pipeline, folder.write_temporary)
        groups = cluster.new_groups()
        threads = sum(workers or group.cores for group in groups)
        concurrent = self.detector.info.thread_safe and not cluster.on_gpus
        return Executor(partial(ray_run.do, groups), threads, len(groups), concurrent, ray_run.report)


ExecutorFor = Callable[[Pipeline, OutputFolder, int | None], Executor]


def resolve_config(
    config: CropConfig, info: DetectorInfo, begun_with: CropConfig | None
) -> tuple[CropConfig, tuple[str, ...] | None]:
    """Fill in what the model decides; a resume keeps the folder's default confidence.

    That of boxes from a file keeps its classes, too: earlier versions took only some of them by default.
    """
    same_model = begun_with is not None and begun_with.model == info.name
    wanted = config.classes
    if wanted is None and begun_with is not None and same_model and not info.needs_pixels:
        wanted = begun_with.classes
        if info.weights != begun_with.weights:  # another file: that is what will be refused, not its classes
            wanted = None
    classes = resolve_classes(wanted or info.default_classes, info.class_names, info.name)
    conf = config.conf
    if conf is None:
        conf = begun_with.conf if begun_with is not None and same_model else info.default_conf
    if conf is not None and conf < info.floor:
        raise UsageError(
            f"--conf {conf} is below {info.floor}, the lowest score that model {info.name} answers with; "
            f"pass {info.floor} or more"
        )
    return (
        dataclasses.replace(
            config,
            model=info.name,
            classes=classes_text(classes),
            vocabulary=info.vocabulary or None,
            conf=conf,
            weights=dict(sorted(info.weights.items())),
        ),
        classes,
    )


def classes_text(classes: tuple[str, ...] | None) -> str:
    """Resolved classes as a setting: the order in which they were named makes no difference."""
    return "any" if classes is None else join_names(sorted(classes))
