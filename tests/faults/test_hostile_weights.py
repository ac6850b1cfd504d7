"""Weights, embeddings and downloads that anybody may have made: one line, no code, no memory for a lie."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from detic_crop.detectors import download as downloads
from detic_crop.detectors import text_encoder
from detic_crop.detectors.checkpoints import read_checkpoint
from detic_crop.detectors.download import DownloadError, download
from detic_crop.detectors.embeddings import load_vocabulary
from detic_crop.detectors.plain_arrays import plain_array
from detic_crop.detectors.records import Records
from detic_crop.errors import WeightsError
from tests.kit.errors import refused
from tests.kit.helpers import write
from tests.kit.servers import QuietHandler, loopback_server

MB = 1 << 20
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.float16)}


@contextlib.contextmanager
def little_memory(most: int, what: str = "") -> Iterator[None]:
    """No more than `most` bytes are taken meanwhile."""
    tracemalloc.start()
    try:
        yield
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < most, what


# ---------------------------------------------------------------- .npy


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A `.npy` file with that header."""
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def header_of(shape: object, descr: str = "'<f4'", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


HOSTILE_ARRAYS = {
    "terabytes": npy(header_of((10**9, 512)), b"x" * 100),
    "more than can be counted": npy(header_of((10**30, 512)), b"x" * 100),
    "no bytes of many": npy(header_of((0, 10**30))),
    "negative": npy(header_of((-1, -25)), b"x" * 100),
    "one negative": npy(header_of((-25,)), b"x" * 100),
    "objects": npy(header_of((1,), "'|O'"), pickle.dumps([1])),
    "no type": npy(header_of((1,), "'nonsense'")),
    "nothing in each": npy(header_of((5,), "'|V0'")),
    "deep": npy("(" * 3000 + ")" * 3000),
    "unclosed": npy("{'descr': '<f4', 'shape': (1,"),
    "unclosed text": npy("{'descr': '''"),
    "a call": npy("__import__('os').mkdir('owned')"),
    "huge number": npy(header_of("(" + "9" * 5000 + ",)")),
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"x" * 100,
    "header of 64 kB": b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 65535,
    "no such version": b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16,
    "cut off": b"\x93NUMPY\x01",
    "shorter": npy(header_of((25,)), b"x" * 99),
    "longer": npy(header_of((25,)), b"x" * 101),
}


@pytest.mark.parametrize("name", HOSTILE_ARRAYS)
def test_a_hostile_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "own.npy", HOSTILE_ARRAYS[name])
    names = write(tmp_path / "names.txt", b"Dolphin\nWhale\n")
    with little_memory(MB), refused("bad_embeddings", WeightsError):
        load_vocabulary(str(path), names, lambda file: None)
    assert sorted(tmp_path.iterdir()) == [names, path]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f8"])
def test_honest_arrays_are_as_numpy_reads_them(order: str, kind: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(kind)
    for version in ((1, 0), (2, 0)):
        file = io.BytesIO()
        np.lib.format.write_array(file, np.asarray(array, order="F" if order == "F" else "C"), version)
        found = plain_array(file.getvalue())
        assert np.array_equal(found, array)
        assert found.dtype == array.dtype


def mutations(seed: int, data: bytes) -> Iterator[bytes]:
    """`data` with bytes changed, cut out, doubled or cut off, without end."""
    chance = random.Random(seed)
    while True:
        made = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = (
                chance.randrange(min(len(made), 600))
                if chance.random() < 0.5
                else chance.randrange(len(made))
            )
            kind = chance.randrange(5)
            if kind == 0:
                made[place] ^= 1 << chance.randrange(8)
            elif kind == 1:
                made[place : place + 4] = chance.randbytes(4)
            elif kind == 2:
                made[place : place + 8] = struct.pack("<q", chance.choice([-1, 0, 1 << 31, 1 << 40, 1 << 62]))
            elif kind == 3:
                del made[place : place + chance.randint(1, 8)]
            else:
                made[place:place] = made[place : place + chance.randint(1, 40)]
        yield bytes(made) if made else data


def _several(data: bytes, count: int, read: Callable[[bytes], object]) -> int:
    """Read mutated files; return how many were refused."""
    refusals = 0
    for _, made in zip(range(count), mutations(1, data), strict=False):
        try:
            read(made)
        except WeightsError as error:
            assert error.code in ("damaged_weights", "weights_do_not_fit", "bad_embeddings"), error  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            refusals += 1
    return refusals


def test_mutated_arrays(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.ones((2, 512), np.float16))
    names = write(tmp_path / "names.txt", b"Dolphin\nWhale\n")

    def read(data: bytes) -> None:
        load_vocabulary(str(write(tmp_path / "own.npy", data)), names, lambda name: None)

    assert _several(file.getvalue(), 300, read) > 100


# ---------------------------------------------------------------- checkpoints


def saved(content: object, *, legacy: bool = False) -> bytes:
    """A file of `torch.save`."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def repacked(data: bytes, change: Callable[[zipfile.ZipInfo, bytes], tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    """A zip file, each of whose parts went through `change`."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(made, "w") as after:
        for part in before.infolist():
            info, content = change(zipfile.ZipInfo(part.filename), before.read(part))
            after.writestr(info, content)
    return made.getvalue()


def _packed(info: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, content if info.filename.endswith("pkl") else bytes(20 * MB)


def _larger_table(data: bytes) -> bytes:
    """The table of contents says that each part has 3 GB."""
    made = bytearray(data)
    start = 0
    while (start := made.find(b"PK\x01\x02", start)) >= 0:
        made[start + 24 : start + 28] = struct.pack("<I", 3 << 30)
        start += 4
    return bytes(made)


def _nested_tar() -> bytes:
    """How files were saved in 2016; torch hands them to `tarfile`."""
    from tests.kit.tars import END, base_256, header

    return header(b"storages", raw_size=base_256(-512)) + END


def hostile_checkpoints() -> dict[str, bytes]:
    expanded = torch.zeros(1).expand(1 << 20, 1 << 20)  # 4 TB in 4 bytes
    shared = torch.zeros(1 << 16)
    return {
        "tensor of 4 TB": saved({"model": {"roi_heads.mask_head.a": expanded}}),
        "tensor of 4 TB, old": saved({"model": {"roi_heads.mask_head.a": expanded}}, legacy=True),
        "one tensor, a thousand names": saved(
            {"model": {f"roi_heads.mask_head.{n}": shared for n in range(1000)}}
        ),
        "tensor without memory": saved({"model": {"a": torch.zeros(1 << 40, device="meta")}}),
        "sparse tensor": saved(
            {"model": {"a": torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (1 << 40,))}}
        ),
        "packed": repacked(saved({"model": TENSORS}), _packed),
        "table of more": _larger_table(saved({"model": TENSORS})),
        "old tar file": _nested_tar(),
        "web page": b"<html>",
        "empty": b"",
        "numpy": npy(header_of((1,)), b"1234"),
        "deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "deep in a zip": repacked(
            saved({"model": TENSORS}),
            lambda info, content: (
                (info, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
                if info.filename.endswith("data.pkl")
                else (info, content)
            ),
        ),
    }


@pytest.mark.filterwarnings("ignore:Sparse")
def test_hostile_checkpoints(tmp_path: Path) -> None:
    for name, data in hostile_checkpoints().items():
        path = write(tmp_path / "model.pth", data)
        with little_memory(16 * MB, name), pytest.raises(WeightsError):
            read_checkpoint(path)


def test_tensors_that_share_their_numbers_are_no_damage(tmp_path: Path) -> None:
    shared = torch.arange(5000.0)
    for legacy in (False, True):
        path = write(
            tmp_path / "model.pth", saved({"model": OrderedDict(a=shared, b=shared[10:])}, legacy=legacy)
        )
        assert torch.equal(read_checkpoint(path)["b"], shared[10:])


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def test_hostile_safetensors(tmp_path: Path) -> None:
    def one(**values: object) -> bytes:
        return json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | values}).encode()

    for name, data in {
        "header of 2^63": safetensors(b"{}", length=1 << 63),
        "header of 2^64 - 1": safetensors(b"{}", length=(1 << 64) - 1),
        "header of 90 MB": safetensors(b"{}", length=90 << 20),
        "terabytes": safetensors(one(shape=[1 << 40]), b"1234"),
        "more than can be counted": safetensors(one(shape=[1 << 63, 1 << 63]), b"1234"),
        "negative": safetensors(one(shape=[-1]), b"1234"),
        "outside": safetensors(one(data_offsets=[0, 1 << 60]), b"1234"),
        "backwards": safetensors(one(data_offsets=[4, 0]), b"1234"),
        "unknown numbers": safetensors(one(dtype="F3"), b"1234"),
        "deep": safetensors(b'{"a":' + b"[" * 100_000),
        "no UTF-8": safetensors(b'{"\xff":1}'),
        "empty": b"",
    }.items():
        path = write(tmp_path / "model.safetensors", data)
        with refused("damaged_weights", WeightsError):
            pytest.fail(f"{name}: {read_checkpoint(path)}")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_mutated_checkpoints(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("model.safetensors" if kind == "safetensors" else "model.pth")
    if kind == "safetensors":
        save_file(TENSORS, path)
    else:
        path.write_bytes(saved({"model": TENSORS}, legacy=kind == "legacy"))

    def read(data: bytes) -> None:
        for tensor in read_checkpoint(write(path, data)).values():
            assert tensor.nbytes <= 2 * len(data)
            tensor.clone()

    assert _several(path.read_bytes(), 150, read) > 30


# ---------------------------------------------------------------- what is kept of words, and notes


def test_kept_words_that_were_changed(tmp_path: Path) -> None:
    row = np.ones(512, np.float32)
    text_encoder._keep(tmp_path, "orca", row)
    (path,) = tmp_path.iterdir()
    kept = text_encoder._read(tmp_path, "orca")
    assert kept is not None
    assert np.array_equal(kept, row)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("embedding.npy", bytes(300 * MB))
    for data in (bomb.getvalue(), b"", b"PK", *(saved_npz(array) for array in HOSTILE_ARRAYS.values())):
        path.write_bytes(data)
        with little_memory(MB):
            assert text_encoder._read(tmp_path, "orca") is None


def saved_npz(array: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("embedding.npy", array)
    return file.getvalue()


HOSTILE_JSON = (
    b"",
    b"[]",
    b"{}",
    b'{"files": 1}',
    b"[" * 100_000,
    b'{"files": {"a": {"sha256": 1}}}',
    b"\xff",
)


@pytest.mark.parametrize("text", HOSTILE_JSON)
def test_records_that_were_changed(tmp_path: Path, text: bytes) -> None:
    write(tmp_path / "weights.json", text)
    path = write(tmp_path / "a.npy", b"1")
    records = Records(tmp_path)
    assert records.get("a.npy") is None
    assert records.get("weights.json") is None
    records.remember(path, "0" * 64, "here")
    assert records.untouched(path)


# ---------------------------------------------------------------- downloads

WHOLE = b"0123456789" * 1000
PIECE = b"x" * 8192


@contextlib.contextmanager
def mirror(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The address of a file on a server that answers so."""

    def do_get(self: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            answer(self)
        self.close_connection = True

    with loopback_server(type("Handler", (QuietHandler,), {"do_GET": do_get})) as port:
        yield f"http://127.0.0.1:{port}/file.bin"


def _send(
    handler: BaseHTTPRequestHandler, headers: dict[str, str], pieces: Iterator[bytes] | list[bytes]
) -> None:
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    for piece in pieces:
        handler.wfile.write(piece)


def _endless() -> Iterator[bytes]:
    while True:
        yield PIECE


def _chunks() -> Iterator[bytes]:
    while True:
        yield b"2000\r\n" + PIECE + b"\r\n"


ENDLESS: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "no length": lambda handler: _send(handler, {}, _endless()),
    "chunks": lambda handler: _send(handler, {"Transfer-Encoding": "chunked"}, _chunks()),
    "length of 5,000 digits": lambda handler: _send(handler, {"Content-Length": "9" * 5000}, _endless()),
    "length in words": lambda handler: _send(handler, {"Content-Length": "ten"}, _endless()),
    "length that is negative": lambda handler: _send(handler, {"Content-Length": "-1"}, _endless()),
}


@pytest.mark.parametrize("limit", ["size", "most"])
@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_download_stops_at_the_known_size(tmp_path: Path, kind: str, limit: str) -> None:
    part = tmp_path / "file.bin.part"
    largest = 0

    def report(there: int, total: int | None) -> None:
        nonlocal largest
        largest = max(largest, there)

    with mirror(ENDLESS[kind]) as address, refused("not_the_file", DownloadError, names=["30000"]):
        download(address, part, **{limit: 30_000}, report=report, sleep=lambda seconds: None)
    assert largest <= 30_000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [len(WHOLE) - 1, len(WHOLE) + 1, 10**17])
def test_a_length_that_is_not_the_known_one(tmp_path: Path, length: int) -> None:
    with (
        mirror(lambda handler: _send(handler, {"Content-Length": str(length)}, [WHOLE])) as address,
        refused("not_the_file", DownloadError),
    ):
        download(address, tmp_path / "file.bin.part", size=len(WHOLE), sleep=lambda seconds: None)
    assert list(tmp_path.iterdir()) == []


def test_more_than_an_estimate_is_refused_before_it_comes(tmp_path: Path) -> None:
    with (
        mirror(lambda handler: _send(handler, {"Content-Length": "30001"}, _endless())) as address,
        refused("not_the_file", DownloadError, match="at most 30000"),
    ):
        download(address, tmp_path / "file.bin.part", most=30_000, sleep=lambda seconds: None)


def test_a_trickle_counts_as_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes with every look at the clock."""
    now = iter(range(0, 10**9, 100))
    monkeypatch.setattr(downloads, "time", _Clock(now))
    with (
        mirror(lambda handler: _send(handler, {"Content-Length": str(10**6)}, [b"x"] * 50)) as address,
        refused("download_failed", DownloadError, match="bytes came in 60 s"),
    ):
        download(address, tmp_path / "file.bin.part", sleep=lambda seconds: None)


class _Clock:
    def __init__(self, now: Iterator[int]) -> None:
        self._now = now

    def monotonic(self) -> float:
        return next(self._now)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.mark.parametrize("note", [*HOSTILE_JSON, b'{"address":"","total":"9","etag":"","modified":""}'])
def test_a_note_that_was_changed_begins_again(tmp_path: Path, note: bytes) -> None:
    part = write(tmp_path / "file.bin.part", WHOLE[:10])
    write(tmp_path / "file.bin.part.json", note)
    with mirror(lambda handler: _send(handler, {"Content-Length": str(len(WHOLE))}, [WHOLE])) as address:
        download(address, part, size=len(WHOLE), sleep=lambda seconds: None)
    assert part.read_bytes() == WHOLE
