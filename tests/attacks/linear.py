"""Linear classifiers, for which the distance to the decision boundary is a formula."""

import torch
from torch import Tensor, nn

SIDE = 6  # pixels


class Linear(nn.Module):
    """Logits are linear in the pixels."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            self.layer.weight.copy_(weight)
            self.layer.bias.copy_(bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(start_dim=1))


def linear_case(classes: int, *, scale: float = 1.0) -> tuple[Linear, Tensor, Tensor]:
    """Return a linear classifier, images and their classes. No pixel is 0 or 1 on the nearest boundary."""
    source = torch.Generator().manual_seed(classes)
    weight = torch.randn(classes, SIDE * SIDE, generator=source)
    towards = torch.nn.functional.normalize(weight[torch.arange(12) % classes], dim=1)
    images = 0.45 + 0.1 * torch.rand(12, SIDE * SIDE, generator=source) + 0.7 * towards
    bias = -0.5 * weight.sum(dim=1)
    images = images.reshape(12, 1, SIDE, SIDE)
    model = Linear(scale * weight, scale * bias)
    return model, images, model(images).argmax(dim=1)


def distances(model: Linear, images: Tensor, labels: Tensor, *, dual: float = 2) -> Tensor:
    """Return min over k of (z_y - z_k) / |w_y - w_k|, `(images,)`.

    Args:
        model: the classifier.
        images: `(images, 1, height, width)`.
        labels: their classes.
        dual: order of the dual norm: 2 for Euclidean distances, 1 for L-infinity.
    """
    logits, weight = model(images).detach(), model.layer.weight.detach()
    gaps = logits.gather(1, labels[:, None]) - logits
    lengths = torch.linalg.vector_norm(weight[labels][:, None] - weight, ord=dual, dim=2)
    return torch.where(lengths > 0, gaps / lengths, torch.inf).amin(dim=1)
