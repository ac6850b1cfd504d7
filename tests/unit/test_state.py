"""The documents of `.detic-crop` come back as they were saved; damaged ones are refused in words."""

from __future__ import annotations

import contextlib
import json
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.state import (
    Drawn,
    Given,
    Part,
    WholeInput,
    load_labels,
    load_listing,
    load_part,
    load_sample,
    save_labels,
    save_listing,
    save_part,
    save_sample,
)
from detic_crop.folder.typed_json import decode_sealed, encode_sealed, seal
from detic_crop.photos.labels import parse_labels
from detic_crop.photos.location import LocalFile, StoreObject, TarMember
from detic_crop.photos.photo import Photo
from tests.kit.errors import refused


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    made = OutputFolder(tmp_path / "out")
    made.inside.mkdir(made.layout.temporary)
    return made


def photos_of(root: str, *keys: str) -> list[Photo]:
    return [Photo(key, LocalFile(f"{root}/{key}")) for key in keys]


def test_a_listing_comes_back(folder: OutputFolder) -> None:
    first, later = photos_of("/one", "a.jpg", "caf\udce9.jpg"), photos_of("/two", "b.jpg")
    inputs = [
        Given("/one", "/one", [photo.key for photo in first]),
        Given("/two/", "/two", [photo.key for photo in later]),
    ]
    save_listing(folder, [*first, *later], inputs)
    listing = load_listing(folder)
    assert listing.inputs == inputs
    assert listing.locations() == {photo.key: photo.location for photo in [*first, *later]}
    values = json.loads(folder.layout.listing.read_bytes())
    assert values.pop("crc")
    assert values == {
        "root": "/one",
        "inputs": [{"in": "/one", "root": "/one"}, {"in": "/two/", "root": "/two", "keys": ["b.jpg"]}],
        "keys": ["a.jpg", "caf\udce9.jpg", "b.jpg"],
        "paths": {"b.jpg": "/two/b.jpg"},
    }


HOSTILE = [
    "a.jpg",
    "caf\udce9.jpg",
    'q"uo\\te.jpg',
    '","',
    "],",
    "new\nline",
    "𝔘/\x7f",
    *(f"{n}.jpg" for n in range(3000)),
]


@pytest.mark.parametrize("later", [0, 2, 1500])
@pytest.mark.parametrize("elsewhere", [0, 3, 2000])
def test_any_names_come_back_and_the_file_is_a_document_of_json(
    folder: OutputFolder, elsewhere: int, later: int
) -> None:
    photos = [
        Photo(key, LocalFile(f"/other/{key}" if row < elsewhere else f"/in/{key}"))
        for row, key in enumerate(HOSTILE)
    ]
    inputs = [Given("/in", "/in", HOSTILE[later:])]
    inputs += [Given("/two", "/two", HOSTILE[:later])] if later else []
    save_listing(folder, photos, inputs)
    listing = load_listing(folder)
    assert listing.keys == HOSTILE
    assert listing.photos == photos
    assert listing.inputs == inputs
    values = json.loads(folder.layout.listing.read_bytes())
    assert values["keys"] == HOSTILE
    assert values["paths"] == {photo.key: str(photo.location) for photo in photos[:elsewhere]}
    # As earlier versions wrote it.
    folder.layout.listing.write_text(json.dumps(values))
    earlier = load_listing(folder)
    assert earlier.photos == photos
    assert earlier.inputs == inputs


def test_members_of_tar_files_come_back(folder: OutputFolder) -> None:
    tars = LocalFile("/in/p.tar"), StoreObject("s3://bucket/q.tar")
    photos = [
        Photo(f"{n}.jpg", TarMember(512 * n, 100, 1_700_000_000 + n, tars[n % 2]), 100, 7) for n in range(50)
    ]
    save_listing(folder, photos, [Given("/in/p.tar", "/in", [photo.key for photo in photos])])
    assert load_listing(folder).locations() == {photo.key: photo.location for photo in photos}


def test_a_flipped_bit_of_the_listing_is_noticed(folder: OutputFolder) -> None:
    first, later = photos_of("/one", "a.jpg", "caf\udce9.jpg"), photos_of("/two", "b.jpg")
    inputs = [Given("/one", "/one", ["a.jpg", "caf\udce9.jpg"]), Given("/two", "/two", ["b.jpg"])]
    save_listing(folder, [*first, *later], inputs)

    def read() -> object:
        listing = load_listing(folder)
        return list(listing.photos), [(given.where, given.root, list(given.keys)) for given in listing.inputs]

    saved, path = read(), folder.layout.listing
    data = path.read_bytes()
    for changed in [*flipped_bits(data), *(data[:end] for end in range(1, len(data)))]:
        path.write_bytes(changed)
        is_refused(read, saved, "listing_damaged")


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b'{"root":"/one"', b'{"root":5'),
        (b'{"root":"/one"', b'{"root":"/one","root":{}'),
        (b'"keys":[\n"b.jpg"\n]', b'"keys":7'),
        (b'"keys":[\n"b.jpg"\n]', b'"keys":[\n1\n]'),
    ],
)
def test_a_listing_with_other_values_is_damaged_also_with_a_checksum(
    folder: OutputFolder, written: bytes, damaged: bytes
) -> None:
    photos, inputs = photos_of("/two", "b.jpg"), [Given("/one", "/one", []), Given("/two", "/two", ["b.jpg"])]
    save_listing(folder, photos, inputs)
    data = folder.layout.listing.read_bytes()
    head, found, tail = data.rpartition(written)
    assert found
    changed = head + damaged + tail
    for content in (changed, seal(changed[: changed.rindex(b',"crc"')] + b"}")):
        folder.layout.listing.write_bytes(content)
        with refused("listing_damaged"):
            load_listing(folder)


def test_a_flipped_bit_of_a_part_is_noticed(folder: OutputFolder) -> None:
    part = Part(WholeInput(9, "digest"), array("q", [0, 4, 8]), "keys", ["run"])
    save_part(folder, part)
    data = folder.layout.part.read_bytes()
    for changed in flipped_bits(data):
        folder.layout.part.write_bytes(changed)
        assert load_part(folder) in (None, part)


def test_a_part_of_an_earlier_version_is_read(folder: OutputFolder) -> None:
    folder.layout.part.write_text('{"input":{"photos":5,"digest":"d"},"places":[0,4],"keys":"k","words":[]}')
    assert load_part(folder) == Part(WholeInput(5, "d"), array("q", [0, 4]), "k", [])


def test_photos_of_earlier_calls_stay_known(folder: OutputFolder) -> None:
    for keys in (["a.jpg", "b.jpg"], ["b.jpg"], ["c.jpg"]):
        save_listing(folder, photos_of("/in", *keys), [Given("/in", "/in", keys)])
    listing = load_listing(folder)
    assert listing.keys == ["c.jpg"]
    assert listing.known_keys == ["c.jpg", "b.jpg", "a.jpg"]
    assert listing.known_locations()["a.jpg"] == LocalFile("/in/a.jpg")
    assert listing.expected_locations(["a.jpg", "d.jpg"]) == {
        "a.jpg": LocalFile("/in/a.jpg"),
        "d.jpg": LocalFile("/in/d.jpg"),
    }


def test_no_listing_is_an_empty_one(folder: OutputFolder) -> None:
    listing = load_listing(folder)
    assert listing.known_keys == []
    assert (listing.root, listing.inputs, listing.locations()) == ("", [], {})


def test_a_listing_without_inputs_has_one(folder: OutputFolder) -> None:
    """As versions before the first with several inputs wrote it."""
    folder.layout.listing.write_text('{"root":"/in","keys":["a.jpg"],"paths":{}}')
    assert load_listing(folder).inputs == [Given("", "/in", ["a.jpg"])]


@pytest.mark.parametrize(
    "damage",
    [
        {"root": 1},
        {"keys": {}},
        {"keys": ["a", 1]},
        {"paths": []},
        {"paths": {"a": 1}},
        {"inputs": 1},
        {"inputs": [{"root": "/in"}]},
        {"inputs": [{"in": "/in", "root": "/in", "keys": [1]}]},
        {"merged": 1},
    ],
)
def test_a_listing_of_wrong_types_is_damaged(folder: OutputFolder, damage: dict[str, Any]) -> None:
    values = {"root": "/in", "inputs": [{"in": "/in", "root": "/in"}], "keys": ["a"], "paths": {}}
    folder.layout.listing.write_text(json.dumps(values))
    load_listing(folder)
    folder.layout.listing.write_text(json.dumps(values | damage))
    with refused("listing_damaged"):
        load_listing(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"keys":[]}', b"\xff", b"[" * 100_000])
def test_what_is_not_a_document_is_damaged(folder: OutputFolder, data: bytes) -> None:
    layout = folder.layout
    for path in (layout.listing, layout.part, layout.labels, layout.label_matches, layout.sample):
        path.write_bytes(data)
    with refused("listing_damaged"):
        load_listing(folder)
    assert load_part(folder) is None
    layout.labels.write_text("image\na.jpg\n")
    with refused("labels_damaged"):
        load_labels(folder)
    with refused("sample_damaged"):
        load_sample(folder)


def test_a_part_comes_back(folder: OutputFolder) -> None:
    part = Part(
        WholeInput(5, "digest", "image table matched", 3),
        array("q", [0, 4]),
        "keys",
        ["run", "--in", "\udce9"],
    )
    assert load_part(folder) is None
    save_part(folder, part)
    assert load_part(folder) == part
    values = json.loads(folder.layout.part.read_bytes())
    assert values.pop("crc")
    assert values == {
        "input": {"photos": 5, "digest": "digest", "labels": "image table matched", "limit": 3},
        "gaps": [1, 4],
        "keys": "keys",
        "words": ["run", "--in", "\udce9"],
    }


@pytest.mark.parametrize(
    "damage", [{"input": 5}, {"input": {"photos": "5"}}, {"gaps": ["0"]}, {"keys": 1}, {"words": [1]}]
)
def test_a_part_of_wrong_types_is_none(folder: OutputFolder, damage: dict[str, Any]) -> None:
    save_part(folder, Part(WholeInput(5, "digest"), array("q", [0]), "keys", []))
    values = json.loads(folder.layout.part.read_bytes())
    folder.layout.part.write_text(json.dumps(values | damage))
    assert load_part(folder) is None


def test_labels_come_back_and_go(folder: OutputFolder) -> None:
    labels = parse_labels(b"image,species\na.jpg,orca\nb.jpg,\n", "image", "labels.csv")
    assert load_labels(folder) == (None, [])
    save_labels(folder, labels, ["caf\udce9.jpg", None])
    assert load_labels(folder) == (labels, ["caf\udce9.jpg", None])
    save_labels(folder, None, [])
    assert load_labels(folder) == (None, [])


def flipped_bits(data: bytes) -> Iterator[bytes]:
    """Every version of some bytes in which one bit is another."""
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def is_refused(load: Callable[[], object], saved: object, code: str) -> bool:
    """Whether a file is refused; one that is not must be read as it was saved."""
    try:
        read = load()
    except UsageError as error:
        return error.code == code
    assert read == saved
    return False


def test_a_flipped_bit_of_the_labels_is_noticed(folder: OutputFolder) -> None:
    labels = parse_labels(b"image,species\na.jpg,orca\nb.jpg,\n", "image", "labels.csv")
    saved = (labels, ["caf\udce9.jpg", None])
    save_labels(folder, *saved)
    noticed = 0
    for path in (folder.layout.labels, folder.layout.label_matches):
        data = path.read_bytes()
        for changed in flipped_bits(data):
            path.write_bytes(changed)
            noticed += is_refused(lambda: load_labels(folder), saved, "labels_damaged")
        path.write_bytes(data)
    assert noticed > 700


def test_a_flipped_bit_of_the_sample_is_noticed(folder: OutputFolder) -> None:
    sample = [Drawn("caf\udce9\r.jpg", "cropped_low", 12, 3), Drawn("b.jpg", "resized_high", 4, 3)]
    save_sample(folder, sample)
    assert load_sample(folder) == sample
    path = folder.layout.sample
    for changed in flipped_bits(path.read_bytes()):
        path.write_bytes(changed)
        is_refused(lambda: load_sample(folder), sample, "sample_damaged")


def test_a_blank_line_of_the_sample_is_noticed(folder: OutputFolder) -> None:
    save_sample(folder, [Drawn("b.jpg", "resized_high", 4, 3)])
    with open(folder.layout.sample, "ab") as file:
        file.write(b"\n")
    with refused("sample_damaged"):
        load_sample(folder)


def test_labels_and_sample_of_earlier_versions_are_read(folder: OutputFolder) -> None:
    folder.layout.labels.write_bytes(b"image\na.jpg\n")
    folder.layout.label_matches.write_bytes(b'{"key_column": "image", "keys": ["a.jpg"]}')
    assert load_labels(folder)[1] == ["a.jpg"]
    folder.layout.sample.write_bytes(
        b'"image","stratum","stratum_size","seed"\n"a.jpg","cropped_low","12","3"\n'
    )
    assert load_sample(folder) == [Drawn("a.jpg", "cropped_low", 12, 3)]


def test_a_sealed_document_is_the_one_that_was_written() -> None:
    decoder = msgspec.json.Decoder(dict[str, Any])
    data = encode_sealed({"a": [1.5, "}"], "b": "caf\udce9"})
    assert decode_sealed(data, decoder) == {**json.loads(data), "a": [1.5, "}"], "b": "caf\udce9"}
    assert seal(b'{"a":1}\n') == seal(b'{"a":1}')
    for changed in flipped_bits(data):
        with contextlib.suppress(ValueError):
            values = decode_sealed(changed, decoder)
            assert (values["a"], values["b"]) == ([1.5, "}"], "caf\udce9")


@pytest.mark.parametrize("damage", [{"key_column": 1}, {"keys": [1, None]}, {"keys": [None]}, {"keys": "ab"}])
def test_label_matches_of_wrong_types_are_damaged(folder: OutputFolder, damage: dict[str, Any]) -> None:
    labels = parse_labels(b"image\na.jpg\nb.jpg\n", "image", "labels.csv")
    save_labels(folder, labels, [None, None])
    values = json.loads(folder.layout.label_matches.read_bytes())
    del values["crc"]
    folder.layout.label_matches.write_bytes(seal(json.dumps(values | damage).encode()))
    with refused("labels_damaged"):
        load_labels(folder)
