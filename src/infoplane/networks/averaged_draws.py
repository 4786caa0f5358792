"""`AveragedDraws`: a stochastic network that classifies by the mean of its softmax over several draws."""

import math

from torch import Tensor, nn

from infoplane.checks import check_at_least
from infoplane.networks.gaussian_layer import drawing, stochastic_layers
from infoplane.networks.logits import logits_of

DRAWS = 12  # of Alemi et al. (2017), Section 4.1


class AveragedDraws(nn.Module):
    """Network whose logits are the log of the mean softmax over draws of its Gaussian layers, `(batch, classes)`.

    Each pass draws anew from torch's global generators, in evaluation mode too; `isolated_global_generator(seed)`
    repeats the draws. Gradients reach the images and the weights. What comes before the first Gaussian layer runs once
    per image; what comes after it, once per draw. Source: Alemi et al. (2017), arXiv:1612.00410, Section 4.1.

    Args:
        model: network with a `GaussianLayer`; its weights and its mode are shared, not copied.
        draws: at least 1.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, something in the network mixes or skips
            rows around the Gaussian layer, so that it does not return each draw of each image.
    """

    def __init__(self, model: nn.Module, draws: int = DRAWS) -> None:
        super().__init__()
        check_at_least(draws, 1, name="draws")
        stochastic_layers(model)
        self.model, self.draws = model, draws
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, whose softmax is the mean softmax over the draws."""
        with drawing(self.model, draws=self.draws, rows=len(images)):
            logits = logits_of(self.model(images))
        if len(logits) != self.draws * len(images):
            raise ValueError(
                f"{type(self.model).__name__} returned {len(logits)} rows for {self.draws} draws of {len(images)} "
                "images; every path from the images to the logits must lead through a GaussianLayer"
            )
        each = logits.log_softmax(dim=1).reshape(self.draws, len(images), -1)
        return each.logsumexp(dim=0) - math.log(self.draws)
