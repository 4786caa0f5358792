"""Validation accuracy on held-out training images, for best checkpoints and early stopping; test data is not used."""

import torch
from torch import Tensor, nn

from infoplane.attacks import PGD
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.training.normal import classified

BATCH = 250


class Validation:
    """Held-out images, and the attack under which accuracy on them is computed.

    Args:
        images: `(n, channels, height, width)` uint8, on the device of the models.
        labels: `(n,)` integers, on the same device.
        attack: the attack; None for networks that are not trained on attacked images.
    """

    def __init__(self, images: Tensor, labels: Tensor, attack: PGD | None) -> None:
        self._images, self._labels, self._attack = images, labels, attack

    def accuracy(self, model: nn.Module) -> float:
        """Return the accuracy of `model` on the attacked images; every call uses the same random draws."""
        generator = torch.Generator(device=self._images.device).manual_seed(0)
        right, layout = torch.zeros((), dtype=torch.long, device=self._images.device), memory_format(model)
        with evaluation_mode(model):
            batches = zip(torch.split(self._images, BATCH), torch.split(self._labels, BATCH), strict=True)
            for images, labels in batches:
                pixels = as_pixels(images, layout)
                if self._attack is not None:
                    pixels = self._attack(model, pixels, labels, generator=generator)
                with torch.no_grad():
                    right += classified(model(pixels), labels)
        return int(right) / len(self._labels)
