"""TFRecord files: records with checksums, each a `tf.train.Example` of named features.

PyPI's `tfrecord` writes such files, too, but each run puts the features of a record into another order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from detic_crop.errors import UsageError

Feature: TypeAlias = bytes | Sequence[int]
"""Bytes, or whole numbers of 64 bits with a sign."""

_MASK = 0xA282EAD8
"""What TensorFlow adds to a checksum, as its ``record_writer.h`` documents."""


def record(features: Mapping[str, Feature]) -> Iterator[bytes]:
    """Yield the pieces of one record: length, its checksum, the example, its checksum.

    Args:
        features: by name; they are written in the order of the names, so the same ones give the same bytes.
    """
    data = example(features)
    length = struct.pack("<Q", len(data))
    yield from (length, _checksum(length), data, _checksum(data))


def example(features: Mapping[str, Feature]) -> bytes:
    """Return a `tf.train.Example` in the wire format of protocol buffers, as its ``example.proto`` has it."""
    entries = (
        _message(1, _message(1, name.encode()) + _message(2, _feature(value)))
        for name, value in sorted(features.items())
    )
    return _message(1, b"".join(entries))


def _feature(value: Feature) -> bytes:
    if isinstance(value, bytes):
        return _message(1, _message(1, value))
    return _message(3, _message(1, _varints(value)))


def _message(number: int, data: bytes) -> bytes:
    """Return a field whose content says its length (wire type 2)."""
    return b"".join((_varints((number << 3 | 2, len(data))), data))


def _varints(numbers: Iterable[int]) -> bytes:
    found = bytearray()
    for number in numbers:
        left = number & 0xFFFF_FFFF_FFFF_FFFF  # two's complement
        while left > 0x7F:
            found.append(left & 0x7F | 0x80)
            left >>= 7
        found.append(left)
    return bytes(found)


def _checksum(data: bytes) -> bytes:
    crc = crc32c()(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFF_FFFF)


@cache
def crc32c() -> Callable[[bytes], int]:
    """Return what computes the checksum CRC-32C of bytes.

    Raises:
        UsageError: the package that does so is not installed.
    """
    try:
        import google_crc32c
    except ImportError as error:
        raise UsageError(
            "no_tfrecord",
            f"--to tfrecord needs google-crc32c, which cannot be imported ({error}); "
            "pip install 'detic-crop[tfrecord]'",
        ) from error
    value: Callable[[bytes], int] = google_crc32c.value
    return value
