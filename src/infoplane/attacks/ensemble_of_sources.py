"""Several networks as one, on which examples for other networks are made."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infoplane.networks.logits import logits_of


class EnsembleOfSources(nn.Module):
    """A network whose softmax is the mean of the softmaxes of several networks.

    It returns the logarithm of the mean as logits, so the cross-entropy is minus the logarithm of the weighted sum of
    softmaxes at the label, with equal weights.

    Args:
        networks: at least one; all for the same images and classes.

    Raises:
        ValueError: there is no network.

    Source: Liu et al. (2017), arXiv:1611.02770, Section 4, equation 5.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not networks:
            raise ValueError("an ensemble of sources takes at least one network, got none")
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logarithm of the mean softmax, `(batch, classes)`.

        Raises:
            ValueError: the networks return different numbers of classes.
        """
        # each gets a copy: a network may write over its input
        logits = [logits_of(network(images.clone())).float() for network in self.networks]
        if len({one.shape for one in logits}) > 1:
            shapes = ", ".join(str(tuple(one.shape)) for one in logits)
            raise ValueError(f"the sources must return logits of one shape, got {shapes}")
        shares = torch.stack([one.log_softmax(dim=1) for one in logits])
        return shares.logsumexp(dim=0) - torch.log(torch.tensor(float(len(logits)), device=shares.device))
