"""Matrix products at the precision of their operands, whatever the caller allowed for training."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Switch autocast, TF32 and bfloat16 products off inside the block, and put the caller's choice back.

    A distance is a small difference of large products: ten bits of mantissa fabricate whole nats.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        # torch 2.9 keeps one setting per backend and refuses to read the older, global one once they differ.
        backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
        if all(hasattr(backend, "fp32_precision") for backend in backends):
            for backend in backends:
                stack.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                backend.fp32_precision = "ieee"
        else:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        yield
