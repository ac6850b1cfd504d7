"""What this processor is good at: decides, once for a network, in which form its layers run.

Judged by the processor's instructions and not by a stopwatch, so that every run on a machine judges alike.
"""

from __future__ import annotations

import torch

from detic_crop.config import Precision


def slow_precision(device: str, precision: Precision) -> bool:
    """Return whether the CPU lacks the instructions for `precision`, so that it would be emulated."""
    if torch.device(device).type != "cpu" or precision == "float32":
        return False
    supported = "is_mkldnn_bf16_supported" if precision == "bfloat16" else "is_mkldnn_fp16_supported"
    check = getattr(torch.ops.mkldnn, f"_{supported}", None)
    try:
        return check is None or not check()
    except RuntimeError:  # PyTorch without oneDNN
        return True


def computes_fast(dtype: torch.dtype) -> bool:
    """Return whether there are forms of our own for this number format, and the CPU has its products."""
    return dtype == torch.float32 or (dtype == torch.bfloat16 and not slow_precision("cpu", "bfloat16"))


def pays_to_pack(dtype: torch.dtype) -> bool:
    """Return whether oneDNN multiplies faster with weights that it has packed than PyTorch does without.

    float32: with AVX2 and no AVX-512, Intel's BLAS multiplies 10 to 20 % faster, and oneDNN's GELU halves
    the speed of the layer it follows (measured on Zen 3). bfloat16: where the CPU has its products.
    """
    if dtype != torch.float32:
        return computes_fast(dtype)
    return torch.backends.cpu.get_cpu_capability() != "AVX2" or not torch._C.has_mkl


def winograd_pays(dtype: torch.dtype) -> bool:
    """Return whether Winograd in float32 beats a direct convolution of 256 channels in `dtype`.

    AVX-512 makes twice as many products in bfloat16 as in float32, so a quarter of the products wins, and
    rounds less. AMX makes 16 times as many. (A PyTorch that cannot tell is taken for one on AMX.)
    """
    if dtype == torch.float32:
        return True
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return has_amx is not None and not has_amx()
