"""Boxes that somebody already has, as a detector: `boxes:FILE`, where FILE may be a folder of label files.

`formats` lists what is read, and `read` tells the formats apart. Each format is a module that makes `drafts`
of its content; `judge` decides for a file as a whole what its numbers mean; `detector` matches the photos.
"""

from detic_crop.detectors.boxes_file.detector import BoxesFileDetector, load_boxes_file

__all__ = ["BoxesFileDetector", "load_boxes_file"]
