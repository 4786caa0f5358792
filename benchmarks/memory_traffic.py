"""How much memory a step moves, and how much this device could have moved meanwhile."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

COPIED = 2**28  # bytes: far beyond any cache


class MovedBytes(TorchDispatchMode):
    """Adds up, inside the block, the bytes of what operations read and of what they write.

    Caches spare some of it, and library calls may move more inside: it is a measure of the work, not a counter of the
    hardware.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not any(given.alias_info is not None and not given.alias_info.is_write for given in func._schema.returns):
            self.total += sum(_bytes(tensor) for tensor in _tensors((args, kwargs, result)))
        return result


def bytes_per_second(device: torch.device) -> float:
    """Return what a copy far beyond the caches reads and writes."""
    source = torch.zeros(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED / min(_seconds(lambda: target.copy_(source), device) for _ in range(5))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _bytes(tensor: Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
