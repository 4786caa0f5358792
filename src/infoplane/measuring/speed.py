"""Time how long a network takes for images: a pass, and a pass with the gradient that an attack takes."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import as_pixels, memory_format

_CALLS = 3  # the first may prepare things, and any may meet a busy moment
_LONG = 2.0  # seconds; a call that takes longer is not repeated


class Speed(NamedTuple):
    """Seconds for one image."""

    forward: float
    gradient: float  # of a forward and a backward pass to the image: one step of an attack


def speed(model: nn.Module, images: Tensor) -> Speed:
    """Time a network on a batch of images, in evaluation mode; the shortest of up to three calls counts.

    Args:
        model: any network from images to logits, on the device of the images.
        images: `(n, channels, height, width)` floats in [0, 1].
    """
    pixels = as_pixels(images, memory_format(model))

    def forward() -> None:
        with torch.no_grad():
            model(pixels)

    def gradient() -> None:
        varied = pixels.clone().requires_grad_()
        with torch.enable_grad():
            logits = logits_of(model(varied))
            labels = torch.zeros(len(varied), dtype=torch.long, device=varied.device)
            torch.autograd.grad(F.cross_entropy(logits, labels), varied)

    with evaluation_mode(model):
        return Speed(*(_shortest(work, pixels.device) / len(pixels) for work in (forward, gradient)))


def _shortest(work: Callable[[], None], device: torch.device) -> float:
    taken: list[float] = []
    while len(taken) < _CALLS and (not taken or taken[-1] < _LONG):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return min(taken)
