"""VIB, the variational information bottleneck: cross-entropy plus the rate of the code."""

import math

from torch import Tensor, nn

from infoplane.networks.gaussian_layer import Code
from infoplane.training.coded_loss import code_loss
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod


def rate(code: Code) -> Tensor:
    """Return the mean over the batch of KL(N(mean, diag(variance)) || N(0, I)), a scalar in nats.

    It bounds the code's information about the image from above.
    """
    excess = code.variance - code.variance.log() - 1  # of each unit, at least 0; of any shape that broadcasts
    return (code.mean.square() + excess).flatten(start_dim=1).sum(dim=1).mean() / 2


def vib_training(beta: float) -> LossMethod:
    """Return the method that minimises CE + beta KL(N(mean, variance) || N(0, I)) with one draw of the code, in nats.

    The paper states both terms in bits, so that beta is the same number. The network needs a `GaussianLayer`. Cost per
    update: one forward and backward pass. Source: Alemi et al. (2017), arXiv:1612.00410, Equation 17.

    Args:
        beta: weight of the rate, at least 0; 0 trains the stochastic network by its cross-entropy alone.
    """
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta must be at least 0 and finite, got {beta}")

    def loss(model: nn.Module, batch: Batch) -> BatchLoss:
        return code_loss(model, batch, lambda code, _labels: beta * rate(code))

    return LossMethod(loss=loss, cost=Cost(forward=1, gradient=1))
