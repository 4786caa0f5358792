"""A convolutional decoder of feature maps: a pattern tells the class wherever it lies in the map."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.label_scores import Candidate
from infoplane.estimators.trained_scores import Normal, candidates_by_epoch

MapShape = tuple[int, int, int]  # channels, height, width

_FILTERS = 32
_WIDTH = 3  # of a filter, in pixels of the map
_LARGEST = 16  # maps are averaged to at most this height and width first


def convolution(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator, *, shape: MapShape
) -> Iterator[Candidate]:
    """Yield 32 rectified filters of 3 x 3, the mean and the largest value of each, and a linear layer; by epoch.

    Args:
        activations: `(samples, channels * height * width)`, standardised.
        labels: `(samples,)` integers from 0.
        log_prior: `(classes,)`.
        generator: source of weights and batches.
        shape: channels, height and width of the maps.
    """
    classes, inputs = len(log_prior), shape[0] * _WIDTH**2

    def begin(normal: Normal) -> list[Tensor]:
        filters = normal(_FILTERS, shape[0], _WIDTH, _WIDTH) * math.sqrt(2 / inputs)
        outer = normal(2 * _FILTERS, classes) * 0.1 / math.sqrt(2 * _FILTERS)
        return [filters, activations.new_zeros(_FILTERS), outer, activations.new_zeros(classes)]

    def network(weights: list[Tensor], points: Tensor) -> Tensor:
        filters, shift, outer, bias = weights
        maps = points.reshape(-1, *shape)
        if max(shape[1:]) > _LARGEST:
            maps = F.adaptive_avg_pool2d(maps, (min(shape[1], _LARGEST), min(shape[2], _LARGEST)))
        found = F.conv2d(maps, filters, shift, padding=_WIDTH // 2).relu().flatten(start_dim=2)
        return torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1) @ outer + bias

    return candidates_by_epoch(begin, network, activations, labels, log_prior, generator)
