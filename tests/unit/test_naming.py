"""Which photo a name means: folders agree as far as both go, and a better fit goes before a vaguer one."""

from __future__ import annotations

import unicodedata
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detic_crop.naming import Matching, NameIndex, clean_path


def match(names: list[str], keys: list[str], root: str = "") -> Matching:
    photos = {key: f"{root}/{key}" for key in keys} if root else dict.fromkeys(keys, "")
    return NameIndex(names).match(photos)


# --- folders


@pytest.mark.parametrize(
    "name",
    [
        "CAM2/1.JPG",
        "./CAM2/1.JPG",
        "CAM2\\1.JPG",
        "D:\\survey\\CAM2\\1.JPG",
        "D:/survey/CAM2/1.JPG",
        "\\\\nas\\share\\survey\\CAM2\\1.JPG",
        "/old/survey/CAM2/1.JPG",
        "../survey/CAM2/1.JPG",
        "file:///old/CAM2/1.JPG",
        "https://host.org/CAM2/1.JPG?signature=abc",
        "cam2/1.jpg",
        " CAM2/1.JPG ",
        "survey/x/../CAM2/1.JPG",
    ],
)
@pytest.mark.parametrize("root", ["", "/data/in", "s3://bucket/in"])
def test_a_name_is_lent_to_no_photo_of_another_folder(name: str, root: str) -> None:
    keys = ["CAM1/1.JPG", "CAM2/1.JPG"]
    found = match([name], keys, root)
    assert found.name_of == {"CAM2/1.JPG": name}
    assert not found.unclear_photos
    if root:  # where only the input says which folder it is
        assert match([name], ["1.JPG"], f"{root}/CAM2").name_of == {"1.JPG": name}
        other = match([name], ["1.JPG"], f"{root}/CAM1")
        assert (other.name_of, other.photo_of) == ({}, {})
        assert other.refused == (clean_path(name), "1.JPG")


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("2021/CAM1/1.JPG", "/data/2020/CAM1"),
        ("/data/2021/CAM1/1.JPG", "/data/2020/CAM1"),
        ("siteA/1.JPG", "/data/siteB"),
        ("site_a/1.JPG", "/data/site_b"),
        ("survey/1.JPG", "/data/survey 2"),
        ("port/1.JPG", "/data/starboard"),  # another name, and a counter that every camera has
        ("port/IMG_0001.JPG", "/data/starboard"),
    ],
)
def test_a_folder_of_the_same_kind_is_another_folder(name: str, root: str) -> None:
    if "survey" in name:
        root = root.replace(" 2", "2")
    key = name.rpartition("/")[2]
    assert match([name], [key], root).name_of == {}
    longer = name.partition("/")[2]
    if longer.count("/") and not name.startswith("/"):  # the same, one folder further up
        assert match([name], [longer], root.rpartition("/")[0]).name_of == {}


def test_a_leading_folder_that_is_the_inputs_own() -> None:
    names = ["train_images/x.jpg", "train_images/day1/y.jpg"]
    keys = ["x.jpg", "day1/y.jpg"]
    found = match(names, keys, "/data/train_images")
    assert found.name_of == dict(zip(keys, names, strict=True))
    assert not found.note_on_moved
    turned = match(keys, names, "/data")
    assert turned.photo_of == dict(zip(keys, names, strict=True))


def test_photos_moved_below_another_folder_are_matched_aloud() -> None:
    names = ["/old/disk/CAM1/1.jpg", "/old/disk/CAM2/1.jpg"]
    found = match(names, ["CAM1/1.jpg", "CAM2/1.jpg"], "/new")
    assert found.name_of == {"CAM1/1.jpg": names[0], "CAM2/1.jpg": names[1]}
    assert found.note_on_moved == (
        "2 photos were matched by the end of the path alone: there the folder is /old/disk, here it has "
        "another name (/old/disk/CAM1/1.jpg → CAM1/1.jpg)"
    )


def test_a_copy_under_another_name_where_file_names_tell() -> None:
    # An id that no other photo has; some photos and names may have no partner.
    found = match(
        ["train/00021adfb725ed.jpg", "train/gone.jpg"], ["00021adfb725ed.jpg", "new.jpg"], "/d/copy"
    )
    assert found.name_of == {"00021adfb725ed.jpg": "train/00021adfb725ed.jpg"}
    assert found.note_on_moved
    # Words, when all of them agree.
    names, keys = ["day/fluke.jpg", "day/fin.jpg"], ["fluke.jpg", "fin.jpg"]
    assert match(names, keys, "/d/copy").name_of == dict(zip(keys, names, strict=True))
    assert match(names, [*keys, "more.jpg"], "/d/copy").name_of == {}
    # Several folders put together in one.
    names, keys = ["d1/IMG_1.jpg", "d2/IMG_2.jpg"], ["IMG_1.jpg", "IMG_2.jpg"]
    assert match(names, keys, "/d/flat").name_of == dict(zip(keys, names, strict=True))
    assert match(names, keys, "/d/d3").name_of == {}


def test_names_that_have_the_inputs_own_folder_rule_out_the_others() -> None:
    names = ["survey/CAM2/2.jpg", "other/CAM1/1.jpg"]
    found = match(names, ["CAM1/1.jpg", "CAM2/2.jpg"], "/data/survey")
    assert found.name_of == {"CAM2/2.jpg": "survey/CAM2/2.jpg"}
    assert found.refused == ("other/CAM1/1.jpg", "CAM1/1.jpg")


def test_the_inputs_folder_tells_two_names_of_one_end_apart() -> None:
    names = ["/data/a/1.jpg", "/data/b/1.jpg"]
    assert match(names, ["1.jpg"], "/new/b").name_of == {"1.jpg": names[1]}
    found = match(names, ["1.jpg"])
    assert found.name_of == {}
    assert found.unclear_photos == {"1.jpg": names}


# --- spellings


DECOMPOSED, COMPOSED = (unicodedata.normalize(form, "Lofoten \u00c5.jpg") for form in ("NFD", "NFC"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("lofoten \u00e5.JPG", DECOMPOSED),
        ("IMG_2.jpg", "IMG_2.JPG"),
        ("IMG_2.jpeg", "IMG_2.JPG"),
        ("IMG_2.tif", "IMG_2.TIFF"),
        ("img_2", "IMG_2.JPG"),
        ("image.webp", "image.webp.jpg"),
        ("00021adfb725ed", "d/00021adfb725ed.jpg"),
        ("d/00021adfb725ed", "d/00021adfb725ed.jpg"),
        ("whale.001", "whale.001.jpg"),
    ],
)
def test_other_spellings_of_one_name(name: str, key: str) -> None:
    assert match([name], [key, "other.jpg"]).name_of == {key: name}


@pytest.mark.parametrize(
    ("name", "key"),
    [("1.jpg", "1.png"), ("1", "11.jpg"), ("11", "1.jpg"), ("1.jpg", "1"), ("", "1.jpg"), ("/", ".jpg")],
)
def test_other_names(name: str, key: str) -> None:
    found = match([name], [key])
    assert (found.name_of, found.photo_of, found.unclear_photos) == ({}, {}, {})


def test_an_id_that_has_become_a_float_is_one_again() -> None:
    found = match(["1.0", "d/17.00", "2", "2.0"], ["1.jpg", "d/17.png", "2.jpg"])
    assert found.photo_of == {"1.0": "1.jpg", "d/17.00": "d/17.png", "2": "2.jpg", "2.0": "2.jpg"}
    # A photo that is called so goes first, and no name loses its zeros for nothing.
    assert match(["1.0"], ["1.0.jpg", "1.jpg"]).photo_of == {"1.0": "1.0.jpg"}
    assert match(["v1.0"], ["v1.jpg"]).photo_of == {}
    assert match(["1.0"], ["01.jpg", "10.jpg"]).photo_of == {}


def test_a_float_that_several_ids_share_is_none_of_them() -> None:
    lost = f"{2**53 + 2}.0"
    assert match([lost], [f"{2**53 + 2}.jpg"]).photo_of == {}
    assert match([f"{2**53 - 1}.0"], [f"{2**53 - 1}.jpg"]).photo_of


LADDER = ["\u00e5.JPG", "a\u030a.JPG", "\u00c5.jpg", "\u00c5.jpeg", "\u00e5"]


@pytest.mark.parametrize("order", [*permutations(range(len(LADDER)))])
def test_just_so_before_composed_before_case_before_format_before_stem(order: tuple[int, ...]) -> None:
    """Whatever the order of the table: the photo gets the best of those that are left."""
    for worst in range(len(LADDER), 0, -1):
        names = [LADDER[i] for i in order if i >= len(LADDER) - worst]
        assert match(names, [LADDER[0]]).name_of == {LADDER[0]: LADDER[len(LADDER) - worst]}


def test_a_photo_that_a_name_fits_better_is_not_taken_by_a_vaguer_one() -> None:
    assert match(["a.jpg", "A.JPG"], ["A.JPG"]).name_of == {"A.JPG": "A.JPG"}
    assert match(["a.jpg"], ["a.jpg", "x/a.jpg", "a.jpg.png"]).name_of == {"a.jpg": "a.jpg"}


@pytest.mark.parametrize("vaguer", ["A.JPG", "a", "in/a.jpg", "survey/in/a.jpg", "a.jpeg"])
def test_a_name_that_lost_its_photo_to_a_better_one_is_known(vaguer: str) -> None:
    photos = {key: f"/survey/in/{key}" for key in ("a.jpg", "b.jpg", "d1/c.jpg")}
    index = NameIndex(["a.jpg", vaguer, "gone.jpg", "d1/c.jpg", "d2/c.jpg"])
    found = index.match(photos)
    assert found.name_of == {"a.jpg": "a.jpg", "d1/c.jpg": "d1/c.jpg"}
    assert index.describe_unused(found, photos) == f"1 (first: {vaguer}, since a.jpg fits a.jpg better)"
    index = NameIndex(["a.jpg", "gone.jpg"])
    assert not index.describe_unused(index.match(photos), photos)


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["a"], ["a.jpg", "a.png"]),
        (["a"], ["a.jpg", "x/a.jpg"]),
        (["a.jpg"], ["A.jpg", "A.Jpg"]),
        (["a.jpg"], ["d1/a.jpg", "d2/a.jpg"]),
        (["IMG.jpg", "img.jpg"], ["Img.jpg"]),
    ],
)
def test_what_fits_equally_well_is_unclear(names: list[str], keys: list[str]) -> None:
    found = match(names, keys)
    assert found.name_of == {}
    assert set(found.unclear_photos) == set(keys)


paths = st.lists(st.sampled_from(["a", "B", "day1", "day2", "IMG_1"]), min_size=1, max_size=4).map(
    lambda parts: "/".join(parts) + ".jpg"
)


@settings(derandomize=True, deadline=None)
@given(st.lists(paths, unique=True, max_size=8), st.lists(paths, unique=True, max_size=8))
def test_each_name_and_photo_is_matched_once_and_folders_agree(names: list[str], keys: list[str]) -> None:
    found = match(names, keys)
    assert {name: key for key, name in found.name_of.items()} == found.photo_of
    assert not found.name_of.keys() & found.unclear_photos.keys()
    for key, name in found.name_of.items():
        ours, theirs = key.lower().split("/"), name.lower().split("/")
        common = min(len(ours), len(theirs))
        assert ours[-common:] == theirs[-common:]
    for key in set(names) & set(keys):
        assert found.name_of[key] == key


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet="ab./\\ C:%", max_size=16))
def test_cleaning_twice_changes_nothing(path: str) -> None:
    once = clean_path(path)
    assert clean_path(once) == once or "://" in path  # an address is decoded once


def test_one_file_name_in_many_folders_takes_no_time_of_its_own() -> None:
    """A quadratic step would take hours."""
    folders = range(60_000)
    names = [f"D:/survey/{folder}/IMG_0001.JPG" for folder in folders]
    found = match(names, [f"{folder}/img_0001.jpg" for folder in folders], "/new")
    assert len(found.name_of) == len(folders)
    assert not match(names, ["IMG_0001.JPG"], "/new").name_of
