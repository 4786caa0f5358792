"""NIB, nonlinear information bottleneck: cross-entropy plus the squared information in a layer with trained noise."""

from torch import Tensor, nn

from infoplane.checks import check_positive
from infoplane.estimators.differentiable_kde import differentiable_input_bound
from infoplane.networks.gaussian_layer import Code
from infoplane.training.coded_loss import code_loss
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod


def nib_training(*, beta: float) -> LossMethod:
    """Return the method that minimises CE + beta I(X;T)^2, mean over the batch, with I and CE in nats.

    T is the code of the network's `GaussianLayer`, with noise of one variance, which may be trained. I(X;T) is the KDE
    upper bound at this noise, of the means of the batch (`differentiable_input_bound`): it is at most ln batch. The
    cross-entropy is that of one draw per image. Cost per update: one forward and backward pass, and a matrix of
    distances of the batch.

    The authors' code also computes in nats, so betas compare with theirs. With both terms in bits, the same training
    has a beta of ln 2 = 0.693 times this one. Their code adds the width of a kernel to the noise variance inside the
    bound, fitted once per epoch by leave-one-out likelihood; here, as in the paper's bound, the variance is that of the
    noise alone.

    Source: Kolchinsky, Tracey & Wolpert (2019), Entropy 21(12), 1181; squared as there by default.

    Args:
        beta: positive, per nat; the paper's MNIST values lie between 0.001 and 2.
    """
    check_positive(beta, name="beta")

    def penalty(code: Code, labels: Tensor) -> Tensor:
        del labels
        bound = differentiable_input_bound(code.mean, code.variance)
        return beta * bound.square().to(code.mean.dtype)

    def loss(model: nn.Module, batch: Batch) -> BatchLoss:
        return code_loss(model, batch, penalty)

    return LossMethod(loss=loss, cost=Cost(forward=1, gradient=1))
