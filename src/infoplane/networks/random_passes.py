"""Networks that draw random numbers in evaluation mode: one draw, the mean of several, or the same draws each time."""

import math

import torch
from torch import Tensor, nn

from infoplane.checks import check_at_least
from infoplane.networks.gaussian_layer import drawing
from infoplane.networks.logits import logits_of
from infoplane.randomness import isolated_global_generator


class SingleDraw(nn.Module):
    """Network whose Gaussian layers draw in evaluation mode, once per pass, from torch's global generators.

    Args:
        model: its weights and its mode are shared, not copied.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of one draw, `(batch, classes)`."""
        with drawing(self.model):
            return logits_of(self.model(images))


class AveragedPasses(nn.Module):
    """Network whose logits are the log of the mean softmax over several passes, `(batch, classes)`.

    For networks that draw in some other way than by a `GaussianLayer`, e.g. dropout that stays on. Each pass draws anew
    from torch's global generators.

    Args:
        model: its weights and its mode are shared, not copied.
        passes: at least 1.

    Raises:
        ValueError: `passes` is below 1.
    """

    def __init__(self, model: nn.Module, passes: int) -> None:
        super().__init__()
        check_at_least(passes, 1, name="passes")
        self.model, self.passes = model, passes
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, whose softmax is the mean softmax over the passes."""
        # clone: a network may write over its input
        drawn = [logits_of(self.model(images.clone())).log_softmax(dim=1) for _ in range(self.passes)]
        return torch.stack(drawn).logsumexp(dim=0) - math.log(self.passes)


class SameDraws(nn.Module):
    """Network that draws the same random numbers in every pass; the global generators stay as they are.

    So an image that an attack leaves alone is classified as before, in a batch of the same place and size.

    Args:
        model: draws from torch's global generators; its weights and its mode are shared, not copied.
        seed: of the draws.
    """

    def __init__(self, model: nn.Module, seed: int) -> None:
        super().__init__()
        self.model, self.seed = model, seed
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`."""
        with isolated_global_generator(self.seed, images.device):
            return logits_of(self.model(images))
