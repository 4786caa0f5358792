"""Seeded random generators, one per purpose, so that more draws for one purpose never change another."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def stable_seed(*parts: int | str) -> int:
    """Hash `parts` to a 63-bit seed that is the same on every machine and in every process."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seeded_generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator on `device`, seeded by a stable hash of e.g. (seed, purpose, training, epoch, layer)."""
    return torch.Generator(device=device).manual_seed(stable_seed(*parts))


class PartGenerator(torch.Generator):
    """Generator of a process that has some rows of each batch. It draws for the whole batch and keeps its own rows.

    So the draws of an image do not depend on the number of processes that share the batch.
    """

    rows = slice(None)
    images = 0  # in the whole batch

    @property
    def own(self) -> int:
        """Number of images of the batch that this process has."""
        return len(range(self.images)[self.rows])

    def of_batch(self, rows: slice, images: int) -> "PartGenerator":
        """Use this generator for the given rows of a batch of `images` images from now on."""
        self.rows, self.images = rows, images
        return self


def draw_per_image(
    distribution: Callable[..., Tensor], shape: tuple[int, ...], generator: torch.Generator, *, dtype: torch.dtype
) -> Tensor:
    """Return `shape` draws, the first dimension over images, on the generator's device.

    Args:
        distribution: `torch.rand` or `torch.randn`.
        shape: shape of the result.
        generator: source of the draws. A `PartGenerator` draws for the images of other processes too, if the first
            dimension is the number of its own images; otherwise it draws `shape` alone.
        dtype: type of the draws.
    """
    if isinstance(generator, PartGenerator) and shape[0] == generator.own:
        whole = (generator.images, *shape[1:])
        return distribution(whole, generator=generator, device=generator.device, dtype=dtype)[generator.rows]
    return distribution(shape, generator=generator, device=generator.device, dtype=dtype)


@contextmanager
def isolated_array_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy and of Python's `random` inside the block, and restore them after it.

    Third-party code on arrays draws from them, e.g. attack libraries and functions that shuffle data.
    """
    arrays, python = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(arrays)  # noqa: NPY002
        random.setstate(python)


@contextmanager
def isolated_global_generator(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block, and restore them after it.

    Layers such as dropout can only draw from the global generators. This makes their draws reproducible, and the
    caller's draws independent of them.
    """
    device = torch.device(device)
    index = None
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
    with torch.random.fork_rng(devices=[] if index is None else [index]):
        # Not torch.manual_seed: it would also seed the devices that fork_rng does not restore.
        torch.default_generator.manual_seed(seed)
        if index is not None:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
