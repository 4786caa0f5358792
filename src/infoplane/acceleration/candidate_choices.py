"""Ways of computing that are worth timing for a network."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import Choices


def candidates(network: nn.Module, images: Tensor, precision: Literal["auto", "bf16"] = "auto") -> list[Choices]:
    """Return the ways of computing that are worth timing for a network on its processor.

    First each precision alone. On a CPU the list goes on with traced programs, where tracing gives the same logits and
    gradients: without and with the convolutions that a short timing finds faster row by row, in their own precision.
    On a GPU it has each precision with CUDA graphs too (experimental: not yet run on a GPU).

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)` in the size, layout and device of training.
        precision: "bf16" for bfloat16 alone; "auto" for float32, and bfloat16 where the processor computes it.

    Returns:
        The plainest way first: the one to keep unless another is clearly faster.
    """
    ways = [Choices(precision="bf16")]
    if precision == "auto":
        ways = [Choices(), *(ways if _has_bfloat16(images.device) else [])]
    if images.is_cuda:
        return [replace(way, cuda_graphs=graphs) for way in ways for graphs in (False, True)]
    from infoplane.acceleration.inner.convolution_timing import with_faster_convolutions
    from infoplane.acceleration.inner.trace_check import traces_correctly
    from infoplane.acceleration.inner.tracing import poolable_convolutions

    if not traces_correctly(network, images[:8]):
        return ways
    poolable = poolable_convolutions(network)
    traced = [replace(way, traced=True) for way in ways]
    fastest = [with_faster_convolutions(way, network, images, poolable) for way in traced]
    unpooled = [replace(way, rowwise_pooled=()) for way in fastest]
    return list(dict.fromkeys([*ways, *traced, *unpooled, *fastest]))


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for bfloat16; without them it is emulated and slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
