"""A small network for digits, trained in a second, and ways to mask its gradients."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoplane.attacks import LinfPGD
from infoplane.attacks.contract import Ball
from infoplane.data import as_floats, load_split

BALL = Ball("linf", 0.1)


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    test = load_split("digits", "test")
    return as_floats(test.images[:200]), test.labels[:200]


@functools.cache
def trained(*, adversarially: bool, seed: int = 0) -> nn.Module:
    """Return a multilayer perceptron in evaluation mode."""
    train = load_split("digits", "train")
    images, labels = as_floats(train.images[:600]), train.labels[:600]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    attack = LinfPGD(epsilon=0.1, steps=3, random_start=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(12):
        for rows in torch.randperm(len(images), generator=generator).split(100):
            pixels, classes = images[rows], labels[rows]
            if adversarially:
                pixels = attack(model, pixels, classes, generator=generator)
            optimiser.zero_grad()
            F.cross_entropy(model(pixels), classes).backward()
            optimiser.step()
    return model.eval().requires_grad_(requires_grad=False)


class Quantised(nn.Module):
    """Rounds the pixels before the network: the gradient is zero everywhere."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images * 8).round() / 8)


class Cold(nn.Module):
    """Softmax at temperature 1e-3: probabilities are 0 and 1 in float32, and gradients vanish."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return (self.network(images) / 1e-3).softmax(dim=1)


class Noisy(nn.Module):
    """Adds noise to the logits, also in evaluation mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        return logits + torch.randn_like(logits)
