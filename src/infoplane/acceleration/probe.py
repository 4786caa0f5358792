"""Which way of computing is fastest here, for this network: tried, not guessed."""

import time
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration.choices import PLAIN, Choices
from infoplane.acceleration.network import AcceleratedNetwork

FEWEST_ROUNDS, MOST_ROUNDS = 5, 30
ENOUGH_SECONDS = 2.0  # for all rounds: short passes are tried more often
WORTH = 0.95  # of the plain time: what gains less is not worth other last bits


def fastest_choices(
    network: nn.Module, images: Tensor, candidates: Iterable[Choices], *, plain: bool = True
) -> Choices:
    """Time the input gradient of one batch under each candidate and return the fastest.

    Rounds go through all candidates in turn, so that a busy moment of the machine hits all alike; the least time of
    each counts. A candidate is left out if it fails, or if its gradients point elsewhere than the plain ones (cosine
    below 0.9).

    Args:
        network: in any mode; it is timed in its own, left as it was but for batch statistics.
        images: `(batch, channels, height, width)` float32 in [0, 1], in the size and layout of training.
        candidates: what is tried.
        plain: let `PLAIN` take part too; it stays unless another is clearly faster. Otherwise the first candidate does.
    """
    expected = _gradient(AcceleratedNetwork(network, PLAIN), images)
    asked = list(candidates)
    usual = PLAIN if plain else asked[0]
    models = {way: AcceleratedNetwork(network, way) for way in (usual, *asked)}
    models = {way: model for way, model in models.items() if way == usual or _agrees(model, images, expected)}
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
    return best if least[best] < WORTH * least[usual] else usual


def usual_candidates(device: torch.device) -> list[Choices]:
    """Return what is worth trying on a device."""
    precisions = ["32"]
    if device.type == "cuda":
        lower = [Choices(precision="bf16"), Choices(precision="bf16", graphs=True)]
        return [Choices(graphs=True), *(lower if torch.cuda.is_bf16_supported() else [])]
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():  # without, bfloat16 is emulated
        precisions.append("bf16")
    return [Choices(precision=one) for one in precisions]  # type: ignore[arg-type]


def _gradient(model: AcceleratedNetwork, images: Tensor) -> Tensor:
    with model.weights_held_still(), torch.enable_grad():
        pixels = images.detach().clone().requires_grad_()
        logits = model(pixels)
        labels = torch.arange(len(images), device=images.device) % logits.shape[1]
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), pixels)
    return gradient


def _agrees(model: AcceleratedNetwork, images: Tensor, expected: Tensor) -> bool:
    try:
        gradient = _gradient(model, images)
    except RuntimeError:  # a network that cannot be recorded, or a layer that has no lower precision
        return False
    return F.cosine_similarity(gradient.flatten().double(), expected.flatten().double(), dim=0).item() > 0.9
