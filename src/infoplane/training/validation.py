"""What held-out training images say of a network, for best checkpoints and early stopping; test data is not used."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.attacks import PGD
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.text import with_field_help
from infoplane.training.liveness import constant_accuracy
from infoplane.training.normal import classified

BATCH = 250
# From a network, original images, attacked ones and their labels to information in nats.
Information = Callable[[nn.Module, Tensor, Tensor, Tensor], float]


@with_field_help
class Judgement(NamedTuple):
    """How a network does on the held-out images.

    Attributes:
        accuracy: on the attacked images, or on the original ones if there is no attack.
        information: decoded from a layer for the same images, in nats; None where it is not asked for.
    """

    accuracy: float
    information: float | None = None


class Validation:
    """Held-out images, and the attack under which a network is judged on them.

    Args:
        images: `(n, channels, height, width)` uint8, on the device of the models.
        labels: `(n,)` integers, on the same device.
        attack: the attack; None for networks that are not trained on attacked images.
        information: computes the information for `Judgement`; None leaves it out.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, attack: PGD | None, information: Information | None = None
    ) -> None:
        self._images, self._labels, self._attack, self._information = images, labels, attack, information
        self.constant_accuracy = constant_accuracy(labels, len(labels))  # the highest that a constant answer explains

    def judge(self, model: nn.Module) -> Judgement:
        """Judge `model` on the attacked images; every call uses the same random draws."""
        generator = torch.Generator(device=self._images.device).manual_seed(0)
        right, layout = torch.zeros((), dtype=torch.long, device=self._images.device), memory_format(model)
        kept: list[tuple[Tensor, Tensor]] = []  # originals and attacked images, if information needs them
        with evaluation_mode(model):
            batches = zip(torch.split(self._images, BATCH), torch.split(self._labels, BATCH), strict=True)
            for images, labels in batches:
                originals = pixels = as_pixels(images, layout)
                if self._attack is not None:
                    pixels = self._attack(model, pixels, labels, generator=generator)
                with torch.no_grad():
                    right += classified(model(pixels), labels)
                if self._information is not None:
                    kept.append((originals, pixels))
            information = None
            if self._information is not None:
                originals, attacked = (torch.cat(parts) for parts in zip(*kept, strict=True))
                information = self._information(model, originals, attacked, self._labels)
        return Judgement(int(right) / len(self._labels), information)
