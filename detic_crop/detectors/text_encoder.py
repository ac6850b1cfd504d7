"""Words → CLIP text embeddings, each computed once and kept.

As the reference does for a vocabulary of one's own: CLIP ViT-B/32, the prompt "a {name}", no ensemble of
templates. The feature is kept as it comes; the classifier scales it to length 1.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.detectors.plain_arrays import plain_array
from detic_crop.errors import UsageError, WeightsError

PROMPT = "a {name}"
EMBEDDING_DIM = 512
_MOST_BYTES = 4096  # of a kept embedding: 4 for each number, and a header

# OpenAI trained CLIP with QuickGELU; open_clip's plain "ViT-B-32" computes GELU and gives other embeddings.
ARCHITECTURE = "ViT-B-32-quickgelu"
PRETRAINED = "openai"
_HUB_NAME = "timm/vit_base_patch32_clip_224.openai"  # where open_clip gets these weights

_log = logging.getLogger(__name__)


def embed_words(words: Sequence[str], cache_dir: Path) -> NDArray[np.float32]:
    """Return CLIP's embeddings of words; those known to `cache_dir` need neither a network nor open_clip.

    Args:
        words: class names.
        cache_dir: one small `.npz` per word is kept here; made when needed.

    Returns:
        (C, 512) float32, not normalised, one row per word.

    Raises:
        UsageError: a new word, and open_clip is not installed.
        WeightsError: a new word, and CLIP's weights cannot be downloaded.
    """
    known = {word: _read(cache_dir, word) for word in words}
    new = [word for word, row in known.items() if row is None]
    if new:
        _log.info("embedding %d words with CLIP %s, kept in %s", len(new), ARCHITECTURE, cache_dir)
        encode = _load_encoder(new, cache_dir)
        for word in new:
            row = encode(PROMPT.format(name=word))
            _keep(cache_dir, word, row)
            known[word] = row
    rows = [kept for word in words if (kept := known[word]) is not None]
    return np.stack(rows) if rows else np.empty((0, EMBEDDING_DIM), np.float32)


def cache_key(word: str) -> str:
    """Return the SHA-256 of model, prompt and word."""
    return hashlib.sha256(json.dumps([ARCHITECTURE, PRETRAINED, PROMPT, word]).encode()).hexdigest()


def _load_encoder(words: Sequence[str], cache_dir: Path) -> Callable[[str], NDArray[np.float32]]:
    """Return text → (512,) float32, one text at a time: an embedding must not depend on other words."""
    try:
        open_clip: Any = importlib.import_module("open_clip")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "open_clip"
        why = "is not installed" if missing else f"cannot be imported ({error})"
        raise UsageError(
            "missing_extra",
            f"--vocabulary {','.join(words)!r} needs CLIP's text encoder, and open_clip {why}; "
            "pip install 'detic-crop[clip]'",
        ) from error
    import torch

    try:
        model = open_clip.create_model(ARCHITECTURE, pretrained=PRETRAINED).eval()
    except (RuntimeError, OSError, ValueError) as error:  # what open_clip, the hub and torch raise
        raise WeightsError(
            "missing_weights",
            f"CLIP's weights ({_HUB_NAME} on huggingface.co) cannot be downloaded: {error} "
            f"Run the same command once where there is a network and copy what it keeps to {cache_dir}; "
            "or pass --vocabulary FILE.npy --names FILE.txt",
        ) from error
    tokenize = open_clip.get_tokenizer(ARCHITECTURE)

    def encode(text: str) -> NDArray[np.float32]:
        with torch.inference_mode():
            features = model.encode_text(tokenize([text]))  # (1, 512)
        row: NDArray[np.float32] = features[0].float().cpu().numpy()
        if row.shape != (EMBEDDING_DIM,) or not np.isfinite(row).all():
            raise WeightsError(
                "bad_embeddings",
                f"CLIP: expected {EMBEDDING_DIM} finite numbers for {text!r}, got shape {row.shape}; "
                "is this open_clip_torch?",
            )
        return row

    return encode


def _read(cache_dir: Path, word: str) -> NDArray[np.float32] | None:
    """Return the kept embedding; None if there is none or its file is damaged."""
    try:
        with (
            zipfile.ZipFile(cache_dir / f"{cache_key(word)}.npz") as kept,
            kept.open("embedding.npy") as file,
        ):
            row = plain_array(file.read(_MOST_BYTES))
    except Exception:  # zipfile and zlib have a dozen kinds of error for a damaged file
        return None
    if row.shape != (EMBEDDING_DIM,) or row.dtype != np.float32:
        return None
    kept_row = row.astype(np.float32)
    return kept_row if np.isfinite(kept_row).all() else None


def _keep(cache_dir: Path, word: str, row: NDArray[np.float32]) -> None:
    """Save an embedding under a temporary name, then rename it; skip a folder that cannot be written."""
    content = io.BytesIO()
    np.savez(content, embedding=row, word=np.array(word))
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cache_dir, suffix=".tmp")
        with open(handle, "wb") as file:
            file.write(content.getvalue())
        os.replace(temporary, cache_dir / f"{cache_key(word)}.npz")
    except OSError as error:
        _log.warning("the embedding of %r cannot be kept in %s: %s", word, cache_dir, error)
