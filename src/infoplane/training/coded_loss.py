"""Cross-entropy plus a penalty on the code of a stochastic network: the loss of information bottlenecks."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.networks.gaussian_layer import Code, gaussian_layers, recorded_codes
from infoplane.networks.logits import logits_of
from infoplane.training.method import BatchLoss
from infoplane.training.normal import classified


def code_loss(model: nn.Module, images: Tensor, labels: Tensor, penalty: Callable[[Code], Tensor]) -> BatchLoss:
    """Return the mean cross-entropy of one draw plus the penalties of all codes, in nats, with gradients.

    Args:
        model: network with a `GaussianLayer`, in training mode, so that it draws.
        images: `(batch, channels, height, width)` in [0, 1].
        labels: `(batch,)` integers.
        penalty: from a code, in float32 or float64, to a scalar in nats; with several Gaussian layers their sum is
            taken.

    Raises:
        ValueError: the network has no `GaussianLayer`.
    """
    with recorded_codes(model) as codes:
        logits = logits_of(model(images))
    loss = F.cross_entropy(logits, labels)
    for code in codes.values():
        loss = loss + penalty(Code(*map(_precise, code)))
    return BatchLoss(loss, classified(logits, labels))


def _precise(part: Tensor) -> Tensor:
    """Return the tensor in float32 if autocast has computed it in a lower precision."""
    return part if part.dtype == torch.double else part.float()


def lacks_code(model: nn.Module) -> str | None:
    """Return what keeps a network from being trained with a penalty on its code; None if nothing does."""
    return None if gaussian_layers(model) else "no GaussianLayer"
