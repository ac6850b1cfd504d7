"""Keys and crop names: nothing meets, nothing leaves the folder, nothing moves later."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.columns import Texts
from detic_crop.folder import names as name_rules
from detic_crop.folder.names import FILE_RULES, TAR_RULES, CropNames, FixedNames, NameRules, fold_name
from detic_crop.photos.keys import normalise_key, printable

# Parts that meet on some disk, that some system reserves, or that only look like other parts.
PARTS = [
    *("a", "A", "b", "a.jpg", "a.png", "a.jpg.jpg", "a.jpg.2.jpg", "a.2", "A.JPG", ".jpg", "a~", "_"),
    *(
        "á",
        "a\u0301",
        "Á",
        "straße",
        "STRASSE",
        "K",
        "\u212a",
        "ﬁn",
        "fin",
        "\u0390",
        "\u0399\u0308\u0301",
        "🐋",
        "×",
    ),
    *("con", "CON.x", "nul", "com1.jpg", "Lpt9", "a.", "a..", "a ", "a. .", "...", " ", " a"),
    *(
        "audit.csv",
        "AUDIT.html",
        "audit.XLSX",
        "run.json",
        ".detic-crop",
        ".Detic-Crop",
        "audit.csv_",
        ".detic-crop.",
    ),
    *("x" * 255, "X" * 255, "x" * 300, "é" * 200, "e\u0301" * 100, "🐋" * 80, "x" * 250 + ".jpg"),
    *("\n", "a\tb", '"', "%FF", "=1+1", "a\\b", "C:", "C:x", "~"),
]
RESERVED_STEMS = {"con", "prn", "aux", "nul", "com1", "com9", "lpt1", "lpt9"}
OURS = {"audit.csv", "audit.html", "audit.xlsx", "run.json", ".detic-crop"}


@st.composite
def key_sets(draw: st.DrawFn) -> set[str]:
    """Keys made of a handful of parts, so that they often meet."""
    parts = st.sampled_from(draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6)))
    ends = st.sampled_from([".jpg", ".JPG", ".png", ""])
    keys = st.builds(lambda path, end: normalise_key("/".join(path)) + end, st.lists(parts, max_size=3), ends)
    return draw(st.sets(keys, max_size=20))


wild_paths = st.text(st.sampled_from("aB./\\: C~\x00\n\udcff\ud800é") | st.characters(), max_size=20)


def crop_names(
    keys: Iterable[str],
    extension: str,
    settled: Mapping[str, str],
    taken: Iterable[str] = (),
    rules: NameRules = FILE_RULES,
) -> dict[str, str]:
    """Name all photos, and those that have names already."""
    keys, fixed = list(keys), FixedNames()
    for key, name in settled.items():
        fixed.settle(key, name)
    for name in taken:
        fixed.take(name)
    found = CropNames(Texts(keys), extension, fixed, rules)
    return {**settled, **{key: found[key] for key in keys if key not in settled}}


def caseless(name: str) -> str:
    """What a case-blind, normalising disk compares: Unicode's canonical caseless match (D145)."""
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFD", folded)


def folders_of(name: str) -> set[str]:
    return {caseless(str(parent)) for parent in PurePosixPath(name).parents} - {"."}


def check(names: dict[str, str], expected_keys: set[str]) -> None:
    assert set(names) == expected_keys
    files = [caseless(name) for name in names.values()]
    assert len(set(files)) == len(files)
    for name in names.values():
        check_one(name)
        assert not folders_of(name) & set(files)  # a file cannot also be a folder


def check_one(name: str) -> None:
    assert name.endswith(".jpg")
    parts = name.split("/")
    for part in parts:
        assert part not in ("", ".", "..")
        assert "\x00" not in part
        assert len(part.encode()) <= 255
        assert part.split(".")[0].rstrip().lower() not in RESERVED_STEMS
    for folder in parts[:-1]:
        assert folder[-1] not in ". "
    assert parts[0].casefold() not in OURS


# --- properties


@given(key_sets())
def test_no_two_photos_meet_and_none_leaves_the_folder(all_keys: set[str]) -> None:
    check(crop_names(all_keys, ".jpg", {}), all_keys)


@given(key_sets(), st.randoms(use_true_random=False))
def test_names_do_not_depend_on_the_order_of_the_input(all_keys: set[str], random: object) -> None:
    shuffled = sorted(all_keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert crop_names(shuffled, ".jpg", {}) == crop_names(sorted(all_keys), ".jpg", {})
    assert crop_names(iter(shuffled), ".jpg", {}) == crop_names(all_keys, ".jpg", {})


def names_by_definition(
    keys: Iterable[str], extension: str, settled: Mapping[str, str], taken: Iterable[str], rules: NameRules
) -> dict[str, str]:
    """Name one photo after the other, in sorted order, with all names so far in memory."""
    fixed = [*settled.values(), *taken]
    files = {fold_name(name) for name in fixed}
    new = [key for key in sorted(keys) if key not in settled]
    folders = {"": ""}
    for folder in sorted({key.rpartition("/")[0] for key in new} - {""}):
        path = ""
        for part in folder.split("/"):
            component = name_rules._safe_component(part)
            while fold_name(path + component) in files or (not path and name_rules._is_ours(component)):
                part += "_"
                component = name_rules._safe_component(part)
            path += component + "/"
        folders[folder] = path
    used = files | {
        fold_name(str(parent)) for path in [*fixed, *folders.values()] for parent in parents_of(path)
    }
    found = dict(settled)
    for key in new:
        folder, _, file_name = key.rpartition("/")
        stem, suffix = os.path.splitext(file_name)
        name, number = folders[folder] + rules.file_name(stem, extension), 1
        while fold_name(name) in used:
            more = f".{number}" if number > 1 else ""
            name, number = folders[folder] + rules.file_name(stem + suffix + more, extension), number + 1
        used.add(fold_name(name))
        found[key] = name
    return found


def parents_of(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


@given(key_sets(), key_sets(), key_sets(), st.sampled_from([FILE_RULES, TAR_RULES]))
def test_names_are_those_of_the_definition(
    all_keys: set[str], before: set[str], strangers: set[str], rules: NameRules
) -> None:
    earlier = names_by_definition(before, ".jpg", {}, (), rules)
    for settled in ({}, earlier, dict(itertools.islice(earlier.items(), 3))):
        expected = names_by_definition(all_keys, ".jpg", settled, strangers, rules)
        assert crop_names(all_keys, ".jpg", settled, strangers, rules) == expected


def test_names_where_one_collision_makes_the_next() -> None:
    """a.png takes a.png.jpg, which a.png.jpg would have been; that takes the next, and so on."""
    keys = ["a.jpg", "a.png", *(f"a.png{'.jpg' * n}.png" for n in range(4)), *"bcdefg"]
    found = crop_names(keys, ".jpg", {})
    assert found["a.png.png"] == "a.png.png.jpg"
    assert found == names_by_definition(keys, ".jpg", {}, (), FILE_RULES)


@pytest.mark.parametrize("rules", [FILE_RULES, TAR_RULES])
def test_names_that_differ_by_case_only_are_numbered_in_a_line(rules: NameRules) -> None:
    """Each from the last number: from the beginning it would be half a billion names."""
    spellings = itertools.product(*zip("abcdefghijklmno", "ABCDEFGHIJKLMNO", strict=True))
    keys = ["".join(spelling) + ".jpg" for spelling in spellings]
    assert len(keys) == 32_768
    found = crop_names(keys, ".jpg", {}, rules=rules)
    assert len({caseless(name) for name in found.values()}) == len(keys)
    few = keys[::512]
    assert crop_names(few, ".jpg", {}, rules=rules) == names_by_definition(few, ".jpg", {}, (), rules)


@given(key_sets(), key_sets())
def test_a_settled_name_never_changes(first: set[str], later: set[str]) -> None:
    settled = crop_names(first, ".jpg", {})
    names = crop_names(first | later, ".jpg", settled)
    check(names, first | later)
    assert {key: names[key] for key in first} == settled
    # Photos that are no longer in the input keep their names too.
    assert crop_names(later, ".jpg", settled) == names


@given(key_sets(), key_sets())
def test_files_that_are_not_ours_are_never_replaced(all_keys: set[str], strangers: set[str]) -> None:
    taken = {_as_file(stranger) for stranger in strangers}
    names = crop_names(all_keys, ".jpg", {}, taken=(name for name in taken))
    check(names, all_keys)
    ours, theirs = set(names.values()), {caseless(name) for name in taken}
    assert not {caseless(name) for name in ours} & theirs
    assert not any(folders_of(name) & theirs for name in ours)
    assert not {caseless(name) for name in ours} & {folder for name in taken for folder in folders_of(name)}


def _as_file(key: str) -> str:
    return os.path.splitext(key)[0] + ".jpg"


@given(wild_paths)
def test_a_key_from_any_text_stays_in_its_folder(path: str) -> None:
    key = normalise_key(path)
    key.encode()  # can be written to any file
    assert all(part not in ("", ".", "..") for part in key.split("/"))
    assert not PurePosixPath(key).is_absolute()
    if "\x00" not in key:
        check(crop_names([key], ".jpg", {}), {key})


@given(
    st.lists(st.sampled_from(PARTS).filter(lambda part: part not in ("C:", "C:x")), min_size=1, max_size=4)
)
def test_a_plain_relative_path_is_its_own_key(parts: list[str]) -> None:
    path = "/".join(parts)
    assert normalise_key(path) == path


# --- by hand


def test_no_photos() -> None:
    assert crop_names([], ".jpg", {}) == {}
    assert crop_names([], ".jpg", {"gone.png": "gone.jpg"}) == {"gone.png": "gone.jpg"}


@pytest.mark.parametrize(
    ("all_keys", "names"),
    [
        (["a.png", "b/c.d.jpeg", "e"], ["a.jpg", "b/c.d.jpg", "e.jpg"]),
        (["a.jpg", "a.png", "a.tif"], ["a.jpg", "a.png.jpg", "a.tif.jpg"]),
        (["a.JPG", "a.jpg"], ["a.jpg", "a.jpg.jpg"]),  # upper case sorts first
        (["A.png", "a.png", "A.PNG"], ["A.png.jpg", "a.png.2.jpg", "A.jpg"]),
        (["a.jpg", "a.png", "a.png.jpg"], ["a.jpg", "a.png.jpg", "a.png.jpg.jpg"]),
        (["D/x.jpg", "d/X.png"], ["D/x.jpg", "d/X.png.jpg"]),
        (["\u00e9.jpg", "e\u0301.jpg"], ["\u00e9.jpg.jpg", "e\u0301.jpg"]),
        (["\u0390.jpg", "\u0399\u0308\u0301.jpg"], ["\u0390.jpg", "\u0399\u0308\u0301.jpg.jpg"]),  # Greek ΐ
        (["a.jpg/b.png", "a.png"], ["a.jpg/b.jpg", "a.png.jpg"]),  # a folder called like a crop
        (["x/A.JPG/b.png", "x/a.png"], ["x/A.JPG/b.jpg", "x/a.png.jpg"]),
        (["con.jpg", "sub/NUL.tar.png", "com1"], ["con_.jpg", "sub/NUL_.tar.jpg", "com1_.jpg"]),
        (["con.jpg", "con_.jpg"], ["con_.jpg", "con_.jpg.jpg"]),
        (["con/a.jpg", "aux.x/a.jpg"], ["con_/a.jpg", "aux_.x/a.jpg"]),
        (["audit.csv/x.jpg", "Run.JSON/x.jpg"], ["audit.csv_/x.jpg", "Run.JSON_/x.jpg"]),
        ([".detic-crop/x.jpg", "sub/audit.csv/x.jpg"], [".detic-crop_/x.jpg", "sub/audit.csv/x.jpg"]),
        (["day 1. /x.jpg", "day 1_/x.jpg"], ["day 1_/x.jpg", "day 1_/x.jpg.jpg"]),
        (["audit.csv", "run.json", ".jpg"], ["audit.jpg", "run.jpg", ".jpg.jpg"]),
        (["=cmd().jpg", "-rf.png", "%41.jpg"], ["=cmd().jpg", "-rf.jpg", "%41.jpg"]),
    ],
)
def test_names_by_hand(all_keys: list[str], names: list[str]) -> None:
    assert crop_names(all_keys, ".jpg", {}) == dict(zip(all_keys, names, strict=True))


def test_a_new_photo_gives_way_to_a_settled_one() -> None:
    settled = {"b.png": "b.jpg"}
    assert crop_names(["b.jpg", "b.png"], ".jpg", settled) == {"b.png": "b.jpg", "b.jpg": "b.jpg.jpg"}


def test_a_new_folder_gives_way_to_a_settled_crop_of_its_name() -> None:
    """`a.jpg` is a crop since the last run; now the input has a folder `a.jpg`."""
    names = crop_names(["a.png", "a.jpg/b.png"], ".jpg", {"a.png": "a.jpg"})
    assert names["a.png"] == "a.jpg"
    assert "a.jpg" not in folders_of(names["a.jpg/b.png"])


def test_a_folder_that_gives_way_stays_short_enough_for_a_disk() -> None:
    long = "x" * 251 + ".jpg"
    names = crop_names([f"{long}/b.png"], ".jpg", {"x.png": long})
    assert all(len(part.encode()) <= 255 for part in names[f"{long}/b.png"].split("/"))


def test_a_crop_gives_way_to_a_strangers_folder_of_its_name() -> None:
    assert crop_names(["a.png"], ".jpg", {}, taken=["a.jpg/readme.txt"]) == {"a.png": "a.png.jpg"}


def test_long_names_are_shortened_and_stay_apart() -> None:
    long = "x" * 300
    names = crop_names([f"{long}1.png", f"{long}2.png", f"{long}/y.png", "é" * 200 + ".png"], ".jpg", {})
    assert len(set(names.values())) == 4
    for name in names.values():
        assert all(len(part.encode()) <= 255 for part in name.split("/"))
    assert names["é" * 200 + ".png"].startswith("é" * 115)
    exact = "x" * 251
    assert crop_names([exact + ".png"], ".jpg", {}) == {exact + ".png": exact + ".jpg"}
    [shortened] = crop_names([exact + "x.png"], ".jpg", {}).values()
    assert len(shortened) == 255


def test_other_formats_only_change_the_extension() -> None:
    assert crop_names(["a.jpg", "a.webp"], ".webp", {}) == {"a.jpg": "a.webp", "a.webp": "a.webp.webp"}


def test_twenty_thousand_photos_in_folders_that_differ_by_case() -> None:
    extensions = ("jpg", "JPG", "png", "tif")
    all_keys = [
        f"{folder}/IMG_{i}.{extension}"
        for i, folder, extension in itertools.product(range(2500), ("Day", "day"), extensions)
    ]
    names = crop_names(all_keys, ".jpg", {})
    assert len(all_keys) == 20_000
    assert len({caseless(name) for name in names.values()}) == 20_000
    half = dict(list(names.items())[::2])
    assert set(half.items()) <= set(crop_names(reversed(all_keys), ".jpg", half).items())


# --- keys


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("/etc/passwd", "etc/passwd"),
        ("//host/share/x.jpg", "host/share/x.jpg"),
        ("../../x.jpg", "x.jpg"),
        ("a/../../b/./c.jpg", "a/b/c.jpg"),
        ("./a//b.jpg/", "a/b.jpg"),
        ("C:/photos/x.jpg", "photos/x.jpg"),
        ("c:\\photos\\x.jpg", "photos/x.jpg"),
        ("\\\\server\\share\\x.jpg", "server/share/x.jpg"),
        ("", "_"),
        ("/", "_"),
        ("..", "_"),
        ("...", "..."),
        ("a\nb.jpg", "a\nb.jpg"),
        ("caf\udce9.jpg", "caf%E9.jpg"),
        ("🐋.jpg", "🐋.jpg"),
    ],
)
def test_keys_by_hand(path: str, key: str) -> None:
    assert normalise_key(path) == key


@pytest.mark.skipif(os.sep != "/", reason="there a backslash separates")
def test_a_backslash_in_a_name_is_a_backslash() -> None:
    assert normalise_key("odd\\name.jpg") == "odd\\name.jpg"


def test_printable_text_stands_as_it_is() -> None:
    assert printable("a é 🐋 \n%41") == "a é 🐋 \n%41"
    assert printable(os.fsdecode(b"\xff\xfe.jpg")) == "%FF%FE.jpg"
    assert printable("") == ""
