"""Runs with ``--model onnx:FILE`` on the command line: from photos to crops, continued, cropped again, in parts."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.kit.errors import complained
from tests.kit.folders import product, rows_of
from tests.kit.onnx_models import HEADS, SIDE, ULTRALYTICS, rf_detr, square, v8, write_square
from tests.kit.programs import detic_crop

CELL = (32, 64, 64, 96)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return v8(tmp_path / "squares.onnx")
