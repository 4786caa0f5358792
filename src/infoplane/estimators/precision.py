"""Precision of matrix products: that of their operands, without TF32 or autocast, and the fastest one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Switch autocast, TF32 and bfloat16 products off inside the block, and restore the caller's settings after it.

    A distance is a small difference of large products: with ten bits of mantissa the error would be whole nats.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        # torch 2.9 has one setting per backend, and raises an error for the older, global one if they differ.
        backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
        if all(hasattr(backend, "fp32_precision") for backend in backends):
            for backend in backends:
                stack.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                backend.fp32_precision = "ieee"
        else:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        yield


def fastest_type(device: torch.device) -> torch.dtype:
    """Return bfloat16 on a CPU that has instructions for it, else float32."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if device.type == "cpu" and fast else torch.float
