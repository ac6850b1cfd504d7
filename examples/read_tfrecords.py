"""Read the TFRecord files of `detic-crop export --to tfrecord` as notebooks for TPUs read them, into PyTorch.

    detic-crop export cropped --to tfrecord --out records
    python examples/read_tfrecords.py records/*-train-*.tfrec --batch 32 --size 512

Each example has `image_name` (bytes), `image` (a JPEG), `target` (int64, the individual) and `detic_box`
(four int64: left, top, right, bottom in pixels of that JPEG; -1 four times where nothing was found). How many
examples a file has is said by its name, between the last hyphen and the dot. TensorFlow reads them if it is
installed, else a few lines here do.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import re
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB


class Example(NamedTuple):
    """One example.

    Attributes:
        name: of the photo.
        image: (H, W, 3) uint8 RGB.
        target: number of the individual.
        box: left, top, right, bottom, pixels; -1 four times where there is none.
    """

    name: str
    image: NDArray[np.uint8]
    target: int
    box: tuple[int, int, int, int]


def count_items(paths: Iterable[str | Path]) -> int:
    """Return how many examples some files have, by their names, as loops over epochs need it."""
    found = (re.search(r"-([0-9]*)\.", str(path)) for path in paths)
    return sum(int(match[1]) for match in found if match)


def read_examples(paths: Iterable[str | Path]) -> Iterator[Example]:
    """Yield the examples of some files, with whatever can read them here."""
    read = _with_tensorflow if importlib.util.find_spec("tensorflow") else _with_python
    return read(paths)


def _with_tensorflow(paths: Iterable[str | Path]) -> Iterator[Example]:
    tf: Any = importlib.import_module("tensorflow")
    features = {
        "image_name": tf.io.FixedLenFeature([], tf.string),
        "image": tf.io.FixedLenFeature([], tf.string),
        "target": tf.io.FixedLenFeature([], tf.int64),
        "detic_box": tf.io.FixedLenFeature([4], tf.int64),
    }
    for data in tf.data.TFRecordDataset([str(path) for path in paths]):
        example = tf.io.parse_single_example(data, features)
        image = tf.io.decode_jpeg(example["image"], channels=3).numpy()
        name, box = example["image_name"].numpy().decode(), example["detic_box"].numpy().tolist()
        yield Example(name, image, int(example["target"]), tuple(box))


def _with_python(paths: Iterable[str | Path]) -> Iterator[Example]:
    for path in paths:
        with open(path, "rb") as file:
            # A record: its length (8 bytes), a checksum of that (4), the data, a checksum of these (4).
            while head := file.read(12):
                [length] = struct.unpack("<Q4x", head)
                found = parse_example(file.read(length))
                file.seek(4, io.SEEK_CUR)
                [name], [jpeg] = found["image_name"], found["image"]
                left, top, right, bottom = found["detic_box"]
                with Image.open(io.BytesIO(jpeg)) as image:
                    pixels = np.array(image.convert("RGB"))
                yield Example(name.decode(), pixels, found["target"][0], (left, top, right, bottom))


def parse_example(data: bytes) -> dict[str, list[Any]]:
    """Return the features of a `tf.train.Example`: name → bytes or int64 values.

    Its message in Protocol Buffers: Example { Features { map<string, Feature> } }; a Feature holds a list of
    bytes (field 1) or of int64 (field 3), all of these as one block.
    """
    features: dict[str, list[Any]] = {}
    for _, all_features in fields(data):
        for _, entry in fields(all_features):
            key, feature = (value for _, value in fields(entry))
            [(kind, values)] = fields(feature)
            if kind == 1:
                features[key.decode()] = [value for _, value in fields(values)]
            elif kind == 3:
                features[key.decode()] = [number for _, block in fields(values) for number in varints(block)]
    return features


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each field of a message that has only fields with a length."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        length, at = varint(message, at)
        yield tag >> 3, message[at : at + length]
        at += length


def varints(block: bytes) -> Iterator[int]:
    """Yield the int64 of a packed field; -1 is written as 2⁶⁴ - 1."""
    at = 0
    while at < len(block):
        number, at = varint(block, at)
        yield number - (1 << 64) if number >> 63 else number


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, the lowest first, and where the next thing begins."""
    number = shift = 0
    while True:
        byte = data[at]
        number, shift, at = number | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return number, at


def to_batch(examples: Iterable[Example], size: int) -> tuple[Tensor, Tensor, list[str]]:
    """Return the animals of some examples: (N, 3, S, S) float32, normalised; (N,) int64 targets; names.

    The box is cut out; where there is none, all of the image is taken.
    """
    pictures, targets, names = [], [], []
    for name, image, target, (left, top, right, bottom) in examples:
        cut = image[top:bottom, left:right] if left >= 0 else image
        resized = Image.fromarray(cut).resize((size, size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).float() / 255  # (S, S, 3)
        pictures.append(((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1))
        targets.append(target)
        names.append(name)
    return torch.stack(pictures), torch.tensor(targets), names


def main() -> None:
    """Print what the first batch is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", help="…-i-n.tfrec")
    parser.add_argument("--batch", type=int, default=8, help="examples of a batch")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures, pixels")
    given = parser.parse_args()
    pictures, targets, names = to_batch(islice(read_examples(given.files), given.batch), given.size)
    print(f"{count_items(given.files)} examples in {len(given.files)} files")
    print(f"first batch {tuple(pictures.shape)}, targets {targets.tolist()}, {names[0]} …")


if __name__ == "__main__":
    main()
