"""Cut-outs in full resolution for the review page: what is in each tile, and what they cost."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from detic_crop import api
from detic_crop.errors import PhotoError
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.images.decode import PhotoFile, decode
from detic_crop.photos.keys import STATE
from detic_crop.photos.location import LocalFile
from detic_crop.report.html.thumbnails import open_photo
from detic_crop.review_page import cutouts
from detic_crop.review_page.cutouts import TILE, DecodedPhotos, Tile
from detic_crop.system.memory_budget import MemoryBudget
from tests.kit.exif import ORIENTATION, exif
from tests.kit.folders import crop
from tests.kit.photos import picture, write_damaged, write_photo, write_photos
from tests.kit.review import Client, reviewing

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 1303, 611  # of no tile a multiple
REDUCTIONS = (1, 2, 4, 8)
JPEG_ERROR = 3.0  # of 255 on average, of smooth pictures


def pillow(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def deep_png(pixels: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", pixels.astype(np.uint16) * 257)
    assert done
    return data.tobytes()


def files() -> dict[str, bytes]:
    """A photo of each kind that decoding treats in its own way, by name."""
    pixels = picture(1, WIDTH, HEIGHT)
    shown = Image.fromarray(pixels[:, :, ::-1])
    made = {
        f"turned{orientation}.jpg": pillow(shown, "JPEG", exif=exif({ORIENTATION: orientation}), quality=95)
        for orientation in (3, 6)
    }
    return made | {
        "plain.jpg": pillow(shown, "JPEG", quality=95),
        "cmyk.jpg": pillow(shown.convert("CMYK"), "JPEG", quality=95),
        "grey.jpg": pillow(shown.convert("L"), "JPEG", quality=95),
        "plain.png": pillow(shown, "PNG"),
        "deep.png": deep_png(pixels),
        "clear.png": pillow(shown.convert("RGBA"), "PNG"),
        "plain.webp": pillow(shown, "WEBP", quality=95),
        "plain.tif": pillow(shown, "TIFF"),
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` and `out`: those photos, and broken ones."""
    folder = tmp_path_factory.mktemp("cutouts")
    (folder / "in").mkdir()
    for name, data in files().items():
        (folder / "in" / name).write_bytes(data)
    write_damaged(folder / "in")
    crop(folder / "in", folder / "out")
    return folder


@pytest.fixture(scope="module")
def client(finished: Path) -> Iterator[Client]:
    with reviewing(finished / "out") as client:
        yield client


def tiles_of(width: int, height: int, reduction: int) -> list[Tile]:
    """All tiles of a photo."""
    side = TILE * reduction
    return [
        Tile(reduction, column, row)
        for column in range(-(-width // side))
        for row in range(-(-height // side))
    ]


def address(client: Client, image: str, tile: Tile) -> str:
    return f"/photo/{client.id_of(image)}/{tile.reduction}/{tile.column}/{tile.row}"


# ---------------------------------------------------------------- what is in a tile


@pytest.mark.parametrize("name", files())
def test_every_tile_is_its_part_of_the_upright_photo(finished: Path, client: Client, name: str) -> None:
    upright = decode((finished / "in" / name).read_bytes(), name=name).image
    height, width = upright.shape[:2]
    for tile in (tile for reduction in REDUCTIONS for tile in tiles_of(width, height, reduction)):
        answer = client.get(address(client, name, tile))
        assert answer.headers["content-type"] == "image/jpeg"
        assert b"Exif" not in answer.body
        got = cv2.imdecode(
            np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
        side = TILE * tile.reduction
        left, top = tile.column * side, tile.row * side
        part = upright[top : top + side, left : left + side]
        shape = tuple(-(-length // tile.reduction) for length in part.shape[:2])
        assert got is not None
        assert got.shape[:2] == shape
        assert max(shape) <= TILE
        expected = cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(got.astype(int) - expected).mean() < JPEG_ERROR


def test_two_tiles_differ_by_more_than_the_error_that_is_allowed(finished: Path) -> None:
    """So a tile in the place of another one would be noticed."""
    pixels = decode((finished / "in" / "plain.png").read_bytes()).image.astype(int)
    for other in (
        pixels[: TILE - 13, TILE : 2 * TILE],
        pixels[13:TILE, :TILE],
        pixels[: TILE - 13, TILE - 1 :: -1],
    ):
        assert np.abs(pixels[: TILE - 13, :TILE] - other).mean() > 2 * JPEG_ERROR


def test_a_blind_page_has_them_too(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 10, width=WIDTH, height=HEIGHT)
    crop(tmp_path / "in", tmp_path / "out")
    api.write_audit(tmp_path / "out", sample=10, seed=3)
    with reviewing(tmp_path / "out", reviewer="Bob", blind=True) as client:
        for rank in range(3):
            assert client.get(address(client, client.image(rank), Tile(1, 2, 1))).status == 200


# ---------------------------------------------------------------- what there is not


@pytest.mark.parametrize(
    "numbers",
    [
        *("1/3/0", "1/0/2", "2/2/0", "8/1/0"),  # beside the photo
        *("3/0/0", "0/0/0", "16/0/0", "-1/0/0", "1/-1/0", "1/0/-1"),
        *(
            "1/0",
            "1/0/0/0",
            "1/0/",
            "a/0/0",
            "1/0/0.5",
            "1/0/1e1",
            "1/0/+0",
            "1/0/%20",
            "1/0/²",
            "1/0/%C2%B2",
        ),
        *("1/999999/0", "1/0/1000000", "1/0/" + "9" * 5000, "9" * 5000 + "/0/0", "1/0/%D9%A1"),
    ],
)
def test_other_numbers_name_no_tile(client: Client, numbers: str) -> None:
    path = f"/photo/{client.id_of('plain.jpg')}/{numbers}".encode("ascii", "replace").decode()
    answer = client.get(path)
    assert answer.status == 404
    assert len(answer.body) < 100
    assert client.get(address(client, "plain.jpg", Tile(1, 2, 1))).status == 200


@pytest.mark.parametrize("number", ["0", "1", "-1", "x", "%C2%B2", "9" * 5000])
def test_other_numbers_name_no_crop(client: Client, number: str) -> None:
    """One animal was cropped of each photo, so no crop has a number."""
    assert client.get(f"/crop/{client.id_of('plain.jpg')}/{number}").status == 404


def test_photos_that_are_not_there_have_none(client: Client) -> None:
    assert client.get("/photo/0000000000000000/1/0/0").status == 404
    assert client.get(address(client, "bad/text.jpg", Tile(1, 0, 0))).status == 404


def test_a_photo_that_goes_or_changes_meanwhile_has_none_any_more(tmp_path: Path) -> None:
    for name in ("gone.jpg", "other.jpg", "same.jpg", "short.jpg"):
        write_photo(tmp_path / "in" / name, width=WIDTH, height=HEIGHT)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:

        def status(name: str) -> int:
            return client.get(address(client, name, Tile(1, 0, 0))).status

        for name in ("gone.jpg", "other.jpg", "same.jpg", "short.jpg"):
            assert status(name) == 200
        (tmp_path / "in" / "gone.jpg").unlink()
        other = bytearray((tmp_path / "in" / "other.jpg").read_bytes())
        other[-1000] ^= 1  # as long as before, and the same size
        (tmp_path / "in" / "other.jpg").write_bytes(other)
        (tmp_path / "in" / "short.jpg").write_bytes(bytes(other[:-1]))
        for name in ("other.jpg", "same.jpg", "short.jpg"):
            os.utime(tmp_path / "in" / name, ns=(1, 1))
        found = {name: status(name) for name in ("gone.jpg", "other.jpg", "same.jpg", "short.jpg")}
        assert found == {"gone.jpg": 404, "other.jpg": 404, "same.jpg": 200, "short.jpg": 404}


# ---------------------------------------------------------------- what it costs


class Opened:
    """Counts the photos that are read; each waits until `ready` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ready: Callable[[], object] = lambda: None) -> None:
        self.images: list[str] = []
        self.faults: list[Exception] = []  # one is raised for each of the next photos

        def counting(record: Record, location: LocalFile, memory: MemoryBudget) -> PhotoFile:
            self.images.append(record.image)
            ready()
            if self.faults:
                raise self.faults.pop()
            return open_photo(record, location, memory)

        monkeypatch.setattr(cutouts, "open_photo", counting)


@pytest.fixture
def records(finished: Path) -> dict[str, tuple[Record, LocalFile]]:
    """The photos of the run, by name."""
    found = replay(finished / "out" / STATE / "journal.jsonl").records
    return {name: (found[name], LocalFile(str(finished / "in" / name))) for name in files()}


PIXELS = 3 * WIDTH * HEIGHT  # bytes of each photo


def lent(memory: MemoryBudget) -> int:
    return memory._lent


def test_eight_who_ask_at_once_have_a_photo_decoded_once(
    records: dict[str, tuple[Record, LocalFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = threading.Barrier(8 + 1)
    opened = Opened(monkeypatch, lambda: everybody.wait(120))
    decoded = DecodedPhotos(MemoryBudget(1 << 30))

    def ask(number: int) -> int:
        if number:  # the first one asks, and is held up until all others are about to
            everybody.wait(120)
        return id(decoded.pixels(*records["plain.jpg"], 1))

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, 0)
        others = [pool.submit(ask, number) for number in range(1, 9)]
        assert len({each.result(120) for each in (first, *others)}) == 1
    assert opened.images == ["plain.jpg"]


def test_a_photo_is_decoded_once_for_all_its_tiles(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(monkeypatch)
    tiles = [tile for reduction in REDUCTIONS for tile in tiles_of(WIDTH, HEIGHT, reduction)]
    with reviewing(finished / "out") as client, ThreadPoolExecutor(8) as pool:
        for name in ("plain.tif", "plain.webp"):
            answers = list(pool.map(lambda tile, name=name: client.get(address(client, name, tile)), tiles))
            assert {answer.status for answer in answers} == {200}
    assert opened.images == ["plain.tif", "plain.webp"]


def test_a_page_that_was_opened_anew_keeps_no_pixels(finished: Path) -> None:
    with reviewing(finished / "out") as client:
        earlier = client.page._describer
        assert client.get(address(client, "plain.jpg", Tile(1, 0, 0))).status == 200
        assert earlier._decoded.kept_bytes == PIXELS
        assert client.post_to("/api/reopen", {}).status == 200
        assert client.page._describer is not earlier
        assert earlier._decoded.kept_bytes == lent(earlier._memory) == 0


def test_the_last_two_photos_are_kept_and_their_memory_stays_borrowed(
    records: dict[str, tuple[Record, LocalFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    memory = MemoryBudget(1 << 30)
    decoded = DecodedPhotos(memory)
    for name in ("plain.jpg", "plain.png", "plain.jpg", "grey.jpg", "plain.jpg"):
        decoded.pixels(*records[name], 1)
    assert opened.images == ["plain.jpg", "plain.png", "grey.jpg"]  # the one that was asked for last stayed
    assert decoded.kept_bytes == lent(memory) == 2 * PIXELS
    decoded.pixels(*records["plain.png"], 1)
    assert opened.images[-1] == "plain.png"
    assert decoded.kept_bytes == lent(memory) == 2 * PIXELS
    decoded.forget()
    assert decoded.kept_bytes == lent(memory) == 0


def test_of_large_photos_only_the_newest_is_kept(
    records: dict[str, tuple[Record, LocalFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutouts, "MOST_BYTES", 2 * PIXELS - 1)
    memory = MemoryBudget(1 << 30)
    decoded = DecodedPhotos(memory)
    for name in ("plain.jpg", "plain.png"):
        decoded.pixels(*records[name], 1)
    assert decoded.kept_bytes == lent(memory) == PIXELS


def test_what_is_kept_goes_when_somebody_else_needs_the_memory(
    records: dict[str, tuple[Record, LocalFile]],
) -> None:
    memory = MemoryBudget(64 << 20)
    decoded = DecodedPhotos(memory)
    pixels = decoded.pixels(*records["plain.jpg"], 1)
    with memory.borrow(memory.limit) as loan:  # it would wait for ever
        assert loan.size == memory.limit
        assert decoded.kept_bytes == 0
    assert pixels.shape == (HEIGHT, WIDTH, 3)  # whoever has them still has them
    decoded.pixels(*records["plain.jpg"], 1)
    assert decoded.kept_bytes == lent(memory) == PIXELS


def test_what_comes_while_somebody_waits_is_not_kept(
    records: dict[str, tuple[Record, LocalFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryBudget(64 << 20)
    decoded = DecodedPhotos(memory)
    usual = PhotoFile.decode
    waits = threading.Event()
    forget = memory.when_short

    def short() -> None:
        forget()
        waits.set()

    memory.when_short = short
    with ThreadPoolExecutor(1) as pool:

        def decode_late(photo: PhotoFile) -> object:
            pending.append(pool.submit(memory.borrow, memory.limit))
            assert waits.wait(120)
            return usual(photo)

        pending: list[object] = []
        monkeypatch.setattr(PhotoFile, "decode", decode_late)
        decoded.pixels(*records["plain.jpg"], 1)
        (waiting,) = pending
        assert waiting.result(120).size == memory.limit  # type: ignore[attr-defined]
    assert decoded.kept_bytes == 0


def test_a_photo_that_could_not_be_read_is_read_again(
    records: dict[str, tuple[Record, LocalFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(monkeypatch)
    opened.faults.append(PhotoError("unreachable", "nobody answers"))
    memory = MemoryBudget(1 << 30)
    decoded = DecodedPhotos(memory)
    with pytest.raises(PhotoError, match="nobody answers"):
        decoded.pixels(*records["plain.jpg"], 1)
    assert lent(memory) == 0
    assert decoded.pixels(*records["plain.jpg"], 1).shape == (HEIGHT, WIDTH, 3)


def test_memory_comes_back_from_a_photo_that_is_another_one_now(
    records: dict[str, tuple[Record, LocalFile]],
) -> None:
    memory = MemoryBudget(1 << 30)
    decoded = DecodedPhotos(memory)
    (record, location) = records["plain.jpg"]
    for other in (
        {"checksum": (record.checksum or 0) ^ 1},
        {"width": HEIGHT, "height": WIDTH},
    ):
        with pytest.raises(PhotoError, match="has changed since the run"):
            decoded.pixels(replace(record, **other), location, 1)
        assert lent(memory) == 0
    assert decoded.kept_bytes == 0
