"""Ways of asking a detector of transformers: one class for each, with one interface.

Each gives the answer of the family's own post-processing, with the index of a class name for every box. A
zero-shot detector is asked with words, each family in its own form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detic_crop.errors import UsageError

_BLANK = np.zeros((64, 64, 3), np.uint8)
FLOOR = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was found in one photo; N boxes.

    Attributes:
        xyxy: (N, 4) float, pixels of the photo.
        scores: (N,) float in [0, 1].
        classes: (N,) int, indices into `Asking.class_names`.
    """

    xyxy: Tensor
    scores: Tensor
    classes: Tensor


class Asking:
    """How a network is asked.

    Attributes:
        class_names: what it can answer with.
        default_conf: threshold of the family's own post-processing.
        floor: lowest score that is worth keeping.
        pixel_bytes: memory that the network takes while it looks, per pixel shown.
        image_processor: prepares photos, see transformers.
    """

    class_names: tuple[str, ...]
    default_conf = 0.5
    floor = FLOOR
    pixel_bytes = 500  # RT-DETR, DETR, YOLOS and OWLv2 of the published sizes took 360 to 490
    image_processor: Any

    def __call__(self, network: Any, pixels: Mapping[str, Tensor], sizes_hw: Tensor) -> list[Answer]:
        """Return the answer for every photo of a batch.

        Args:
            network: model of transformers, on the device of `pixels`.
            pixels: what the image processor made of B photos of one size.
            sizes_hw: (B, 2) int, height and width of each photo.
        """
        raise NotImplementedError


class ByLabel(Asking):
    """A detector with labels of its own: DETR and its kin, RT-DETR, D-FINE, YOLOS, RF-DETR …"""

    def __init__(self, image_processor: Any, config: Any) -> None:
        self.image_processor = image_processor
        labels = {int(index): str(name) for index, name in (config.id2label or {}).items()}
        self._names = [labels.get(index, f"class {index}") for index in range(max(labels, default=-1) + 1)]
        self.class_names = tuple(self._names)

    def __call__(self, network: Any, pixels: Mapping[str, Tensor], sizes_hw: Tensor) -> list[Answer]:
        found = self.image_processor.post_process_object_detection(
            as_float32(network(**pixels)), threshold=self.floor, target_sizes=sizes_hw
        )
        return [Answer(one["boxes"], one["scores"], one["labels"]) for one in found]


class ByWords(Asking):
    """A detector that is asked with words.

    Args:
        processor: of the model: image processor and tokenizer.
        config: configuration of the model.
        words: what to look for.
    """

    def __init__(self, processor: Any, config: Any, words: Sequence[str]) -> None:
        self.processor = processor
        self.config = config
        self.image_processor = processor.image_processor
        self.class_names = tuple(words)
        self._text = self._encoded()

    def _prompt(self) -> Any:
        """Return the words as the processor takes them for one photo."""
        raise NotImplementedError

    def _encoded(self) -> dict[str, Tensor]:
        """Return what the processor makes of the words: tensors whose first dimension is of one photo."""
        both = self.processor(images=[_BLANK], text=self._prompt(), return_tensors="pt")
        of_photo = set(self.image_processor(images=[_BLANK], return_tensors="pt"))
        return {key: torch.as_tensor(value) for key, value in both.items() if key not in of_photo}

    def _inputs(self, pixels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return pixels and words, once for each photo."""
        first = next(iter(pixels.values()))
        text = {
            key: value.to(first.device).repeat(len(first), *[1] * (value.ndim - 1))
            for key, value in self._text.items()
        }
        return {**pixels, **text}


class BySentence(ByWords):
    """Grounding DINO and its kin: all words in one line, in lower case, each with a full stop.

    Every box has a score for each token of the line. The class is the word with the highest one.
    """

    default_conf = 0.25
    pixel_bytes = 1500  # Grounding DINO with Swin-T at 800 × 1200 took 1460

    def __init__(self, processor: Any, config: Any, words: Sequence[str]) -> None:
        super().__init__(processor, config, words)
        _check_length(words, self._text["input_ids"].shape[1], config.max_text_len, "all of them")
        self._columns = self._columns_of_words()

    def _prompt(self) -> str:
        return " ".join(f"{_without_stops(word)}." for word in self.class_names)

    def _columns_of_words(self) -> list[Tensor]:
        """Return, for each word, the positions of its tokens."""
        tokens = self.processor.tokenizer(self._prompt(), return_offsets_mapping=True)["offset_mapping"]
        columns, start = [], 0
        for word in self.class_names:
            end = start + len(_without_stops(word))
            columns.append(torch.tensor([i for i, (a, b) in enumerate(tokens) if start <= a < b <= end]))
            start = end + len(". ")
        return columns

    def __call__(self, network: Any, pixels: Mapping[str, Tensor], sizes_hw: Tensor) -> list[Answer]:
        inputs = self._inputs(pixels)
        outputs = as_float32(network(**inputs))
        found = self.processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=self.floor,
            text_threshold=1.0,  # no texts: "lion" may be of a sea lion or a mountain lion
            target_sizes=sizes_hw,
        )
        answers = []
        for one, logits in zip(found, outputs.logits, strict=True):  # (Q, T)
            kept = logits[torch.sigmoid(logits).amax(-1) > self.floor]
            of_words = [kept[:, columns.to(kept.device)].amax(-1) for columns in self._columns]
            answers.append(Answer(one["boxes"], one["scores"], torch.stack(of_words, -1).argmax(-1)))
        return answers


class ByQuery(ByWords):
    """OWL-ViT and OWLv2: a sentence for each word, as CLIP was trained on."""

    default_conf = 0.1
    floor = 0.01  # its scores are lower than those of the others

    def __init__(self, processor: Any, config: Any, words: Sequence[str]) -> None:
        most = config.text_config.max_position_embeddings
        for word in words:
            tokens = len(processor.tokenizer(_photo_of(word))["input_ids"])
            _check_length(words, tokens, most, repr(word))
        super().__init__(processor, config, words)

    def _prompt(self) -> list[list[str]]:
        return [[_photo_of(word) for word in self.class_names]]

    def __call__(self, network: Any, pixels: Mapping[str, Tensor], sizes_hw: Tensor) -> list[Answer]:
        found = self.processor.post_process_grounded_object_detection(
            as_float32(network(**self._inputs(pixels))), threshold=self.floor, target_sizes=sizes_hw
        )
        return [Answer(one["boxes"], one["scores"], one["labels"]) for one in found]


class ByTask(ByWords):
    """OmDet-Turbo: the words, and the task "Detect whale, dolphin."."""

    default_conf = 0.3

    def _prompt(self) -> list[list[str]]:
        return [list(self.class_names)]

    def __call__(self, network: Any, pixels: Mapping[str, Tensor], sizes_hw: Tensor) -> list[Answer]:
        found = self.processor.post_process_grounded_object_detection(
            as_float32(network(**self._inputs(pixels))),
            threshold=self.floor,
            target_sizes=[(int(height), int(width)) for height, width in sizes_hw.tolist()],
        )
        return [Answer(one["boxes"], one["scores"], one["labels"]) for one in found]


class WordByWord(ByWords):
    """SAM 3: one word at a time; the photo is looked at once."""

    default_conf = 0.3
    pixel_bytes = 3000  # not measured

    def _encoded(self) -> dict[str, Tensor]:
        texts = [self.processor(images=[_BLANK], text=word, return_tensors="pt") for word in self.class_names]
        return {key: torch.cat([text[key] for text in texts]) for key in ("input_ids", "attention_mask")}

    def __call__(self, network: Any, pixels: Mapping[str, Tensor], sizes_hw: Tensor) -> list[Answer]:
        values = pixels["pixel_values"]
        seen = network.get_vision_features(values)
        of_words: list[list[Mapping[str, Tensor]]] = []
        for index in range(len(self.class_names)):
            text = {
                key: value[index : index + 1].to(values.device).repeat(len(values), 1)
                for key, value in self._text.items()
            }
            outputs = as_float32(network(vision_embeds=seen, **text))
            of_words.append(
                self.processor.post_process_object_detection(
                    outputs, threshold=self.floor, target_sizes=sizes_hw.tolist()
                )
            )
        return [
            Answer(
                torch.cat([one["boxes"] for one in of_photo]),
                torch.cat([one["scores"] for one in of_photo]),
                torch.cat(
                    [
                        torch.full(one["scores"].shape, index, device=values.device)
                        for index, one in enumerate(of_photo)
                    ]
                ),
            )
            for of_photo in zip(*of_words, strict=True)
        ]


def as_float32(outputs: Any) -> Any:
    """Return the outputs of a network with all numbers in float32, in place."""
    for key, value in outputs.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            outputs[key] = value.float()
    return outputs


def _without_stops(word: str) -> str:
    """Return a word as it stands between full stops, which separate words."""
    return " ".join(word.lower().replace(".", " ").split())


def _photo_of(word: str) -> str:
    return f"a photo of {'an' if word[0].lower() in 'aeiou' else 'a'} {word.lower()}"


def _check_length(words: Sequence[str], tokens: int, most: int, what: str) -> None:
    if tokens > most:
        raise UsageError(
            "bad_vocabulary",
            f"--vocabulary {','.join(words)!r:.80}: expected at most {most} tokens in {what}, got {tokens}; "
            "take fewer or shorter words",
        )
