"""HBaR: cross-entropy and the HSIC bottleneck, by which hidden layers depend less on images and more on labels."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import PGD
from infoplane.checks import check_positive
from infoplane.estimators.hsic import gaussian_kernel, kernel_smoother, linear_kernel
from infoplane.models.layers import default_layers
from infoplane.networks.recorded_outputs import recorded_outputs
from infoplane.networks.wrappers import named_layers
from infoplane.training.adversarial import in_evaluation_mode
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod
from infoplane.training.normal import classified


def hsic_bottleneck(
    images: Tensor,
    labels: Tensor,
    hidden: Sequence[Tensor],
    *,
    classes: int,
    input_weight: float,
    label_weight: float,
) -> Tensor:
    """Return sum_j [input_weight nHSIC(X, Z_j) - label_weight nHSIC(Y, Z_j)], a scalar in float64.

    The kernels of images and hidden layers are Gaussian, of width 5; that of the labels, as one-hot vectors, is linear.
    nHSIC is computed on the batch: it takes one matrix inverse of the batch's size per layer, and one for the images
    and the labels each, O(batch^3) operations in float64.

    Args:
        images: `(batch, channels, height, width)` in [0, 1].
        labels: `(batch,)` integers.
        hidden: outputs of the layers, each `(batch, features)`.
        classes: number of classes.
        input_weight: lambda_x of the paper.
        label_weight: lambda_y of the paper.
    """
    of_images = kernel_smoother(gaussian_kernel(images.flatten(start_dim=1)))
    of_labels = kernel_smoother(linear_kernel(F.one_hot(labels, classes).double()))
    direction = input_weight * of_images - label_weight * of_labels
    parts = [(kernel_smoother(gaussian_kernel(outputs)) * direction).sum() for outputs in hidden]
    return sum(parts, start=direction.new_zeros(()))


def pass_with_hidden(model: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the logits of images, and the outputs of the hidden layers, `(batch, features)` each, with gradients.

    Hidden layers are the network's probed layers (`default_layers`) but the last that ran, whose outputs are the
    logits. Outputs of convolution and linear layers are taken after a ReLU, as in the paper; other layers end in an
    activation of their own.

    Raises:
        ValueError: fewer than two of the probed layers ran.
    """
    modules = named_layers(model)
    with recorded_outputs(model, default_layers(model)) as recorded:
        logits = model(images)
    names = list(recorded)[:-1]
    if not names:
        raise ValueError("HBaR needs a hidden layer: of the network's probed layers, only the logits ran")
    return logits, [
        recorded[name].relu() if isinstance(modules[name], nn.Conv2d | nn.Linear) else recorded[name] for name in names
    ]


def hbar_training(*, input_weight: float, label_weight: float) -> LossMethod:
    """Return the method that minimises CE + sum_j [lambda_x nHSIC(X, Z_j) - lambda_y nHSIC(Y, Z_j)] over hidden layers.

    Cost per update: one forward and backward pass, and O(batch^3) operations per hidden layer (`hsic_bottleneck`). On a
    CPU, an update of LeNet-5 takes about 3 times the time of normal training in batches of 128, 5 times in batches of
    256. The values of nHSIC depend on the batch size; the paper's is 256. Source: Wang et al. (2021), arXiv:2106.02734.

    Args:
        input_weight: lambda_x, positive; 1 on MNIST.
        label_weight: lambda_y, positive; 50 on MNIST.
    """
    check_positive(input_weight, name="input_weight")
    check_positive(label_weight, name="label_weight")

    def loss(model: nn.Module, batch: Batch) -> BatchLoss:
        logits, hidden = pass_with_hidden(model, batch.images)
        bottleneck = hsic_bottleneck(
            batch.images,
            batch.labels,
            hidden,
            classes=logits.shape[1],
            input_weight=input_weight,
            label_weight=label_weight,
        )
        value = F.cross_entropy(logits, batch.labels) + bottleneck.to(logits.dtype)
        return BatchLoss(value, classified(logits, batch.labels))

    return LossMethod(loss=loss, cost=Cost(forward=1, gradient=1))


def adversarial_hbar_training(attack: PGD, *, input_weight: float, label_weight: float) -> LossMethod:
    """Return the method of `hbar_training` with the cross-entropy on attacked images.

    X and the hidden layers of the bottleneck are those of the original images. Cost per update: steps + 2 forward and
    backward passes, and O(batch^3) operations per hidden layer; batch statistics are updated once for x' and once for
    x. Source: Wang et al. (2021), arXiv:2106.02734, and the authors' code.

    Args:
        attack: makes x' by raising the cross-entropy.
        input_weight: lambda_x, positive; 0.003 on MNIST.
        label_weight: lambda_y, positive; 0.001 on MNIST.
    """
    check_positive(input_weight, name="input_weight")
    check_positive(label_weight, name="label_weight")

    def loss(model: nn.Module, batch: Batch) -> BatchLoss:
        attacked = model(batch.attacked)
        _, hidden = pass_with_hidden(model, batch.images)
        bottleneck = hsic_bottleneck(
            batch.images,
            batch.labels,
            hidden,
            classes=attacked.shape[1],
            input_weight=input_weight,
            label_weight=label_weight,
        )
        value = F.cross_entropy(attacked, batch.labels) + bottleneck.to(attacked.dtype)
        return BatchLoss(value, classified(attacked, batch.labels))

    return LossMethod(
        loss=loss,
        cost=Cost(forward=2, gradient=2),
        attack=in_evaluation_mode(attack),
        attack_cost=Cost(attack.gradient_evaluations, attack.gradient_evaluations),
    )
