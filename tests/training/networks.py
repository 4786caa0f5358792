"""Small networks and batches on which training methods are compared with loops written out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.models import construct
from infoplane.networks.gaussian_layer import GaussianLayer


class Small(nn.Module):
    """Normalisation, a named first layer, batch statistics, and dropout if asked for."""

    first_layer = "conv"

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(144, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.conv(2 * images - 1)))
        return self.linear(self.dropout(features.flatten(1)))


def network(dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> Small:
    """The same weights at every call, in training mode; float64, so that comparisons are sharp."""
    return construct(lambda: Small(dropout), seed=0).to(dtype).train()


class Coded(Small):
    """`Small` with a stochastic layer of four units before the logits, and trained noise of one variance."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.encode = nn.Linear(144, 4)
        self.code = GaussianLayer()
        self.raw_variance = nn.Parameter(torch.tensor(0.5))
        self.linear = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.conv(2 * images - 1)))
        mean = self.encode(self.dropout(features.flatten(1)))
        return self.linear(self.code(mean, F.softplus(self.raw_variance)))


def coded_network(dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> Coded:
    """Like `network`, with noise of the network's own, which torch's global generator draws."""
    return construct(lambda: Coded(dropout), seed=0).to(dtype).train()


class Backward(Coded):
    """`Coded` with a mean of the code for each class, the backward encoder of CEB."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.class_means = nn.Parameter(torch.arange(12.0).reshape(3, 4).sin())


def backward_network(dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> Backward:
    """Like `coded_network`, with the means that CEB trains."""
    return construct(lambda: Backward(dropout), seed=0).to(dtype).train()


def batch(size: int = 6, seed: int = 1, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and labels."""
    source = torch.Generator().manual_seed(seed)
    return torch.rand(size, 1, 8, 8, generator=source, dtype=dtype), torch.arange(size) % 3


def seeded(seed: int = 2) -> torch.Generator:
    """The generator that a method draws from."""
    return torch.Generator().manual_seed(seed)


def sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.SGD:
    """Plain gradient descent, so that an update shows its gradient."""
    return torch.optim.SGD(model.parameters(), lr=rate)


def uniform_start(images: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """x + U(-epsilon, epsilon), clamped to [0, 1]: the first draw of every method that starts at random."""
    noise = torch.rand(images.shape, generator=generator, dtype=images.dtype)
    return (images + epsilon * (2 * noise - 1)).clamp(0, 1)


def project(attacked: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Into the L-infinity ball, then into [0, 1]."""
    return torch.max(torch.min(attacked, images + epsilon), images - epsilon).clamp(0, 1)


def assert_moved_by(model: nn.Module, before: nn.Module, gradients: list[Tensor], rate: float = 0.1) -> None:
    """One step of plain descent along `gradients`, from the weights of `before`."""
    for moved, start, gradient in zip(model.parameters(), before.parameters(), gradients, strict=True):
        assert torch.allclose(moved, start - rate * gradient, atol=1e-9)


def assert_same_weights(model: nn.Module, other: nn.Module) -> None:
    """Weights and running statistics."""
    found, expected = model.state_dict(), other.state_dict()
    assert all(torch.allclose(found[name].double(), expected[name].double(), atol=1e-9) for name in expected)
