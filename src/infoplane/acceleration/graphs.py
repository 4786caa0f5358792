"""An attack's passes through a network as CUDA graphs: a small network's kernels are shorter than their launches."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

MOST_SHAPES = 4  # recorded at once: batches, and the short one at the end of an epoch


class GraphedPasses:
    """The forward and backward pass to the images, recorded once per shape of a batch and replayed.

    What a replay returns lies in the same memory each time: it must have been used, and gone backward from, before the
    next. Weights are read where they lie, so updates in place are seen; when they have moved, all is recorded anew.

    Args:
        network: whose weights and modes decide; on a GPU.
        passed: from images to logits, with those weights.
    """

    def __init__(self, network: nn.Module, passed: Callable[[Tensor], Tensor]) -> None:
        self._network, self._passed = network, passed
        self._places: tuple[int, ...] = ()
        self._recorded: dict[tuple[Any, ...], Callable[[Tensor], Tensor]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of images that require a gradient, `(batch, channels, height, width)`."""
        places = tuple(tensor.data_ptr() for tensor in (*self._network.parameters(), *self._network.buffers()))
        if places != self._places:
            self._recorded.clear()
            self._places = places
        shape = (images.shape, images.stride(), images.dtype)
        if shape not in self._recorded:
            if len(self._recorded) == MOST_SHAPES:
                return self._passed(images)
            self._recorded[shape] = record(self._passed, images.detach().clone().requires_grad_())
        return self._recorded[shape](images)

    def can_replay(self, images: Tensor) -> bool:
        """Whether the pass is an attack's on a network at rest: no weights' gradients, statistics or dropout."""
        return (
            images.requires_grad
            and torch.is_grad_enabled()
            and not any(weights.requires_grad for weights in self._network.parameters())
            and not any(module.training for module in self._network.modules())
        )


def record(passed: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[Tensor], Tensor]:
    """Return `passed` as two CUDA graphs; a network that looks at values on its way cannot be recorded.

    Raises:
        RuntimeError: it cannot.
    """
    return cast(Callable[[Tensor], Tensor], torch.cuda.make_graphed_callables(passed, (images,)))
