"""Words become CLIP embeddings once; open_clip is a stand-in with its interface."""

from __future__ import annotations

import hashlib
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from detic_crop.detectors.text_encoder import cache_key, embed_words
from detic_crop.errors import UsageError, WeightsError
from tests.kit.errors import refused
from tests.kit.processes import run_python

WORDS = ("dolphin", "orca dorsal fin", "baleine à bosse")


@dataclass
class StandIn:
    """open_clip 3.3 as far as it is used; embeds a text as noise seeded with its tokens."""

    models: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    error: Exception | None = None
    dim: int = 512
    training: bool = True

    def create_model(self, model_name: str, pretrained: str | None = None, **other: object) -> StandIn:
        """The model is this object, too."""
        assert not other
        if self.error:
            raise self.error
        self.models.append((model_name, str(pretrained)))
        return self

    def get_tokenizer(self, model_name: str = "") -> StandIn:
        """And so is the tokenizer."""
        assert model_name == self.models[-1][0]
        return self

    def eval(self) -> StandIn:
        """Dropout off."""
        self.training = False
        return self

    def __call__(self, texts: list[str]) -> Tensor:
        """Texts → (B, 77) tokens."""
        self.texts += texts
        tokens = torch.zeros(len(texts), 77, dtype=torch.long)
        for row, text in zip(tokens, texts, strict=True):
            data = text.lower().encode()
            row[: len(data)] = torch.tensor(list(data))
        return tokens

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, 77) tokens → (B, D) features."""
        assert not self.training
        assert torch.is_inference_mode_enabled()
        return torch.stack([self.feature(row) for row in tokens])

    def feature(self, row: Tensor) -> Tensor:
        """(77,) → (D,)."""
        seed = int.from_bytes(hashlib.sha256(bytes(row.tolist())).digest()[:4], "big")
        return torch.randn(self.dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Installed as open_clip."""
    stand_in, module = StandIn(), ModuleType("open_clip")
    vars(module).update(create_model=stand_in.create_model, get_tokenizer=stand_in.get_tokenizer)
    monkeypatch.setitem(sys.modules, "open_clip", module)
    return stand_in


def remove_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on open_clip is not installed."""
    monkeypatch.setitem(sys.modules, "open_clip", None)


def test_the_references_prompt_and_openais_activation(clip: StandIn, tmp_path: Path) -> None:
    rows = embed_words(WORDS, tmp_path)
    assert clip.texts == ["a dolphin", "a orca dorsal fin", "a baleine à bosse"]
    # Plain ViT-B-32 would compute GELU with weights that were trained with QuickGELU.
    assert clip.models == [("ViT-B-32-quickgelu", "openai")]
    assert rows.shape == (3, 512)
    assert rows.dtype == np.float32
    expected = [clip.feature(row).numpy() for row in clip([f"a {word}" for word in WORDS])]
    np.testing.assert_array_equal(rows, expected)  # as they come, of any length


def test_known_words_need_no_open_clip(
    clip: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed_words(WORDS, tmp_path)
    remove_clip(monkeypatch)
    np.testing.assert_array_equal(embed_words(WORDS[::-1], tmp_path), first[::-1])
    with refused("missing_extra", UsageError, names=["'whale'"]):  # names the new words only
        embed_words((*WORDS, "whale"), tmp_path)


def test_only_new_words_are_embedded(clip: StandIn, tmp_path: Path) -> None:
    embed_words(WORDS[:2], tmp_path)
    embed_words(WORDS, tmp_path)
    assert clip.texts[2:] == ["a baleine à bosse"]
    embed_words(WORDS, tmp_path)
    assert len(clip.models) == 2  # the third time nothing is loaded


def test_a_words_embedding_does_not_depend_on_its_company(clip: StandIn, tmp_path: Path) -> None:
    alone = [embed_words([word], tmp_path / "alone") for word in WORDS]
    np.testing.assert_array_equal(np.concatenate(alone), embed_words(WORDS, tmp_path / "together"))


def test_no_words_are_no_rows(tmp_path: Path) -> None:
    assert embed_words([], tmp_path).shape == (0, 512)


def test_keys_are_of_the_word_as_it_is() -> None:
    assert len({cache_key(word) for word in ("dolphin", "Dolphin", "dolphin ", "dauphin")}) == 4
    assert len(cache_key("dolphin")) == 64


def test_one_file_per_word_and_nothing_half_written(clip: StandIn, tmp_path: Path) -> None:
    embed_words(WORDS, tmp_path / "new" / "folder")
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == sorted(f"{cache_key(word)}.npz" for word in WORDS)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "shape", "dtype", "nan", "other", "flipped"])
def test_a_damaged_file_is_computed_again(damage: str, clip: StandIn, tmp_path: Path) -> None:
    good = embed_words(["whale"], tmp_path)
    path = tmp_path / f"{cache_key('whale')}.npz"
    data = path.read_bytes()
    arrays = {
        "shape": {"embedding": good[0, :100]},
        "dtype": {"embedding": np.array(["x"] * 512)},
        "nan": {"embedding": good[0] * np.float32(np.nan)},
        "other": {"something": good[0]},
    }
    if damage in arrays:
        np.savez(path, **arrays[damage])
    else:
        middle = data[:600] + bytes(255 - byte for byte in data[600:700]) + data[700:]
        path.write_bytes({"empty": b"", "cut": data[:-50], "text": b"hello", "flipped": middle}[damage])
    np.testing.assert_array_equal(embed_words(["whale"], tmp_path), good)
    assert len(clip.texts) == 2
    assert path.read_bytes()[:2] == b"PK"
    embed_words(["whale"], tmp_path)
    assert len(clip.texts) == 2  # mended


def test_a_folder_that_cannot_be_written_only_costs_time(
    clip: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING, logger="detic_crop"):
        assert embed_words(["whale"], tmp_path / "file" / "words").shape == (1, 512)
    assert "cannot be kept" in caplog.text


def test_without_open_clip_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_clip(monkeypatch)
    with refused("missing_extra", UsageError) as caught:
        embed_words(WORDS, tmp_path)
    assert caught.value.message.endswith("open_clip is not installed; pip install 'detic-crop[clip]'")


def test_an_open_clip_that_lacks_something_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open_clip").mkdir()
    (tmp_path / "open_clip" / "__init__.py").write_text("import no_such_module_here\n")
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with refused("missing_extra", UsageError):
        embed_words(WORDS, tmp_path / "words")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to download weights for tag 'openai': …"),
        OSError("Name or service not known"),
        FileNotFoundError("Failed to download file"),
    ],
)
def test_offline(error: Exception, clip: StandIn, tmp_path: Path) -> None:
    clip.error = error
    with refused("missing_weights", WeightsError) as caught:
        embed_words(WORDS, tmp_path)
    message = caught.value.message
    assert str(error) in message
    assert "timm/vit_base_patch32_clip_224.openai" in message
    assert str(tmp_path) in message  # where embeddings can be copied to
    assert "--vocabulary FILE.npy --names FILE.txt" in message
    assert list(tmp_path.iterdir()) == []


def test_another_models_features_are_refused(clip: StandIn, tmp_path: Path) -> None:
    clip.dim = 640
    with refused("bad_embeddings", WeightsError, names=["512", "'a dolphin'", "(640,)"]):
        embed_words(WORDS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_importing_it_imports_neither_torch_nor_open_clip() -> None:
    code = "import sys, detic_crop.detectors.text_encoder, detic_crop.detectors.embeddings as e; "
    print_loaded = "print(sorted({'torch', 'open_clip', 'detectron2'} & set(sys.modules)))"
    assert run_python(code + print_loaded) == "[]\n"
