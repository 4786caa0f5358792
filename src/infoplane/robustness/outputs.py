"""Properties of a network's outputs that mislead attacks: random outputs, and probabilities in place of logits."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.measuring.evaluate import BATCH
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import copied_pixels, memory_format


class Outputs(NamedTuple):
    """What two passes over the same images show."""

    differing: int  # images whose outputs differ between the passes
    images: int
    look_like_softmax: bool  # every output is at least 0 and all outputs of an image sum to 1


def look_at_outputs(model: nn.Module, images: Tensor) -> Outputs:
    """Pass a batch of images twice.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)`; the first `BATCH` are used.
    """
    layout = memory_format(model)
    with torch.no_grad():
        first, second = (logits_of(model(copied_pixels(images[:BATCH], layout))).float() for _ in range(2))
    sums = (first.sum(dim=1) - 1).abs() < 1e-3
    softmax = bool((sums & (first >= 0).all(dim=1)).all())
    return Outputs(int((first != second).any(dim=1).sum()), len(first), softmax)
