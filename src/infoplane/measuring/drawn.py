"""Accuracy of a stochastic network by the mean of its softmax over several draws."""

from typing import NamedTuple

from torch import Tensor, nn

from infoplane.distributed.team import ALONE, Team
from infoplane.measuring.evaluate import evaluate
from infoplane.networks.averaged_draws import DRAWS, AveragedDraws
from infoplane.networks.gaussian_layer import gaussian_layers
from infoplane.randomness import stable_seed


class DrawnAccuracy(NamedTuple):
    """Columns of `Performance` about averaged draws; all are missing for a network without a Gaussian layer."""

    draws: int | None = None
    drawn_accuracy: float | None = None
    drawn_loss: float | None = None


def drawn_accuracy(
    model: nn.Module, images: Tensor, labels: Tensor, *, seed: int, draws: int = DRAWS, team: Team = ALONE
) -> DrawnAccuracy:
    """Return accuracy and loss of `AveragedDraws(model, draws)`, in the mode of the model.

    The draws depend on `seed` and the place of the image alone, so that they are the same at every epoch, for every
    training and for any number of processes.

    Args:
        model: any network.
        images: `(n, channels, height, width)`, uint8 or float in [0, 1].
        labels: `(n,)` integers.
        seed: of the draws.
        draws: of each image.
        team: processes that share the batches.
    """
    if not gaussian_layers(model):
        return DrawnAccuracy()
    found = evaluate(AveragedDraws(model, draws), images, labels, team, seed=stable_seed(seed, "draws"))
    return DrawnAccuracy(draws, found.accuracy, found.loss)
