"""Time several ways of computing a network and choose the fastest."""

import time
from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices, wrap

FEWEST_ROUNDS, MOST_ROUNDS = 5, 30
ENOUGH_SECONDS = 2.0  # for all rounds: short passes are timed more often
CLEARLY_FASTER = 0.95  # share of the first way's time: for a smaller gain it is not worth changing the last bits
LEAST_COSINE = 0.9  # smallest cosine to the plain gradient


def fastest(network: nn.Module, images: Tensor, ways: Sequence[Choices]) -> Choices:
    """Time the input gradient of one batch in each way and return the fastest.

    Every round times all ways in turn, so that a busy moment of the machine slows all of them. The shortest time of
    each counts. A way is excluded if it fails, or if its gradient has a cosine below 0.9 to the gradient of the
    network itself.

    Args:
        network: timed in its current mode; only its batch statistics change.
        images: `(batch, channels, height, width)` float32 in [0, 1], in the size and layout of training.
        ways: at least one, from `candidates`. The first is kept unless another is clearly faster.
    """
    expected = _gradient(network, images)
    models = {way: wrap(network, way) for way in ways}
    models = {way: model for way, model in models.items() if way == ways[0] or _agrees(model, images, expected)}
    least = dict.fromkeys(models, float("inf"))
    start = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= FEWEST_ROUNDS and time.perf_counter() - start > ENOUGH_SECONDS:
            break
        for way, model in models.items():
            began = time.perf_counter()
            _gradient(model, images)
            if images.is_cuda:
                torch.cuda.synchronize(images.device)
            least[way] = min(least[way], time.perf_counter() - began)
    best = min(models, key=lambda way: least[way])
    return best if least[best] < CLEARLY_FASTER * least[ways[0]] else ways[0]


def _gradient(model: nn.Module, images: Tensor) -> Tensor:
    """Return the gradient of the summed cross-entropy with respect to the images, as in an attack."""
    frozen = model.frozen_weights() if isinstance(model, AcceleratedNetwork) else nullcontext()
    with frozen, torch.enable_grad():
        pixels = images.detach().clone().requires_grad_()
        logits = model(pixels)
        labels = torch.arange(len(images), device=images.device) % logits.shape[1]
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), pixels)
    return gradient


def _agrees(model: nn.Module, images: Tensor, expected: Tensor) -> bool:
    try:
        gradient = _gradient(model, images)
    except RuntimeError:  # e.g. a network that cannot be traced, or a layer without lower precision
        return False
    cosine = F.cosine_similarity(gradient.flatten().double(), expected.flatten().double(), dim=0).item()
    return cosine > LEAST_COSINE
