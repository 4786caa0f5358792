"""Multilayer perceptron, with ReLU or tanh."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.normalisation import Normalise

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Multilayer perceptron; maps images in [0, 1] to logits, `(batch, classes)`.

    With hidden layers of 1024 and 1024 units, 28 pixels and one channel it has 1,863,690 parameters. Vectors are images
    of one row: `MLP((10, 7, 5, 4, 3), "tanh", image_size=1, width=12, channels=1, classes=2)` is the network
    12-10-7-5-4-3-2 of the literature on information planes. With ReLU, weights are torch's defaults. With tanh, they
    start from a normal distribution of standard deviation 1 / sqrt(inputs), cut at two of them, and biases from 0.

    The probed layers are the outputs of the hidden layers, after the activation, and the logits.

    Args:
        hidden: units of each hidden layer, at least one number, each at least 1.
        activation: "relu" or "tanh".
        image_size: height in pixels, and width if `width` is None.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.
        width: in pixels; None if the images are square.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.
    """

    first_layer = "hidden.0.linear"

    def __init__(
        self,
        hidden: Sequence[int] = (1024, 1024),
        activation: str = "relu",
        image_size: int = 28,
        channels: int = 1,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        width: int | None = None,
    ) -> None:
        super().__init__()
        check_one_of(activation, [*ACTIVATIONS], name="activation")
        check_at_least(len(hidden), 1, name="the number of hidden layers")
        for units in hidden:
            check_at_least(units, 1, name="hidden")
        check_at_least(image_size, 1, name="image_size")
        check_at_least(classes, 2, name="classes")
        self.normalise = Normalise(channels, image_size, mean, std, width=width)
        sizes = [channels * image_size * (width or image_size), *hidden]
        self.hidden = nn.Sequential(*(_Hidden(before, after, activation) for before, after in pairwise(sizes)))
        self.linear = nn.Linear(sizes[-1], classes)
        self.probed_layers = (*(f"hidden.{place}" for place in range(len(hidden))), "linear")
        if activation == "tanh":
            self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                deviation = 1 / math.sqrt(module.in_features)
                nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, width)` in [0, 1]."""
        logits: Tensor = self.linear(self.hidden(self.normalise(images).flatten(start_dim=1)))
        return logits


class _Hidden(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, units_in: int, units_out: int, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(units_in, units_out)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, features: Tensor) -> Tensor:
        """Return `(batch, units_out)`."""
        found: Tensor = self.activation(self.linear(features))
        return found
