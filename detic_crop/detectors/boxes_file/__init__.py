"""Boxes that somebody already has, as a detector: `boxes:FILE`."""

from detic_crop.detectors.boxes_file.detector import BoxesFileDetector, load_boxes_file

__all__ = ["BoxesFileDetector", "load_boxes_file"]
