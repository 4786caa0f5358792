"""Small planes of a training loop of one's own, for tests."""

import torch
from torch import Tensor, nn

from infoplane import InformationPlane
from infoplane.attacks import LinfPGD
from infoplane.config import MeasurementConfig

ATTACK = LinfPGD(epsilon=0.1, step_size=0.05, steps=3)
SETTINGS = MeasurementConfig(permutations=2, decoder_permutations=1, noise_sweep=(1.0,), inputs=0)
IMAGES, CLASSES = 40, 3


class Small(nn.Module):
    """A network of two layers."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.hidden = nn.Linear(36, 8)
        self.last = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.hidden(images.flatten(1)).relu())


def make() -> Small:
    """Return the network, for --model."""
    return Small()


def small(seed: int = 0) -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small()


def examples(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images of 6 x 6 pixels on the grid of bytes, whose label shows in their brightness."""
    labels = torch.arange(IMAGES) % CLASSES
    noise = torch.randint(0, 80, (IMAGES, 1, 6, 6), generator=torch.Generator().manual_seed(seed))
    return ((noise + 70 * labels[:, None, None, None]).float() / 255), labels


def plane(**more) -> InformationPlane:
    """Return a plane that has measured nothing yet."""
    usual = {"attack": ATTACK, "settings": SETTINGS, "class_names": ("cat", "dog", "owl"), "name": "mine"}
    return InformationPlane(*examples(), **{**usual, **more})


def measured(epochs: int = 1, *, training: str = "normal", **more) -> InformationPlane:
    """Return a plane that has measured a different network at each epoch, the last one as the final one."""
    own = plane(**more)
    for epoch in range(epochs + 1):
        own.measure(small(epoch), epoch=epoch, training=training, thorough=epoch == epochs, final=epoch == epochs)
    return own
