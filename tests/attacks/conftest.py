"""A trained network that the tests of attacks share."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import infoplane
from infoplane.models import LeNet5, construct


class Digits(NamedTuple):
    """A network that learned the digits, and test images that it classifies correctly."""

    model: nn.Module  # in evaluation mode, without any defence
    images: Tensor
    labels: Tensor

    def accuracy(self, images: Tensor) -> float:
        """Share of images, versions of the first ones, that are still classified correctly."""
        with torch.no_grad():
            return (self.model(images).argmax(dim=1) == self.labels[: len(images)]).double().mean().item()


@pytest.fixture(scope="session")
def digits() -> Digits:
    """LeNet-5 on scikit-learn's digits at 28x28, trained for about a second."""
    train, test = (infoplane.data.load_split("digits", split) for split in ("train", "test"))
    images, labels = infoplane.data.as_floats(train.images), train.labels.long()
    model, epochs, size = construct(LeNet5, seed=0), 5, 32
    draws, optimiser = torch.Generator().manual_seed(0), torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * -(-len(images) // size))
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=draws).split(size):
            optimiser.zero_grad()
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    model.eval()
    images, labels = infoplane.data.as_floats(test.images), test.labels.long()
    with torch.no_grad():
        right = model(images).argmax(dim=1) == labels
    assert right.double().mean() > 0.9
    return Digits(model, images[right], labels[right])
