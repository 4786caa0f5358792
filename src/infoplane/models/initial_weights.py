"""Initial weights of convolutional networks."""

from torch import nn


def kaiming_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions from N(0, 2 / fan_out), as He et al. (2015), arXiv:1502.01852, for ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
