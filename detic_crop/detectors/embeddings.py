"""What Detic can be asked for: class names, each with its CLIP embedding.

The zero-shot classifier (Detic, arXiv 2201.02605, section 3) compares region features with text embeddings of
the class names, so a vocabulary is data and can be exchanged without touching the network.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.plain_arrays import plain_array
from detic_crop.detectors.vocabulary import VOCABULARIES, names_of
from detic_crop.errors import UsageError, WeightsError
from detic_crop.system.whole_files import read_whole

EMBEDDING_DIM = 512  # D, of CLIP ViT-B/32; C is the number of classes

EMBEDDINGS_FILES = {
    "openimages": "oid_clip_a+cname.npy",
    "lvis": "lvis_v1_clip_a+cname.npy",
    "objects365": "o365_clip_a+cnamefix.npy",
    "coco": "coco_clip_a+cname.npy",
}
"""Vocabulary → its file as the Detic repository calls it: (C, D), rows in the order of `names_of`."""

CHECKPOINT = "checkpoint"
"""``--vocabulary`` for the classifier inside a checkpoint."""

CHECKPOINT_CLASSES = (22047, 1203)
"""Classes of the published checkpoints' own classifiers: LVIS + ImageNet-21k, and LVIS."""

_MIN_LENGTH = 1e-12  # the reference's F.normalize divides no shorter row to length 1
_FILE_SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".txt", ".csv", ".json", ".safetensors")


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Class names and what stands for them.

    Attributes:
        name: name to record: ``openimages``, the file's name, the words joined by commas, or ``checkpoint``.
        class_names: C names; a name that stands there twice (Open Images has two Mouse) is one
            class with two rows.
        embeddings: (C, D) float32, finite, no row zero, of any length (the classifier takes the direction);
            (0, D) for ``checkpoint``, which brings its own.
        sha256: equal when the same answers are to be expected: of the published file; of one's own file and
            names; of model, prompt and words.
    """

    name: str
    class_names: tuple[str, ...]
    embeddings: NDArray[np.float32]
    sha256: str

    @property
    def in_checkpoint(self) -> bool:
        """The embeddings are to be taken from the checkpoint; it must have as many as there are names."""
        return len(self.embeddings) == 0


def load_vocabulary(
    spec: str,
    names: Path | None,
    find_file: Callable[[str], Path | None],
    words_dir: Path | None = None,
) -> Vocabulary:
    """Return the vocabulary that ``--vocabulary`` and ``--names`` mean.

    Args:
        spec: ``openimages``, ``lvis``, ``objects365``, ``coco``; a `.npy` file of one's own;
            ``checkpoint``; or words joined by commas, which CLIP's text encoder embeds.
        names: text file with a class name on each line, for a `.npy` file and for ``checkpoint``.
        find_file: file name → where it has been pulled to, or None.
        words_dir: folder of the embeddings of words; None takes `words/` in the weights folder.

    Raises:
        UsageError: `spec` or `names` is wrong, or the text encoder is not installed.
        WeightsError: embeddings are missing, damaged, or do not fit the names.
    """
    spec = spec.strip()
    known = spec.casefold()
    if known == CHECKPOINT:
        return _in_checkpoint(names)
    if _is_file(spec):
        return _own(Path(spec), names)
    if names is not None:
        raise UsageError(
            "option_not_applicable",
            f"--names {names} goes with --vocabulary FILE.npy or checkpoint, got --vocabulary {spec!r}; "
            "leave --names out",
        )
    if known in EMBEDDINGS_FILES:
        return _published(known, find_file)
    return _words(spec, words_dir)


def _is_file(spec: str) -> bool:
    suffix = Path(spec).suffix.lower()
    return "," not in spec and (suffix in _FILE_SUFFIXES or (suffix != "" and Path(spec).is_file()))


def _published(name: str, find_file: Callable[[str], Path | None]) -> Vocabulary:
    file_name = EMBEDDINGS_FILES[name]
    path = find_file(file_name)
    remedy = f"detic-crop weights pull {name}"
    if path is None:
        raise WeightsError(
            "missing_weights", f"vocabulary {name} needs {file_name}, which is not here; {remedy}"
        )
    try:
        data = read_whole(path)
    except OSError as error:
        raise WeightsError(
            "unreadable_weights", f"cannot read {path}: {error.strerror or error}; {remedy}"
        ) from error
    class_names = names_of(name)
    rows = _checked_rows(_read_npy(data, path, remedy), path, len(class_names), remedy)
    return Vocabulary(name, class_names, rows, hashlib.sha256(data).hexdigest())


def _own(path: Path, names: Path | None) -> Vocabulary:
    if path.suffix.lower() != ".npy":
        raise UsageError(
            "bad_vocabulary",
            f"--vocabulary {path}: expected a .npy file of shape (classes, {EMBEDDING_DIM}), "
            f"got {path.suffix}; save the embeddings with numpy.save",
        )
    if names is None:
        raise UsageError(
            "names_needed",
            f"--vocabulary {path} has no names; add --names FILE.txt with one name on each line",
        )
    try:
        data = read_whole(path)
    except OSError as error:
        raise UsageError(
            "unreadable_vocabulary", f"cannot read --vocabulary {path}: {error.strerror or error}"
        ) from error
    class_names = read_names(names)
    remedy = "make the file again with numpy.save"
    rows = _checked_rows(_read_npy(data, path, remedy), path, len(class_names), f"check {path} and {names}")
    return Vocabulary(path.name, class_names, rows, _sha256(data, *_encoded(class_names)))


def _in_checkpoint(names: Path | None) -> Vocabulary:
    large, lvis = CHECKPOINT_CLASSES
    source = (
        f"the {large} names of Detic's classifier are in its repository, "
        "detic/data/datasets/lvis_22k_categories.py, each entry's 'name' in that order"
    )
    if names is None:
        raise UsageError(
            "names_needed",
            f"--vocabulary checkpoint needs --names FILE.txt with one name on each line; {source} "
            f"(where a checkpoint has {lvis} classes, --vocabulary lvis is the same)",
        )
    class_names = read_names(names)
    if len(class_names) not in CHECKPOINT_CLASSES:
        raise UsageError(
            "names_do_not_fit",
            f"--names {names}: expected {large} names for --vocabulary checkpoint (or {lvis}, LVIS), "
            f"got {len(class_names)}; {source}",
        )
    rows = np.empty((0, EMBEDDING_DIM), np.float32)
    return Vocabulary(CHECKPOINT, class_names, rows, names_sha256(class_names))


def _words(spec: str, words_dir: Path | None) -> Vocabulary:
    from detic_crop.detectors.text_encoder import cache_key, embed_words

    words: dict[str, str] = {}  # CLIP lowers the case, so words that differ only in it are one
    for word in spec.split(","):
        word = " ".join(word.split())
        if word:
            words.setdefault(word.casefold(), word)
    known = ", ".join(VOCABULARIES)
    if not words:
        raise UsageError(
            "unknown_vocabulary",
            f"--vocabulary is empty; pass {known}, a .npy file, or words joined by commas",
        )
    near = difflib.get_close_matches(spec.casefold(), [*VOCABULARIES, CHECKPOINT], n=1, cutoff=0.8)
    if near and "," not in spec:
        raise UsageError(
            "unknown_vocabulary",
            f"--vocabulary must be {known}, checkpoint, a .npy file, or words joined by commas, "
            f"got {spec!r}; did you mean {near[0]}? For the word itself add a comma: --vocabulary '{spec},'",
        )
    class_names = tuple(words.values())
    for word in class_names:
        _check_name(word, "--vocabulary")
    rows = embed_words(class_names, words_dir or default_words_dir())
    rows = _checked_rows(rows, "the text encoder's answer", len(class_names), "remove the cached words")
    return Vocabulary(
        ",".join(class_names),
        class_names,
        rows,
        _sha256(*_encoded([cache_key(word) for word in class_names])),
    )


def default_words_dir() -> Path:
    """Return a folder next to the weights, so that copying the weights brings the words, too."""
    from detic_crop.detectors.weights import weights_dir

    return weights_dir() / "words"


def _read_npy(data: bytes, path: Path, remedy: str) -> NDArray[np.generic]:
    """Return the array in a `.npy` file; never unpickles."""
    if not data.startswith(np.lib.format.MAGIC_PREFIX):
        raise WeightsError("bad_embeddings", f"{path}: expected a .npy file, got something else; {remedy}")
    try:
        return plain_array(data)
    except ValueError as error:
        raise WeightsError(
            "bad_embeddings", f"{path} is cut off or no plain array ({len(data)} bytes: {error}); {remedy}"
        ) from error


def _checked_rows(
    array: NDArray[np.generic], where: Path | str, n_names: int, remedy: str
) -> NDArray[np.float32]:
    """Return (C, D) float32 embeddings that can be scaled to length 1."""
    expected = f"{where}: expected {n_names} rows (one per name) of {EMBEDDING_DIM} floats"
    if array.shape == (EMBEDDING_DIM, n_names) and n_names != EMBEDDING_DIM:
        raise WeightsError(
            "bad_embeddings", f"{expected}, got shape {array.shape}, the other way round; save its transpose"
        )
    if array.shape != (n_names, EMBEDDING_DIM) or array.dtype.kind != "f":
        raise WeightsError(
            "bad_embeddings", f"{expected}, got shape {array.shape} of {array.dtype}; {remedy}"
        )
    with np.errstate(all="ignore"):
        rows: NDArray[np.float32] = array.astype(np.float32)
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1)  # (C,)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > _MIN_LENGTH)))
    if len(bad):
        what = "only zeros" if np.isfinite(lengths[bad[0]]) else "NaN or infinity"
        raise WeightsError(
            "bad_embeddings",
            f"{expected}, finite and not zero; row {bad[0] + 1} has {what} ({len(bad)} such rows); {remedy}",
        )
    return rows


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names, one a line, UTF-8; blanks around them and empty lines at the end do not count.

    Raises:
        UsageError: the file cannot be read, or a line is no name that ``--classes`` could take.
    """
    try:
        text = read_whole(path).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            "unreadable_names", f"cannot read --names {path}: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            "bad_names", f"--names {path}: expected UTF-8 text, got something else; save it as UTF-8"
        ) from error
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())]
    if lines == [""]:
        raise UsageError("bad_names", f"--names {path}: expected a name on each line, got an empty file")
    for number, line in enumerate(lines, 1):
        _check_name(line, f"--names {path} line {number}")
    return tuple(lines)


def _check_name(name: str, where: str) -> None:
    if not name:
        raise UsageError(
            "bad_names", f"{where}: expected a class name, got an empty line; rows and names would shift"
        )
    if "," in name:
        raise UsageError(
            "bad_names",
            f"{where}: expected one name, got {name!r}; --classes separates names by commas, "
            f"so keep one, e.g. {name.split(',')[0].strip()!r}",
        )
    if name.casefold() == UNKNOWN_CLASS:
        raise UsageError(
            "bad_names", f"{where}: {name!r} means a box without a class, which is always wanted; rename it"
        )


def names_sha256(names: Sequence[str]) -> str:
    """Return a hash of class names in their order."""
    return _sha256(*_encoded(names))


def _encoded(names: Sequence[str]) -> list[bytes]:
    return [name.encode() for name in names]


def _sha256(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
