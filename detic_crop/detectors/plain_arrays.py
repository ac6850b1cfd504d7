"""Arrays in `.npy` files that anybody may have written: nothing in them is run or believed."""

from __future__ import annotations

import math
import re
import struct

import numpy as np
from numpy.typing import NDArray

# Magic, version and length of the header, and the header as numpy and the programs beside it write one.
_LENGTHS = {b"\x93NUMPY\x01\x00": "<H", b"\x93NUMPY\x02\x00": "<I"}
_HEADER = re.compile(
    rb"\{ *'descr': *'([<>|=]?[a-zA-Z]\d{1,4})', *'fortran_order': *(True|False), "
    rb"*'shape': *\(([\d, L]{0,99})\),? *\}\s*"
)


def plain_array(data: bytes) -> NDArray[np.generic]:
    """Return the array in the bytes of a `.npy` file, without a copy of them.

    Its header is held against the bytes that are there before an array is made. numpy's own reader of
    headers takes any Python literal.

    Raises:
        ValueError: it is no such file, is damaged, or has Python objects.
    """
    try:
        length_format = _LENGTHS[data[:8]]
        start = 8 + struct.calcsize(length_format)
        (length,) = struct.unpack(length_format, data[8:start])
        header = _HEADER.fullmatch(data, start, min(start + length, len(data)))
        if header is None:
            raise ValueError("its header is not as numpy writes it")
        dtype = np.dtype(header[1].decode())
        shape = tuple(int(n) for n in header[3].replace(b"L", b"").split(b",") if n.strip())
        count = math.prod(shape)
        if dtype.hasobject or count * dtype.itemsize != len(data) - start - length:
            raise ValueError(f"{len(data) - start - length} bytes of data, expected {shape} of {dtype}")
        array: NDArray[np.generic] = np.frombuffer(data, dtype, count, start + length)
        return array.reshape(shape, order="F" if header[2] == b"True" else "C")
    except (KeyError, struct.error) as error:
        raise ValueError("it does not begin as a .npy file") from error
    except (TypeError, OverflowError, MemoryError) as error:
        raise ValueError(str(error)) from error
