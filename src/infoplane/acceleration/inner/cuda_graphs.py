"""An attack's passes as CUDA graphs. Experimental: not yet run on a GPU, only with a stand-in in the tests.

A small network's kernels take less time than their launches; a graph launches all of them at once.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

MOST_SHAPES = 4  # recorded at once: the usual batch, and shorter ones at the end of an epoch


class GraphedPasses:
    """The forward and backward pass to the images, recorded once per shape of a batch and then replayed.

    Every replay writes its result to the same memory: use the result, and take its gradient, before the next replay.
    Weights are read where they lie, so that updates in place are seen; when a weight moves to other memory, all passes
    are recorded again.

    Args:
        network: on a GPU; gives weights and modes.
        run: from images to logits, with those weights.
    """

    def __init__(self, network: nn.Module, run: Callable[[Tensor], Tensor]) -> None:
        self._network, self._run = network, run
        self._addresses: tuple[int, ...] = ()
        self._recorded: dict[tuple[Any, ...], Callable[[Tensor], Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of images that require a gradient, `(batch, channels, height, width)`."""
        addresses = tuple(tensor.data_ptr() for tensor in (*self._network.parameters(), *self._network.buffers()))
        if addresses != self._addresses:
            self._recorded.clear()
            self._addresses = addresses
        shape = (images.shape, images.stride(), images.dtype)
        if shape not in self._recorded:
            if len(self._recorded) == MOST_SHAPES:
                return self._run(images)
            self._recorded[shape] = record(self._run, images.detach().clone().requires_grad_())
        return self._recorded[shape](images)

    def can_replay(self, images: Tensor) -> bool:
        """Return whether an attack makes this pass: frozen weights, evaluation mode, gradients to the images."""
        return (
            images.requires_grad
            and torch.is_grad_enabled()
            and not any(weights.requires_grad for weights in self._network.parameters())
            and not any(module.training for module in self._network.modules())
        )


def record(run: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[Tensor], Tensor]:
    """Return `run` as two CUDA graphs.

    Raises:
        RuntimeError: it cannot be recorded, for example because the network looks at values.
    """
    return cast(Callable[[Tensor], Tensor], torch.cuda.make_graphed_callables(run, (images,)))
