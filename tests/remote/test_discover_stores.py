"""Photos in stores and on the web: what is found, what it is called, and a run over it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.errors import PhotoError
from detic_crop.photos.find import discover
from detic_crop.photos.location import StoreObject
from detic_crop.photos.photo import Photo
from detic_crop.stores import addresses
from detic_crop.stores import store as stores
from detic_crop.stores.store import Store
from tests.kit.errors import refused
from tests.kit.folders import assert_same, crop, product, rows_of
from tests.kit.photos import photo_bytes, write_photos, write_tar
from tests.kit.servers import Web, forget_stores, s3_server, web_server

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked again is asked at once."""
    monkeypatch.setattr(stores, "_FIRST_PAUSE", 0.001)


@pytest.fixture
def web() -> Iterator[Web]:
    forget_stores()
    files = {f"/photos/{name}.jpg": photo_bytes(number) for number, name in enumerate(("a", "b", "c d"))}
    with web_server(files) as server:
        yield server
    forget_stores()


def put(store: Store, *names: str, at: str = "memory://bucket") -> None:
    for name in names:
        store.write(f"{at}/{name}", name.encode())


def keys(where: str, output: str | None = None) -> list[str]:
    return [photo.key for photo in discover(where, output).photos]


# --- stores


def test_what_lies_below_an_address(memory: Store) -> None:
    put(memory, "p/b.jpg", "p/a/2.PNG", "p/a/ü x#?.jpg", "p/n.txt", "p/.h.jpg", "p/.d/x.jpg", "q/z.jpg")
    for address in ("memory://bucket/p", "memory://bucket/p/"):
        listing = discover(address)
        assert [photo.key for photo in listing.photos] == ["a/2.PNG", "a/ü x#?.jpg", "b.jpg"]
        assert listing.ignored == 1
        for photo in listing.photos:
            assert photo.location.read(100) == f"p/{photo.key}".encode()
            assert photo.size == len(f"p/{photo.key}".encode())
            assert Photo.at(photo.key, photo.location) == photo


def test_an_object_that_is_written_anew_is_another_photo(memory: Store) -> None:
    put(memory, "a.jpg")
    before = discover("memory://bucket").photos
    assert discover("memory://bucket").photos == before
    put(memory, "a.jpg")
    assert discover("memory://bucket").photos != before


def test_one_object(memory: Store) -> None:
    put(memory, "p/a.jpg", "p/odd.dat")
    assert keys("memory://bucket/p/a.jpg") == ["a.jpg"]
    assert keys("memory://bucket/p/odd.dat") == ["odd.dat"]


def test_patterns(memory: Store) -> None:
    put(memory, "day1/a.jpg", "day1/b.png", "day2/c.jpg", "day2/n.txt", "x/d.jpg")
    assert keys("memory://bucket/day*/*.jpg") == ["day1/a.jpg", "day2/c.jpg"]
    assert keys("memory://bucket/day*/*") == ["day1/a.jpg", "day1/b.png", "day2/c.jpg"]
    assert keys("memory://bucket/day*/*.txt") == ["day2/n.txt"]


def test_output_inside_the_input_is_no_input(memory: Store) -> None:
    put(memory, "a.jpg", "cropped/a.jpg", "old/a.jpg", "old/.detic-crop/journal.jsonl", "older/b.jpg")
    listing = discover("memory://bucket", "memory://bucket/cropped")
    assert [photo.key for photo in listing.photos] == ["a.jpg", "older/b.jpg"]
    assert listing.notes == ["folder old holds crops of an earlier run and was ignored"]
    assert listing.warnings == []
    [warning] = discover("memory://bucket/old").warnings
    assert warning.startswith("--in memory://bucket/old holds the crops of an earlier run")


def test_tar_files_of_a_store(memory: Store, tmp_path: Path) -> None:
    for number in (0, 1):
        path = write_tar(tmp_path / "p.tar", {f"{number}.jpg": bytes([number]) * 3000, "same.jpg": b"x"})
        memory.write(f"memory://bucket/p-{number}.tar", path.read_bytes())
    expected = ["0.jpg", "p-0/same.jpg", "1.jpg", "p-1/same.jpg"]
    for where in ("memory://bucket/p-{0..1}.tar", "memory://bucket/p-*.tar"):
        found = discover(where).photos
        assert [photo.key for photo in found] == expected
        assert found[2].location.read(10**4) == b"\x01" * 3000
        assert [Photo.at(photo.key, photo.location) for photo in found] == found


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("memory://bucket/none", "no_photos"),
        ("memory://bucket/*.jpg", "no_photos"),
        ("memory://bucket/none.txt", "unreadable_input"),
        ("memory://bucket/none.tar", "unreadable_input"),
        ("memory://bucket/p.tar.gz", "compressed_input"),
        ("nonsense://bucket/p", "unknown_scheme"),
        ("https://example.org/*.jpg", "web_pattern"),
    ],
)
def test_nothing_there(memory: Store, where: str, code: str) -> None:
    with refused(code):
        discover(where)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec  # type: ignore[import-untyped]

    def missing(scheme: str, **settings: object) -> None:
        raise ImportError(f"Install something to access {scheme}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    stores._store.cache_clear()
    for address, advice in (
        ("s3://bucket/photos", "pip install 'detic-crop[s3]'"),
        ("https://example.org/a.jpg?sig=x", "pip install 'detic-crop[http]'"),
        ("az://bucket/photos", "Install something to access az"),
    ):
        with refused("missing_extra") as caught:
            discover(address)
        assert advice in caught.value.message
    stores._store.cache_clear()


def test_s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    names = write_photos(photos, 9)
    crop(photos, tmp_path / "local")
    with s3_server(monkeypatch, "bucket") as store:
        for name in names:
            store.write(f"s3://bucket/photos/{name}", (photos / name).read_bytes())
        result = crop("s3://bucket/photos", tmp_path / "out", workers=3)
        assert result.counts == api.write_audit(tmp_path / "local").counts
        # The pages quote the photos, so they are the same, too.
        assert_same(tmp_path / "out", product(tmp_path / "local"))
        again = crop("s3://bucket/photos", tmp_path / "out")
        assert (again.done, again.skipped) == (0, 9)
        store.write(f"s3://bucket/photos/{names[0]}", photo_bytes(77))
        assert crop("s3://bucket/photos", tmp_path / "out").done == 1
        smaller = api.recrop(tmp_path / "out", tmp_path / "small", size=16, quiet=True)
        assert smaller.counts == result.counts
        with refused("unreadable_input"):
            discover("s3://absent/x")
    listing = json.loads((tmp_path / "out/.detic-crop/listing.json").read_bytes())
    assert (listing["root"], listing["paths"]) == ("s3://bucket/photos", {})
    assert json.loads((tmp_path / "out/run.json").read_bytes())["input"] == "s3://bucket/photos"


def test_a_list_in_a_store(memory: Store) -> None:
    put(memory, "p/a.jpg", "q/b.jpg")
    memory.write("memory://bucket/p/list.csv", b"image\na.jpg\n../q/b.jpg\nmemory://bucket/p/a.jpg\n")
    listing = discover("memory://bucket/p/list.csv")
    assert [photo.key for photo in listing.photos] == ["a.jpg", "q/b.jpg"]
    assert [photo.location.read(99) for photo in listing.photos] == [b"p/a.jpg", b"q/b.jpg"]
    assert listing.notes == ["lines of list.csv that repeat a photo: 1"]


# --- the web


def listed(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_list_of_addresses(web: Web, tmp_path: Path) -> None:
    host = web.address.removeprefix("http://")
    (tmp_path / "here.jpg").write_bytes(b"local")
    path = listed(
        tmp_path,
        f"{web.address}/photos/a.jpg?X-Signature=secret",
        "here.jpg",
        f"{web.address}/photos/c%20d.jpg",
        f"{web.address}/photos/a.jpg?X-Signature=secret",
    )
    listing = discover(path)
    assert [photo.key for photo in listing.photos] == [
        f"{host}/photos/a.jpg",
        "here.jpg",
        f"{host}/photos/c d.jpg",
    ]
    assert listing.notes == ["lines of list.txt that repeat a photo: 1"]
    assert [photo.location.read(10**5) for photo in listing.photos] == [
        web.files["/photos/a.jpg"],
        b"local",
        web.files["/photos/c d.jpg"],
    ]


def test_addresses_that_only_a_query_tells_apart(web: Web, tmp_path: Path) -> None:
    one, two = (f"{web.address}/get.jpg?id={number}" for number in (1, 2))
    both = keys(str(listed(tmp_path, one, two)))
    assert len(set(both)) == 2
    assert all("id=" not in key and key.endswith(".jpg") for key in both)
    assert keys(str(listed(tmp_path, two, one))) == both[::-1]
    assert keys(str(listed(tmp_path, one))) == [f"{web.address.removeprefix('http://')}/get.jpg"]


def test_a_run_over_the_web_keeps_no_secret(web: Web, tmp_path: Path) -> None:
    lines = [f"{web.address}/photos/{name}.jpg?sig=SECRET" for name in ("a", "b")]
    web.answers["/photos/a.jpg"] = [500, 503, 0, 429]
    result = crop(listed(tmp_path, *lines), tmp_path / "out")
    assert result.counts["failed"] == 0
    assert web.asked["/photos/a.jpg?sig=SECRET"] >= 5
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "list.txt":
            assert b"SECRET" not in path.read_bytes(), path
    assert crop(tmp_path / "list.txt", tmp_path / "out").done == 0
    # Signed anew they are the same photos; where they are now has to be said.
    listed(tmp_path, *(line.replace("SECRET", "OTHER") for line in lines))
    assert crop(tmp_path / "list.txt", tmp_path / "out").done == 0
    smaller = api.recrop(tmp_path / "out", tmp_path / "s", input=tmp_path / "list.txt", size=16, quiet=True)
    assert smaller.counts == result.counts


@pytest.mark.parametrize(
    ("answers", "reason", "says"),
    [
        ([404], "missing_file", "found none; check the list"),
        ([410], "missing_file", "found none"),
        ([403], "permission_denied", "the server answered 403; check the credentials, or whether a signed"),
        ([401], "permission_denied", "the server answered 401"),
        ([500] * 9, "unreachable", "several times; run the same command again"),
        ([0] * 99, "unreachable", "several times"),
    ],
)
def test_what_a_server_may_answer(
    web: Web, tmp_path: Path, answers: list[int], reason: str, says: str
) -> None:
    web.answers["/photos/a.jpg"] = list(answers)
    path = listed(tmp_path, f"{web.address}/photos/a.jpg?sig=SECRET", f"{web.address}/photos/b.jpg")
    crop(path, tmp_path / "out")
    row, other = rows_of(tmp_path / "out")
    assert (row["status"], row["reason"]) == ("failed", reason)
    assert says in row["error"]
    assert "SECRET" not in row["error"]
    assert other["status"] != "failed"
    web.answers.clear()
    assert crop(path, tmp_path / "out").done == 1  # tried again
    assert rows_of(tmp_path / "out")[0]["status"] != "failed"


def test_no_server(tmp_path: Path) -> None:
    forget_stores()
    crop(listed(tmp_path, "http://127.0.0.1:1/a.jpg"), tmp_path / "out")
    [row] = rows_of(tmp_path / "out")
    assert row["reason"] == "unreachable"
    assert "expected an answer of 127.0.0.1:1" in row["error"]


def test_an_endless_answer_ends(web: Web, tmp_path: Path) -> None:
    web.files = {"/a.jpg": b"x" * 3_000_000}
    with refused("too_many_pixels", PhotoError):
        StoreObject(f"{web.address}/a.jpg").read(1_000_000)


def test_a_list_and_a_photo_by_address(web: Web) -> None:
    text = b"a.jpg\n../photos/b.jpg\n"
    web.files = {**web.files, "/photos/list.txt": text}
    found = discover(f"{web.address}/photos/list.txt").photos
    assert [photo.key for photo in found] == ["a.jpg", "photos/b.jpg"]
    assert [photo.location.read(10**5) for photo in found] == [
        web.files["/photos/a.jpg"],
        web.files["/photos/b.jpg"],
    ]
    assert keys(f"{web.address}/photos/a.jpg?sig=x") == ["a.jpg"]


# --- odd names, odd servers


def test_odd_names_in_a_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What stands in the name of an object is neither a query nor a pattern."""
    with s3_server(monkeypatch, "odd-names") as store:
        names = ["p//twice.jpg", "p/a#1.jpg", "p/a?2.jpg", "p/x[1].jpg", "p/b%2Fc.jpg"]
        for number, name in enumerate(names):
            store.write(f"s3://odd-names/{name}", photo_bytes(number))
        assert sorted(keys("s3://odd-names/p")) == sorted(
            ["twice.jpg", "a#1.jpg", "a?2.jpg", "x[1].jpg", "b%2Fc.jpg"]
        )
        assert keys("S3://odd-names/p") == keys("s3://odd-names/p")
        for number, name in enumerate(names):
            location = StoreObject(f"s3://odd-names/{name}")
            assert location.read(10**6) == photo_bytes(number)
            assert location.redact() == location
        for name in ("a#1.jpg", "a?2.jpg", "x[1].jpg", "a#1.jpg/"):
            assert keys(f"s3://odd-names/p/{name}") == [name.rstrip("/")]
        path = tmp_path / "list.txt"
        path.write_text("".join(f"s3://odd-names/{name}\n" for name in names[:4]))
        assert crop(path, tmp_path / "out").counts["failed"] == 0
        again = api.recrop(tmp_path / "out", tmp_path / "small", size=16, quiet=True)
        assert again.counts["failed"] == 0
        store.write("s3://odd-names/p/empty.jpg", b"")
        assert StoreObject("s3://odd-names/p/empty.jpg").read(10**6) == b""
        with refused("no_bucket"):
            discover("s3://b[12]/p/*.jpg")


def test_a_pattern_of_folders(memory: Store) -> None:
    put(memory, "day1/a.jpg", "day1/deep/b.jpg", "day2/n.txt", "x/d.jpg")
    for where in ("memory://bucket/day*", "memory://bucket/day*/"):
        assert keys(where) == ["day1/a.jpg", "day1/deep/b.jpg"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:pw@host:8/a.jpg?sig=x#f", "https://host:8/a.jpg"),
        ("https://token@host/a.jpg", "https://host/a.jpg"),
        ("s3://me:pw@bucket/a@b.jpg", "s3://bucket/a@b.jpg"),
        ("abfs://container@account/a.jpg", "abfs://container@account/a.jpg"),
        ("http://[::1]:80/a.jpg", "http://[::1]:80/a.jpg"),
        ("http://[bad/a.jpg", "http://[bad/a.jpg"),
        ("http://exam\u2100ple/a.jpg", "http://exam\u2100ple/a.jpg"),
        ("S3://b/a.jpg", "s3://b/a.jpg"),
    ],
)
def test_what_is_shown_of_an_address(address: str, shown: str) -> None:
    assert addresses.redact(address) == shown
    assert addresses.path_of(address) == shown.partition("://")[2]


def test_a_password_in_an_error_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_TRIES", 1)
    with s3_server(monkeypatch, "guarded"), refused("unreadable_input") as caught:
        discover("s3://me:secret@guarded/p")
    assert "secret" not in caught.value.message
    assert "me:" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ftp://host/a.jpg", "unusable_store"),
        ("zip://a.jpg", "unusable_store"),
        ("nonsense://a.jpg", "unknown_scheme"),
    ],
)
def test_addresses_of_no_use(address: str, code: str) -> None:
    with refused(code):
        discover(address)


def test_a_line_that_is_no_address_fails_alone(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"http://[bad/a.jpg\n{web.address}/photos/a.jpg\n")
    crop(path, tmp_path / "out")
    wrong, right = rows_of(tmp_path / "out")
    assert wrong["reason"] == "unreachable"
    assert right["status"] != "failed"


def test_a_tar_file_of_a_server_that_sends_only_whole_ones(web: Web, tmp_path: Path) -> None:
    files = {"a.jpg": b"a" * 1000, "b.jpg": b"b" * 1000}
    web.files = {
        "/p.tar": write_tar(tmp_path / "p.tar", files).read_bytes(),
        "/large.tar": write_tar(tmp_path / "l.tar", {**files, "c.jpg": b"c" * 12_000_000}).read_bytes(),
    }
    found = {photo.key: photo.location for photo in discover(f"{web.address}/p.tar").photos}
    assert {key: where.read(10**4) for key, where in found.items()} == files
    with refused("no_ranges"):
        discover(f"{web.address}/large.tar")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([403] * 4, "the server answered 403"),
        ([500] * 99, "the server answered 500"),
        ([404] * 4, "the server answered 404"),
        ([500] * 4, ""),
    ],
)
def test_a_tar_file_that_a_server_does_not_give(
    web: Web, tmp_path: Path, answers: list[int], says: str
) -> None:
    web.files = {"/p.tar": write_tar(tmp_path / "p.tar", {"a.jpg": b"a"}).read_bytes()}
    web.answers["/p.tar"] = answers
    if says:
        with refused("unreadable_input") as caught:
            discover(f"{web.address}/p.tar")
        assert says in caught.value.message
    else:
        assert keys(f"{web.address}/p.tar") == ["a.jpg"]


def test_the_page_shows_photos_that_need_a_signature(web: Web, tmp_path: Path) -> None:
    web.signature = "sig=secret"
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{web.address}/photos/{name}.jpg?sig=secret\n" for name in "ab"))
    crop(path, tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "cannot be shown" not in page
    assert "secret" not in page
    api.write_audit(tmp_path / "out")
    assert "The photo cannot be shown" in (tmp_path / "out" / "audit.html").read_text()
    api.recrop(tmp_path / "out", tmp_path / "small", size=16, quiet=True, input=path)
    assert "cannot be shown" not in (tmp_path / "small" / "audit.html").read_text()


def test_who_asks(web: Web) -> None:
    StoreObject(f"{web.address}/photos/a.jpg").read(10**6)
    assert web.agent.startswith("detic-crop/")
    timeout = stores.store_of(web.address).fs.client_kwargs["timeout"]
    assert timeout.total is None
    assert timeout.sock_read < 120
