"""Loss of methods that train a stochastic bottleneck: cross-entropy and a penalty on the code of the noisy layer."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.networks.gaussian_layer import Code, recorded_codes
from infoplane.training.method import Batch, BatchLoss
from infoplane.training.normal import classified

Penalty = Callable[[Code, Tensor], Tensor]  # (code, labels) -> scalar, in nats


def code_loss(model: nn.Module, batch: Batch, penalty: Penalty) -> BatchLoss:
    """Mean cross-entropy of one draw per image, plus the penalty of every Gaussian layer's code, in nats.

    Args:
        model: network with a `GaussianLayer`, in training mode, so that the layer draws.
        batch: the loss is taken on `batch.attacked`.
        penalty: function of a layer's code, in float32 or float64, and the labels `(batch,)`.

    Raises:
        ValueError: the model has no Gaussian layer.
    """
    with recorded_codes(model) as codes:
        logits = model(batch.attacked)
    precise = [Code(*map(_precise, code)) for code in codes.values()]
    penalties = sum((penalty(code, batch.labels) for code in precise), start=logits.new_zeros(()))
    value = F.cross_entropy(logits, batch.labels) + penalties
    return BatchLoss(value, classified(logits, batch.labels))


def _precise(part: Tensor) -> Tensor:
    """Return the tensor in float32 if autocast computed it in a lower precision: squares of units are summed."""
    return part if part.dtype == torch.double else part.float()
