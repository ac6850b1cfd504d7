"""The library transformers: imported when it is first needed, kept quiet, its errors as one line."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detic_crop.errors import UsageError, WeightsError, one_line

INSTALL = "pip install 'detic-crop[hf]'"


def load_transformers() -> Any:
    """Return the package.

    Raises:
        UsageError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            "missing_extra",
            f"--model hf:… needs transformers, which is not installed ({one_line(error, 200)}); {INSTALL}",
        ) from error


@contextmanager
def offline() -> Iterator[None]:
    """Let huggingface_hub refuse every request, as HF_HUB_OFFLINE does.

    Reading a folder needs none, but transformers asks the hub about some names that a configuration holds.
    """
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from writing bars, reports and warnings; what matters is told by errors."""
    logging: Any = importlib.import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever reading a part of the model raises into one line.

    Raises:
        WeightsError: the part and the cause.
    """
    try:
        yield
    except (UsageError, WeightsError):
        raise
    except Exception as error:  # OSError, ValueError, SafetensorError, KeyError, … from files of any content
        raise WeightsError(
            "unusable_hf_model",
            f"transformers cannot read the {what} of {folder}: "
            f"{one_line(error, 300) or type(error).__name__}; get the folder again, "
            "or save it with this version of transformers",
        ) from error
