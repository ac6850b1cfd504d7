"""`POST /crop`: the crop and the row of a run, in memory; and what it refuses."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import detic_crop
from detic_crop.app import crops
from detic_crop.commands import crop_posted
from detic_crop.config import CropConfig
from detic_crop.work.pipeline import Pipeline
from tests.kit.app import AppClient, serving
from tests.kit.folders import files_of
from tests.kit.photos import write_photo, write_photos

# Of a photo alone nothing is known that compares it with others.
COMPARED = ("suspicion", "duplicate_of", "flags", "crop")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("posted")
    write_photos(root / "photos", 6)
    lines = ["image,xmin,ymin,xmax,ymax", "photo000.jpg,5,5,30,30", "photo000.jpg,35,5,55,20"]
    (root / "boxes.csv").write_text("\n".join([*lines, "day1/photo004.png,10,10,40,30", ""]))
    return root


@pytest.fixture(scope="module")
def client(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    with serving([data], tmp_path_factory.mktemp("state"), work=False) as client:
        yield client


def post(client: AppClient, photo: bytes, query: str = "", **headers: str | None) -> Any:
    given = {"Content-Type": "image/jpeg"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return client.ask("POST", f"/api/v1/crop?model=boxes:boxes.csv&{query}", photo, given)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 32},
        {"size": "24x48", "fit": "pad", "format": "png"},
        {"size": 32, "animals": "all", "format": "webp", "quality": 80},
        {"size": 32, "not_found": "skip"},
    ],
)
def test_the_crop_and_the_row_are_those_of_a_run(
    client: AppClient, data: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    detic_crop.run(
        data / "photos", tmp_path / "out", model=f"boxes:{data / 'boxes.csv'}", quiet=True, **settings
    )
    table = (tmp_path / "out" / "audit.csv").read_text().splitlines()
    rows = {row["image"]: row for row in csv.DictReader(table)}
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    made: dict[str, str] = {}
    for key in rows:
        told = post(client, (data / "photos" / key).read_bytes(), f"image={key}&{query}").json()
        assert {n: c for n, c in told["row"].items() if n not in COMPARED} == {
            n: c for n, c in rows[key].items() if n not in (*COMPARED, "n_crops")
        }
        if told["animals"]:
            made |= {each["row"]["crop"]: each["crop"] for each in told["animals"] if each["crop"]}
        elif told["crop"]:
            made[told["row"]["crop"]] = told["crop"]
    files = files_of(tmp_path / "out").items()
    expected = [data for name, data in files if name.endswith((".jpg", ".png", ".webp"))]
    # Of a run the name keeps what tells photos of one name apart; the bytes are the same.
    assert sorted(map(base64.b64decode, made.values())) == sorted(expected)


def test_nothing_comes_to_the_disk(client: AppClient, data: Path) -> None:
    before = files_of(data)
    assert post(client, (data / "photos/photo000.jpg").read_bytes(), "size=32").status == 200
    assert files_of(data) == before


def test_the_crop_alone(client: AppClient, data: Path) -> None:
    photo = (data / "photos/photo000.jpg").read_bytes()
    told = post(client, photo, "image=photo000.jpg&size=32&format=png", Accept="image/png")
    assert told.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(told.body)).size == (32, 32)
    assert json.loads(told.headers["x-detic-crop-row"])["status"] == "cropped"
    nothing = post(client, photo, "image=other.jpg&not_found=skip", Accept="image/*")
    assert (nothing.status, nothing.body) == (204, b"")
    assert json.loads(nothing.headers["x-detic-crop-row"])["status"] == "skipped"


def test_names_are_bounded_and_ascii_in_the_header(client: AppClient, data: Path) -> None:
    photo = (data / "photos/photo000.jpg").read_bytes()
    told = post(client, photo, f"image={'%F0%9F%90%8B' * 400}.jpg&size=32", Accept="image/*")
    assert told.status == 200
    assert len(told.headers["x-detic-crop-row"]) <= 6000
    assert post(client, photo, f"image={'x' * 501}").status == 400


@pytest.mark.parametrize(
    ("photo", "reason"),
    [(b"GIF89a" + bytes(100), "unsupported_format"), (b"no photo", "not_an_image"), (b"\xff\xd8\xff", "")],
)
def test_a_photo_that_cannot_be_used_has_a_row(client: AppClient, photo: bytes, reason: str) -> None:
    told = post(client, photo, "size=32")
    value = json.loads(told.body)
    assert told.status == 422
    assert value["row"]["status"] == "failed"
    assert value["row"]["reason"] == value["error"]["code"]
    assert value["row"]["error"] == value["error"]["message"]
    assert reason in ("", value["error"]["code"])


def test_a_photo_cut_short(client: AppClient, data: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "large.jpg", width=600, height=400).read_bytes()
    told = post(client, photo[: len(photo) // 2], "size=32")
    assert "truncated_file" in told.json()["row"]["flags"]
    assert (
        json.loads(post(client, photo[: len(photo) // 2], "truncated=fail").body)["error"]["code"]
        == "truncated"
    )


def test_a_photo_with_too_many_pixels(client: AppClient) -> None:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\x01\0\0\x08\x02\0\0\0" + bytes(40)
    told = post(client, header)
    assert (told.status, json.loads(told.body)["error"]["code"]) == (422, "too_many_pixels")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("size=9x", (400, "bad_value")),
        ("sise=9", (400, "unknown_setting")),
        ("out_format=tar", (400, "unknown_setting")),
        ("size=32&size=33", (400, "bad_query")),
        ("scale=nan", (400, "bad_value")),
        ("detector_size=800", (400, "option_not_applicable")),
        ("vocabulary=/etc/x.npy", (403, "outside_root")),
    ],
)
def test_settings_that_are_refused(client: AppClient, query: str, told: tuple[int, str]) -> None:
    answer = post(client, b"x", query)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == told


def test_models_outside_are_refused(client: AppClient) -> None:
    answer = client.ask("POST", "/api/v1/crop?model=boxes:/etc/passwd", b"x", {"Content-Type": "image/png"})
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (403, "outside_root")


def test_bodies_that_are_none(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(client, b"").status == 400
    assert post(client, b"x", Content_Type="text/plain").status == 415
    monkeypatch.setattr(crops, "MOST_BYTES", 1000)
    assert post(client, bytes(1001)).status == 413
    chunked = client.ask(
        "POST",
        "/api/v1/crop",
        b"7d1\r\n" + bytes(2001) + b"\r\n0\r\n\r\n",
        {"Content-Type": "image/jpeg", "Transfer-Encoding": "chunked"},
    )
    assert chunked.status in (400, 413)


def test_too_many_at_once_are_told_to_come_again(
    client: AppClient, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crops, "_MOST_AT_ONCE", 0)
    answer = post(client, (data / "photos/photo000.jpg").read_bytes())
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


def test_many_clients(client: AppClient, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each gets the crop of its own photo and settings."""
    photos = {key: (data / "photos" / key).read_bytes() for key in ("photo000.jpg", "day1/photo004.png")}
    jobs = [(key, size) for key in photos for size in range(16, 48)]

    def sides(job: tuple[str, int]) -> bool:
        key, size = job
        told = post(client, photos[key], f"image={key}&size={size}").json()
        picture = Image.open(io.BytesIO(base64.b64decode(told["crop"])))
        return told["row"]["image"] == key and picture.size == (size, size)

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
        assert all(pool.map(sides, jobs))
    assert caplog.records == []


def test_a_model_that_others_push_out_meanwhile_is_loaded_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = (data / "photos/photo000.jpg").read_bytes()
    other = shutil.copy(data / "boxes.csv", tmp_path)
    configs = [CropConfig(model=f"boxes:{path}") for path in (data / "boxes.csv", other)]
    monkeypatch.setattr(crop_posted, "_MOST_LOADED", 1)
    usual = crop_posted._Loaded.pipeline_of
    others = [configs[1]]

    with contextlib.closing(crop_posted.PhotoCropper()) as cropper:

        def pushed_out(loaded: crop_posted._Loaded, config: CropConfig) -> Pipeline:
            if others:
                assert cropper.submit(photo, "photo000.jpg", others.pop()).result().crop
            return usual(loaded, config)

        monkeypatch.setattr(crop_posted._Loaded, "pipeline_of", pushed_out)
        assert cropper.submit(photo, "photo000.jpg", configs[0]).result().crop
    assert not others
