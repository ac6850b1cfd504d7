"""Photos in; for each the largest dolphin, whale or marine-life box, cropped; and an audit of every crop.

    import detic_crop
    detic_crop.run("train_images", "cropped")

Importing this package is cheap: torch, OpenCV and the rest are loaded by the first call that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detic_crop.boxes.choose import Choice as Choice
    from detic_crop.boxes.choose import choose as choose
    from detic_crop.boxes.detections import Detections as Detections
    from detic_crop.boxes.geometry import enlarge as enlarge
    from detic_crop.commands.apply import apply as apply
    from detic_crop.commands.audit import read_audit as read_audit
    from detic_crop.commands.audit import write_audit as write_audit
    from detic_crop.commands.compare import CompareResult as CompareResult
    from detic_crop.commands.compare import compare as compare
    from detic_crop.commands.crop_photo import CropResult as CropResult
    from detic_crop.commands.crop_photo import crop_photo as crop_photo
    from detic_crop.commands.export import ExportResult as ExportResult
    from detic_crop.commands.export import export as export
    from detic_crop.commands.merge import merge as merge
    from detic_crop.commands.recrop import recrop as recrop
    from detic_crop.commands.result import ApplyResult as ApplyResult
    from detic_crop.commands.result import RunResult as RunResult
    from detic_crop.commands.review import ReviewResult as ReviewResult
    from detic_crop.commands.review import review as review
    from detic_crop.commands.run import run as run
    from detic_crop.commands.show import ContactSheet as ContactSheet
    from detic_crop.commands.show import show as show
    from detic_crop.commands.split import SplitResult as SplitResult
    from detic_crop.commands.split import split as split
    from detic_crop.commands.status import status as status
    from detic_crop.commands.status_result import StatusResult as StatusResult
    from detic_crop.commands.teach import TeachResult as TeachResult
    from detic_crop.commands.teach import teach as teach
    from detic_crop.commands.verify import VerifyResult as VerifyResult
    from detic_crop.commands.verify import verify as verify
    from detic_crop.config import CropConfig as CropConfig
    from detic_crop.config import RunOptions as RunOptions
    from detic_crop.detectors import load_detector as load_detector
    from detic_crop.detectors.base import Detector as Detector
    from detic_crop.detectors.base import DetectorInfo as DetectorInfo
    from detic_crop.errors import DeticCropError as DeticCropError
    from detic_crop.errors import Interrupted as Interrupted
    from detic_crop.errors import OutputError as OutputError
    from detic_crop.errors import PhotoError as PhotoError
    from detic_crop.errors import Terminated as Terminated
    from detic_crop.errors import UsageError as UsageError
    from detic_crop.errors import WeightsError as WeightsError

__version__ = "0.1.0"

_HOMES = {
    "commands.apply": ("apply",),
    "commands.audit": ("read_audit", "write_audit"),
    "commands.compare": ("CompareResult", "compare"),
    "commands.crop_photo": ("CropResult", "crop_photo"),
    "commands.export": ("ExportResult", "export"),
    "commands.merge": ("merge",),
    "commands.recrop": ("recrop",),
    "commands.result": ("ApplyResult", "RunResult"),
    "commands.review": ("ReviewResult", "review"),
    "commands.run": ("run",),
    "commands.show": ("ContactSheet", "show"),
    "commands.split": ("SplitResult", "split"),
    "commands.status": ("status",),
    "commands.status_result": ("StatusResult",),
    "commands.teach": ("TeachResult", "teach"),
    "commands.verify": ("VerifyResult", "verify"),
    "boxes.choose": ("Choice", "choose"),
    "boxes.detections": ("Detections",),
    "boxes.geometry": ("enlarge",),
    "config": ("CropConfig", "RunOptions"),
    "detectors": ("load_detector",),
    "detectors.base": ("Detector", "DetectorInfo"),
    "errors": (
        *("DeticCropError", "Interrupted", "OutputError", "PhotoError", "Terminated"),
        *("UsageError", "WeightsError"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)

    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
