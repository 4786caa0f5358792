"""Multilayer perceptron with a stochastic bottleneck: encoder, Gaussian noise of the network's own, decoder."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.normalisation import Normalise
from infoplane.networks.gaussian_layer import GaussianLayer

NOISES = ("diagonal", "scalar", "unit")


class BottleneckMLP(nn.Module):
    """Perceptron whose narrow layer adds noise of its own; maps images in [0, 1] to logits, `(batch, classes)`.

    The encoder ends in a linear layer, the mean of the code. `GaussianLayer` draws the code. The decoder maps it to
    logits. The noise is one of:

    - "diagonal": a variance per image and unit, softplus(rho - 5) squared, where the encoder also computes rho. Source:
      Alemi et al. (2017), arXiv:1612.00410, Section 4 (VIB).
    - "scalar": one trainable variance, softplus of a parameter, which starts at 1. Source: Kolchinsky, Tracey & Wolpert
      (2019), Entropy 21(12), 1181 (NIB).
    - "unit": variance 1, and `class_means`, `(classes, code)`: the means of the backward encoder b(z|y) = N(mean of the
      class, I). Source: Fischer (2020), Entropy 22(9), 999 (CEB).

    The probed layers are the outputs of the encoder's hidden layers, of the code, of the decoder's hidden layers, and
    the logits.

    Args:
        hidden: units of the encoder's hidden layers; may be empty.
        code: number of units of the code.
        decoder: units of the decoder's hidden layers; may be empty.
        noise: see above.
        image_size: height in pixels, and width if `width` is None.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.
        width: in pixels; None if the images are square.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.
    """

    first_layer: str

    def __init__(
        self,
        hidden: Sequence[int] = (1024, 1024),
        code: int = 256,
        decoder: Sequence[int] = (),
        noise: str = "diagonal",
        image_size: int = 28,
        channels: int = 1,
        classes: int = 10,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.5,
        width: int | None = None,
    ) -> None:
        super().__init__()
        check_one_of(noise, list(NOISES), name="noise")
        for name, sizes in (("hidden", hidden), ("decoder", decoder), ("code", [code])):
            for units in sizes:
                check_at_least(units, 1, name=name)
        check_at_least(image_size, 1, name="image_size")
        check_at_least(classes, 2, name="classes")
        self.noise = noise
        self.normalise = Normalise(channels, image_size, mean, std, width=width)
        pixels = channels * image_size * (width or image_size)
        self.hidden = _relu_layers([pixels, *hidden])
        self.encode = nn.Linear([pixels, *hidden][-1], 2 * code if noise == "diagonal" else code)
        self.code = GaussianLayer()
        self.decoder = _relu_layers([code, *decoder])
        self.linear = nn.Linear([code, *decoder][-1], classes)
        if noise == "scalar":
            self.raw_variance = nn.Parameter(torch.tensor(math.log(math.e - 1)))  # softplus of it is 1
        if noise == "unit":
            self.class_means = nn.Parameter(torch.randn(classes, code) / math.sqrt(classes))
        self.first_layer = "hidden.0.0" if hidden else "encode"
        encoder = (f"hidden.{place}" for place in range(len(hidden)))
        self.probed_layers = (*encoder, "code", *(f"decoder.{place}" for place in range(len(decoder))), "linear")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, width)` in [0, 1]."""
        encoded = self.encode(self.hidden(self.normalise(images).flatten(start_dim=1)))
        if self.noise == "diagonal":
            units = encoded.shape[1] // 2
            encoded, rho = encoded[:, :units], encoded[:, units:]
            variance = F.softplus(rho - 5).square()
        elif self.noise == "scalar":
            variance = F.softplus(self.raw_variance)
        else:
            variance = torch.ones((), dtype=encoded.dtype, device=encoded.device)
        logits: Tensor = self.linear(self.decoder(self.code(encoded, variance)))
        return logits


def _relu_layers(sizes: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*(nn.Sequential(nn.Linear(before, after), nn.ReLU()) for before, after in pairwise(sizes)))
