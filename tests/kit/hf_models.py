"""Tiny detectors of transformers with random weights, made here, in the layout of `save_pretrained`."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from detic_crop.detectors.hf.library import load_transformers, quietly

LABELS = {0: "dolphin", 1: "whale", 2: "boat"}
_SIZE = {"height": 64, "width": 64}
_EDGES = {"shortest_edge": 72, "longest_edge": 120}


def save_model(kind: str, folder: Path) -> Path:
    """Write a model of a kind of `KINDS` into a folder, which is made; the same one each time."""
    shutil.copytree(_made(kind), folder)
    return folder


@functools.cache
def _made(kind: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="detic-crop-hf-"))
    transformers = load_transformers()
    with quietly():
        torch.manual_seed(7)
        network, processor = KINDS[kind](transformers)
        _spread(network)
        network.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def _spread(network: Any) -> None:
    """Draw weights anew: as transformers makes them, all boxes and scores are nearly alike."""
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "logit" in name:
                continue
            if tensor.ndim > 1:
                is_table = any(word in name for word in ("query", "tokens", "embeddings"))
                tensor.normal_(0, 1.0 if is_table else 1.2 * tensor[0].numel() ** -0.5)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.2)


def _labels() -> dict[str, Any]:
    return {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}


def _resnet(t: Any, features: tuple[str, ...]) -> Any:
    return t.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 16, 20],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=list(features),
    )


_DETR = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_queries": 12,
}


def _detr(t: Any) -> Any:
    config = t.DetrConfig(backbone_config=_resnet(t, ("stage4",)), **_DETR, **_labels())
    return t.DetrForObjectDetection(config), t.DetrImageProcessor(size=_EDGES)


def _conditional_detr(t: Any) -> Any:
    config = t.ConditionalDetrConfig(backbone_config=_resnet(t, ("stage4",)), **_DETR, **_labels())
    return t.ConditionalDetrForObjectDetection(config), t.ConditionalDetrImageProcessor(size=_EDGES)


def _deformable_detr(t: Any) -> Any:
    backbone = _resnet(t, ("stage2", "stage3", "stage4"))
    config = t.DeformableDetrConfig(backbone_config=backbone, num_feature_levels=4, **_DETR, **_labels())
    return t.DeformableDetrForObjectDetection(config), t.DeformableDetrImageProcessor(size=_EDGES)


def _table_transformer(t: Any) -> Any:
    config = t.TableTransformerConfig(backbone_config=_resnet(t, ("stage4",)), **_DETR, **_labels())
    return t.TableTransformerForObjectDetection(config), t.DetrImageProcessor(size=_EDGES)


def _rt_detr_parts(t: Any) -> dict[str, Any]:
    return {
        "backbone_config": t.RTDetrResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 12, 16, 20],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        "encoder_hidden_dim": 16,
        "encoder_in_channels": [12, 16, 20],
        "encoder_ffn_dim": 16,
        "encoder_attention_heads": 2,
        "hidden_expansion": 0.5,
        "d_model": 16,
        "num_queries": 12,
        "decoder_in_channels": [16, 16, 16],
        "decoder_ffn_dim": 16,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        **_labels(),
    }


def _rt_detr(t: Any) -> Any:
    return t.RTDetrForObjectDetection(t.RTDetrConfig(**_rt_detr_parts(t))), t.RTDetrImageProcessor(size=_SIZE)


def _rt_detr_v2(t: Any) -> Any:
    network = t.RTDetrV2ForObjectDetection(t.RTDetrV2Config(**_rt_detr_parts(t)))
    return network, t.RTDetrImageProcessor(size=_SIZE)


def _d_fine(t: Any) -> Any:
    network = t.DFineForObjectDetection(t.DFineConfig(**_rt_detr_parts(t), lqe_hidden_dim=8))
    return network, t.RTDetrImageProcessor(size=_SIZE)


def _yolos(t: Any) -> Any:
    config = t.YolosConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 96],
        num_detection_tokens=12,
        **_labels(),
    )
    return t.YolosForObjectDetection(config), t.YolosImageProcessor(size=_EDGES)


def _rf_detr(t: Any) -> Any:
    config = t.RfDetrConfig(
        backbone_config=t.RfDetrDinov2Config(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=64,
            patch_size=16,
            num_windows=2,
            out_indices=[1, 2],
        ),
        d_model=16,
        decoder_ffn_dim=16,
        decoder_layers=2,
        decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2,
        num_queries=12,
        group_detr=1,
        **_labels(),
    )
    return t.RfDetrForObjectDetection(config), t.RfDetrImageProcessor(size=_SIZE)


def _bert_tokenizer(t: Any) -> Any:
    """A tokenizer of words with the special tokens at BERT's numbers, which Grounding DINO relies on."""
    words = ["whale", "dolphin", "sea", "lion", "seal", "por", "##poise", "manatee", "boat", "a"]
    vocab = {f"[unused{number}]": number for number in range(1040)}
    for number, token in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}.items():
        del vocab[f"[unused{number}]"]
        vocab[token] = number
    for number, token in {1012: ".", 1029: "?", **dict(enumerate(words, 1013))}.items():
        del vocab[f"[unused{number}]"]
        vocab[token] = number
    ordered = dict(sorted(vocab.items(), key=lambda item: item[1]))
    return t.BertTokenizerFast(vocab=ordered)


def _clip_tokenizer(t: Any, length: int) -> Any:
    """A tokenizer of single letters."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return t.CLIPTokenizerFast(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=length
    )


def _swin(t: Any) -> Any:
    return t.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        image_size=64,
        out_features=["stage2", "stage3", "stage4"],
    )


def _grounding_parts(t: Any) -> dict[str, Any]:
    return {
        **_DETR,
        "backbone_config": _swin(t),
        "text_config": t.BertConfig(
            vocab_size=1040,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
        ),
        "max_text_len": 40,
    }


def _grounding_dino(t: Any) -> Any:
    network = t.GroundingDinoForObjectDetection(t.GroundingDinoConfig(**_grounding_parts(t)))
    images = t.GroundingDinoImageProcessor(size=_EDGES)
    return network, t.GroundingDinoProcessor(images, _bert_tokenizer(t))


def _mm_grounding_dino(t: Any) -> Any:
    network = t.MMGroundingDinoForObjectDetection(t.MMGroundingDinoConfig(**_grounding_parts(t)))
    images = t.GroundingDinoImageProcessor(size=_EDGES)
    return network, t.GroundingDinoProcessor(images, _bert_tokenizer(t))


def _owl_parts() -> dict[str, Any]:
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    return {
        "text_config": {
            **small,
            "vocab_size": 190,
            "max_position_embeddings": 32,
            "bos_token_id": 188,
            "eos_token_id": 189,
            "pad_token_id": 189,
        },
        "vision_config": {**small, "image_size": 64, "patch_size": 16},
        "projection_dim": 16,
    }


def _owlvit(t: Any) -> Any:
    images = t.OwlViTImageProcessor(size=_SIZE, crop_size=_SIZE)
    processor = t.OwlViTProcessor(images, _clip_tokenizer(t, 32))
    return t.OwlViTForObjectDetection(t.OwlViTConfig(**_owl_parts())), processor


def _owlv2(t: Any) -> Any:
    processor = t.Owlv2Processor(t.Owlv2ImageProcessor(size=_SIZE), _clip_tokenizer(t, 32))
    return t.Owlv2ForObjectDetection(t.Owlv2Config(**_owl_parts())), processor


def _omdet(t: Any) -> Any:
    text = t.CLIPTextConfig(
        vocab_size=190,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=77,
        bos_token_id=188,
        eos_token_id=189,
        projection_dim=24,
    )
    config = t.OmDetTurboConfig(
        text_config=text,
        backbone_config=_swin(t),
        apply_layernorm_after_vision_backbone=False,
        image_size=64,
        text_projection_in_dim=24,
        text_projection_out_dim=24,
        task_encoder_hidden_dim=16,
        class_embed_dim=24,
        num_queries=12,
        encoder_hidden_dim=16,
        vision_features_channels=[16, 16, 16],
        encoder_in_channels=[16, 32, 64],
        encoder_attention_heads=2,
        encoder_dim_feedforward=16,
        decoder_hidden_dim=16,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=16,
    )
    images = t.DetrImageProcessor(size=_SIZE)
    return t.OmDetTurboForObjectDetection(config), t.OmDetTurboProcessor(images, _clip_tokenizer(t, 77))


def _sam3(t: Any) -> Any:
    part = {"hidden_size": 16, "num_attention_heads": 2}
    layers = {**part, "num_layers": 1, "intermediate_size": 16}
    config = t.Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                **part,
                "intermediate_size": 16,
                "num_hidden_layers": 2,
                "image_size": 56,
                "pretrain_image_size": 56,
                "window_size": 2,
                "global_attn_indexes": [1],
            },
            "fpn_hidden_size": 16,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            **part,
            "vocab_size": 190,
            "num_hidden_layers": 1,
            "intermediate_size": 16,
            "max_position_embeddings": 32,
            "bos_token_id": 188,
            "eos_token_id": 189,
            "projection_dim": 16,
        },
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 12},
        mask_decoder_config=part,
    )
    images = t.Sam3ImageProcessor(size={"height": 56, "width": 56})
    return t.Sam3Model(config), t.Sam3Processor(images, _clip_tokenizer(t, 32))


BY_LABEL = (
    *("detr", "conditional_detr", "deformable_detr", "table_transformer", "rt_detr", "rt_detr_v2"),
    *("d_fine", "yolos", "rf_detr"),
)
BY_WORDS = ("grounding_dino", "mm_grounding_dino", "owlvit", "owlv2", "omdet", "sam3")

KINDS: dict[str, Callable[[Any], Any]] = {
    "detr": _detr,
    "conditional_detr": _conditional_detr,
    "deformable_detr": _deformable_detr,
    "table_transformer": _table_transformer,
    "rt_detr": _rt_detr,
    "rt_detr_v2": _rt_detr_v2,
    "d_fine": _d_fine,
    "yolos": _yolos,
    "rf_detr": _rf_detr,
    "grounding_dino": _grounding_dino,
    "mm_grounding_dino": _mm_grounding_dino,
    "owlvit": _owlvit,
    "owlv2": _owlv2,
    "omdet": _omdet,
    "sam3": _sam3,
}
"""Name → function from the package to (network, processor)."""
