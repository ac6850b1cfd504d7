"""Vocabularies: published, one's own, words, and the checkpoint's."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors import text_encoder
from detic_crop.detectors.embeddings import CHECKPOINT_CLASSES, EMBEDDINGS_FILES, Vocabulary, load_vocabulary
from detic_crop.detectors.vocabulary import MARINE, VOCABULARIES, names_of, resolve_classes
from detic_crop.errors import UsageError, WeightsError
from tests.kit.errors import refused
from tests.kit.helpers import write

COUNTS = {"openimages": 500, "lvis": 1203, "objects365": 365, "coco": 80}
MARINE_NAMES = {
    "openimages": MARINE,
    "lvis": ("dolphin", "manatee", "walrus"),
    "objects365": ("Dolphin", "Seal"),
}


def embeddings(count: int, seed: int = 0) -> NDArray[np.float32]:
    """(C, 512), about as long as CLIP's."""
    return np.random.default_rng(seed).normal(size=(count, 512), scale=0.45).astype(np.float32)


def save(path: Path, array: NDArray[np.generic]) -> Path:
    """As `.npy`."""
    np.save(path, array)
    return path


def write_names(path: Path, *names: str) -> Path:
    """One name a line."""
    return write(path, "".join(f"{name}\n" for name in names).encode())


def nothing_pulled(file_name: str) -> None:
    """A `find_file` on a fresh machine."""


def pulled_to(folder: Path) -> Callable[[str], Path | None]:
    """A `find_file` that finds what is in `folder`."""
    return lambda file_name: path if (path := folder / file_name).is_file() else None


def load_own(path: Path, names: Path | None) -> Vocabulary:
    """``--vocabulary FILE.npy --names FILE.txt``."""
    return load_vocabulary(str(path), names, nothing_pulled)


# --- names in the package ---


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_names_are_in_the_package(vocabulary: str) -> None:
    names = names_of(vocabulary)
    assert len(names) == COUNTS[vocabulary]
    assert all(name and name == name.strip() for name in names)
    assert not any("," in name for name in names)  # --classes could not ask for it
    assert UNKNOWN_CLASS not in {name.casefold() for name in names}


def test_only_open_images_has_names_twice() -> None:
    repeated = {v: sorted({n for n in names_of(v) if names_of(v).count(n) > 1}) for v in VOCABULARIES}
    assert repeated == {"openimages": ["Bench", "Mouse"], "lvis": [], "objects365": [], "coco": []}
    # Both rows are called Mouse, so asking for it gets both; nothing is lost.
    assert resolve_classes("mouse", names_of("openimages"), "detic") == ("Mouse",)


def test_no_name_differs_from_another_in_case_only() -> None:
    for vocabulary in VOCABULARIES:
        names = set(names_of(vocabulary))
        assert len({name.casefold() for name in names}) == len(names)


def test_an_unknown_list_of_names_is_refused() -> None:
    with refused(
        "unknown_vocabulary", UsageError, names=["'imagenet'", "openimages, lvis, objects365, coco"]
    ):
        names_of("imagenet")


@pytest.mark.parametrize("vocabulary", MARINE_NAMES)
def test_marine_means_what_the_vocabulary_has_of_it(vocabulary: str) -> None:
    assert resolve_classes("marine", names_of(vocabulary), "detic") == MARINE_NAMES[vocabulary]


def test_coco_has_no_marine_class_and_the_message_says_what_to_do() -> None:
    with refused("unknown_class", UsageError) as caught:
        resolve_classes("marine", names_of("coco"), "detectron2:x")
    message = caught.value.message
    assert "detectron2:x has no class of the group 'marine' (Dolphin, Whale," in message
    assert "person, bicycle, car" in message
    assert "--classes any or" in message
    assert "--classes 'bird,boat,surfboard'" in message
    assert resolve_classes("bird,boat,surfboard", names_of("coco"), "x") == ("bird", "boat", "surfboard")


def test_marine_reaches_species_that_open_images_does_not_have() -> None:
    species = (
        "killer_whale",
        "grey_whale",
        "Pacific_bottlenose_dolphin",
        "harbor_porpoise",
        "fur_seal",
        "dugong",
    )
    others = ("whale_shark", "dolphinfish", "Navy_SEAL", "goldenseal", "whaleboat", "walrus_mustache", "lion")
    assert resolve_classes("marine", (*others, *species), "detic") == species


def test_the_marine_group_of_open_images_stays_the_originals() -> None:
    """Also where a recrop knows some of the names only."""
    others = [name for name in names_of("openimages") if name not in MARINE]
    assert resolve_classes("marine", ["Whale", *others], "detic") == ("Whale",)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("Polar Bear", ("polar_bear",)),
        ("polar_bear", ("polar_bear",)),
        ("  life   BUOY ", ("life_buoy",)),
        ("crab", ("crab_(animal)",)),
        ("octopus", ("octopus_(food)", "octopus_(animal)")),
        ("octopus (animal)", ("octopus_(animal)",)),
        ("fish", ("fish",)),  # not also fish_(food)
    ],
)
def test_lvis_names_can_be_asked_for_as_one_says_them(wanted: str, expected: tuple[str, ...]) -> None:
    assert resolve_classes(wanted, names_of("lvis"), "detic") == expected


def test_names_that_differ_only_in_case_are_all_meant() -> None:
    assert resolve_classes("orca", ("Orca", "boat", "ORCA"), "own") == ("Orca", "ORCA")


# --- published ---


@pytest.mark.parametrize("name", VOCABULARIES)
def test_a_pulled_vocabulary(name: str, tmp_path: Path) -> None:
    rows = embeddings(COUNTS[name]).astype(np.float16)
    path = save(tmp_path / EMBEDDINGS_FILES[name], rows)
    vocabulary = load_vocabulary(f" {name.upper()} ", None, pulled_to(tmp_path))
    assert vocabulary.name == name
    assert vocabulary.class_names == names_of(name)
    assert vocabulary.embeddings.dtype == np.float32
    np.testing.assert_array_equal(vocabulary.embeddings, rows.astype(np.float32))
    assert vocabulary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not vocabulary.in_checkpoint


def test_a_vocabulary_that_was_not_pulled() -> None:
    with refused("missing_weights", WeightsError, names=["oid_clip_a+cname.npy"]):
        load_vocabulary("openimages", None, nothing_pulled)


def test_a_pulled_file_that_vanished(tmp_path: Path) -> None:
    with refused("unreadable_weights", WeightsError):
        load_vocabulary("coco", None, lambda name: tmp_path / name)


def test_a_pulled_file_of_another_vocabulary(tmp_path: Path) -> None:
    save(tmp_path / EMBEDDINGS_FILES["openimages"], embeddings(80))
    with refused("bad_embeddings", WeightsError, names=["(80, 512)"]):
        load_vocabulary("openimages", None, pulled_to(tmp_path))


@pytest.mark.parametrize("spec", ["openimages", "dolphin,whale"])
def test_names_do_not_go_with_a_vocabulary_that_has_its_own(spec: str, tmp_path: Path) -> None:
    names = write_names(tmp_path / "names.txt", "a")
    with refused("option_not_applicable", UsageError):
        load_vocabulary(spec, names, nothing_pulled)


# --- one's own file ---


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_a_file_of_ones_own(dtype: str, tmp_path: Path) -> None:
    rows = embeddings(3).astype(dtype)
    names = write_names(tmp_path / "names.txt", "dolphin", " orca dorsal fin ", "dolphin")
    vocabulary = load_own(save(tmp_path / "fins.npy", rows), names)
    assert vocabulary.name == "fins.npy"
    assert vocabulary.class_names == ("dolphin", "orca dorsal fin", "dolphin")
    assert vocabulary.embeddings.dtype == np.dtype(np.float32)
    np.testing.assert_array_equal(vocabulary.embeddings, rows.astype(np.float32))


def test_other_names_or_other_rows_are_another_vocabulary(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", embeddings(2))
    other = save(tmp_path / "b.npy", embeddings(2, seed=1))
    names = [write_names(tmp_path / f"{pair}.txt", *pair) for pair in ("ab", "ba")]
    hashes = {load_own(p, n).sha256 for p in (path, other) for n in names}
    assert len(hashes) == 4
    assert load_own(path, names[0]).sha256 == load_own(path, names[0]).sha256


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"\xef\xbb\xbfdolphin\r\nwhale\r\n\r\n", ("dolphin", "whale")),
        (b"dolphin\nwhale", ("dolphin", "whale")),
        ("dauphin bleu-blanc\nbaleine à bosse\n".encode(), ("dauphin bleu-blanc", "baleine à bosse")),
    ],
)
def test_names_files_as_people_have_them(data: bytes, names: tuple[str, ...], tmp_path: Path) -> None:
    vocabulary = load_own(save(tmp_path / "a.npy", embeddings(2)), write(tmp_path / "names.txt", data))
    assert vocabulary.class_names == names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty file"),
        (b"\n\n", "got an empty file"),
        (b"dolphin\n\nwhale\n", "line 2: expected a class name, got an empty line"),
        (
            b"dolphin\nkiller whale, orca\n",
            "line 2: .*separates names by commas.*keep one, e.g. 'killer whale'",
        ),
        (b"Unknown\nwhale\n", "line 1: 'Unknown' means a box without a class"),
        (b"\xff\xfed\0", "expected UTF-8"),
    ],
)
def test_names_that_would_mislead_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with refused("bad_names", UsageError, match=message):
        load_own(save(tmp_path / "a.npy", embeddings(2)), write(tmp_path / "names.txt", data))


def test_a_file_needs_names(tmp_path: Path) -> None:
    with refused("names_needed", UsageError, names=["a.npy"]):
        load_own(save(tmp_path / "a.npy", embeddings(2)), None)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    names = write_names(tmp_path / "names.txt", "a", "b")
    with refused("unreadable_vocabulary", UsageError, names=["No such file"]):
        load_own(tmp_path / "a.npy", names)
    with refused("unreadable_names", UsageError, names=["No such file"]):
        load_own(save(tmp_path / "a.npy", embeddings(2)), tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (embeddings(3), r"expected 2 rows \(one per name\) of 512 floats, got shape \(3, 512\) .*check"),
        (embeddings(2)[:, :256], r"got shape \(2, 256\)"),
        (embeddings(2).T.copy(), "the other way round; save its transpose"),
        (embeddings(2)[0], r"got shape \(512,\)"),
        (np.empty((0, 512), np.float32), r"got shape \(0, 512\)"),
        (embeddings(2).astype(np.int32), "of int32"),
        (embeddings(2) * np.array([[1], [0]], np.float32), r"row 2 has only zeros \(1 such rows\)"),
        (embeddings(2) * np.array([[np.nan], [1]], np.float32), "row 1 has NaN or infinity"),
        (np.full((2, 512), 1e300), r"row 1 has NaN or infinity \(2 such rows\)"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    array: NDArray[np.generic], message: str, tmp_path: Path
) -> None:
    names = write_names(tmp_path / "names.txt", "dolphin", "whale")
    with refused("bad_embeddings", WeightsError, match=message):
        load_own(save(tmp_path / "a.npy", array), names)


def test_every_cut_of_a_file_is_noticed(tmp_path: Path) -> None:
    data = save(tmp_path / "whole.npy", embeddings(2)).read_bytes()
    names = write_names(tmp_path / "names.txt", "dolphin", "whale")
    for length in (0, 3, 7, 9, 60, 127, 128, 1000, len(data) - 1):
        with refused("bad_embeddings", WeightsError):
            load_own(write(tmp_path / "cut.npy", data[:length]), names)


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _explode, ("boom",)


def _explode(what: str) -> None:
    raise AssertionError(f"unpickled: {what}")


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    names = write_names(tmp_path / "names.txt", "dolphin", "whale")
    objects = np.empty(2, object)
    objects[:] = [_Bomb(), _Bomb()]
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    write(tmp_path / "pickle.npy", pickle.dumps(_Bomb()))
    for name in ("objects.npy", "pickle.npy"):
        with refused("bad_embeddings", WeightsError, match=name):
            load_own(tmp_path / name, names)


def test_a_zip_called_npy_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as file:
        np.savez(file, a=embeddings(2))
    with refused("bad_embeddings", WeightsError):
        load_own(tmp_path / "a.npy", write_names(tmp_path / "names.txt", "a", "b"))


@pytest.mark.parametrize("name", ["clip.pt", "clip.npz", "names.txt"])
def test_other_files_are_no_words(name: str) -> None:
    with refused("bad_vocabulary", UsageError, names=["512"]):
        load_vocabulary(name, None, nothing_pulled)


def test_a_file_of_any_other_kind_is_no_word_either(tmp_path: Path) -> None:
    with refused("bad_vocabulary", UsageError, names=[".dat"]):
        load_vocabulary(str(write(tmp_path / "clip.dat")), None, nothing_pulled)


# --- the checkpoint's own classifier ---


@pytest.mark.parametrize("count", CHECKPOINT_CLASSES)
def test_the_classifier_of_the_checkpoint_takes_names(count: int, tmp_path: Path) -> None:
    names = write_names(
        tmp_path / "names.txt", *(f"name {i // 2}" for i in range(count))
    )  # it has repeated ones
    vocabulary = load_vocabulary("checkpoint", names, nothing_pulled)
    assert vocabulary.in_checkpoint
    assert vocabulary.embeddings.shape == (0, 512)
    assert (vocabulary.name, len(vocabulary.class_names)) == ("checkpoint", count)


def test_without_names_it_says_where_they_are(tmp_path: Path) -> None:
    with refused("names_needed", UsageError):
        load_vocabulary("checkpoint", None, nothing_pulled)
    names = write_names(tmp_path / "names.txt", "a", "b")
    with refused("names_do_not_fit", UsageError, names=["22047", "1203", "2"]):
        load_vocabulary("checkpoint", names, nothing_pulled)


# --- words ---


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words are embedded without CLIP; returns what was asked for."""
    asked: list[str] = []

    def embed_words(words: tuple[str, ...], cache_dir: Path) -> NDArray[np.float32]:
        asked.extend([*words, cache_dir.name])
        return embeddings(len(words))

    monkeypatch.setattr(text_encoder, "embed_words", embed_words)
    return asked


def test_words(embedded: list[str], tmp_path: Path) -> None:
    spec = " dolphin, orca  dorsal fin,,Dolphin ,whale,"
    vocabulary = load_vocabulary(spec, None, nothing_pulled, tmp_path / "kept")
    assert vocabulary.name == "dolphin,orca dorsal fin,whale"
    assert vocabulary.class_names == ("dolphin", "orca dorsal fin", "whale")  # CLIP has no capitals
    assert embedded == [*vocabulary.class_names, "kept"]
    assert vocabulary.embeddings.shape == (3, 512)


def test_the_hash_of_words_says_which_words(embedded: list[str], tmp_path: Path) -> None:
    """Not their floats: those differ in the last bit from machine to machine, and a resume must go on."""

    def sha256(spec: str) -> str:
        return load_vocabulary(spec, None, nothing_pulled, tmp_path).sha256

    assert sha256("a,b") == sha256(" a , b")
    assert len({sha256(spec) for spec in ("a,b", "b,a", "ab,", "a,b,c")}) == 4


def test_words_are_kept_beside_the_weights(
    embedded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETIC_CROP_WEIGHTS_DIR", str(tmp_path))
    load_vocabulary("whale", None, nothing_pulled)
    assert embedded == ["whale", "words"]


@pytest.mark.parametrize(("spec", "meant"), [("openimage", "openimages"), ("Objects-365", "objects365")])
def test_a_misspelled_vocabulary_is_no_word(
    spec: str, meant: str, embedded: list[str], tmp_path: Path
) -> None:
    with refused("unknown_vocabulary", UsageError, match=f"did you mean {meant}.*--vocabulary '{spec},'"):
        load_vocabulary(spec, None, nothing_pulled, tmp_path)
    assert load_vocabulary(f"{spec},", None, nothing_pulled, tmp_path).class_names == (spec,)


@pytest.mark.parametrize("spec", ["", "  ", ",", " , ,"])
def test_no_words_at_all(spec: str) -> None:
    with refused("unknown_vocabulary", UsageError, names=["openimages"]):
        load_vocabulary(spec, None, nothing_pulled)


def test_the_word_for_no_class_is_refused(tmp_path: Path) -> None:
    with refused("bad_names", UsageError, names=["'unknown'"]):
        load_vocabulary("whale,unknown", None, nothing_pulled, tmp_path)


def test_words_without_the_text_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with refused("missing_extra", UsageError):
        load_vocabulary("dolphin,orca dorsal fin", None, nothing_pulled, tmp_path)
