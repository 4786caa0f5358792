"""Measure the hidden layers of one network at all epochs: exactly, in bins, and under noise."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infoplane.estimators import (
    EqualBins,
    Estimate,
    exact_information,
    kde_information,
    mean_unit_variance,
    noisy_sweep,
)
from infoplane.measuring.to_records import record
from infoplane.randomness import seeded_generator
from infoplane.records.compression import EPOCH_RANGE, FIXED_RANGE, TANH, CompressionMeasurement
from infoplane.records.tables import BINNED, BINNING, FIXED_NOISE, RELATIVE_NOISE


class Instruments(NamedTuple):
    """What is measured.

    Attributes:
        bins: numbers of equal bins.
        noise_variance: at fixed noise, in squared activation units.
        noise_ratio: noise variance at relative noise, over the mean variance per unit, for Monte Carlo estimates;
            with None, the KDE bounds are measured instead, at fixed noise alone.
    """

    bins: tuple[int, ...]
    noise_variance: float
    noise_ratio: float | None


class Layer(NamedTuple):
    """The outputs of one hidden layer of one network for all inputs, at every measured epoch."""

    name: str
    before: list[Tensor]  # per epoch `(4096, units)`, after the activation
    after: list[Tensor] | None  # likewise, quantised; None without quantisation


def network_rows(
    layers: Sequence[Layer],
    epochs: Sequence[int],
    probabilities: Tensor,
    instruments: Instruments,
    common: dict[str, Any],
) -> Iterator[CompressionMeasurement]:
    """Measure all layers of one network at all epochs.

    All inputs of the task are measured, each equally likely. So the information of a binned or quantised layer is
    counted exactly, and the Monte Carlo estimate has no error but that of its noise. Binning and noise are applied to
    the outputs before they are quantised.

    Args:
        layers: outputs of the hidden layers.
        epochs: completed epochs, in the order of the outputs.
        probabilities: `(4096,)`, P(y = 1 | x).
        instruments: numbers of bins, and noise.
        common: values for every row: seed, activation, bits.
    """
    for index, layer in enumerate(layers):
        for place, epoch in enumerate(epochs):
            outputs = layer.before[place]
            facts = {
                **common,
                "epoch": epoch,
                "layer_index": index,
                "layer": layer.name,
                "samples": len(outputs),
                "features": outputs.shape[1],
            }
            if layer.after is not None:
                for estimate in exact_information(layer.after[place], probabilities).estimates():
                    yield record(CompressionMeasurement, estimate, facts)
            for policy in (FIXED_RANGE, EPOCH_RANGE):
                low, high = bin_range(layer.before, place, policy, common["activation"])
                for count in instruments.bins:
                    of_bins = {"bins": count, "bin_range": policy, "bin_width": (high - low) / count}
                    for estimate in binned(outputs, count, low, high, probabilities):
                        yield record(CompressionMeasurement, estimate, {**facts, **of_bins})
            yield from _noisy_rows(outputs, instruments, facts)


def bin_range(outputs: Sequence[Tensor], place: int, policy: str, activation: str) -> tuple[float, float]:
    """Return the ends of the bins of one layer at one epoch.

    Args:
        outputs: of the layer, one tensor per epoch.
        place: of the epoch.
        policy: "fixed", [-1, 1] of tanh and [0, largest output of all epochs] of ReLU, or "epoch", [least, largest
            output] at this epoch.
        activation: "tanh" or "relu".
    """
    if policy == EPOCH_RANGE:
        low, high = (float(end) for end in outputs[place].aminmax())
    elif activation == TANH:
        low, high = -1.0, 1.0
    else:
        low, high = 0.0, max(float(one.max()) for one in outputs)
    return low, (high if high > low else low + 1.0)  # a constant layer fills one bin, whatever its width


def binned(outputs: Tensor, count: int, low: float, high: float, probabilities: Tensor) -> list[Estimate]:
    """Return I(X;Q) and I(Q;Y) of outputs rounded to `count` equal bins over [low, high], counted exactly."""
    numbers = EqualBins(count, low, high).reader(outputs)(slice(None))
    known = exact_information(numbers, probabilities).estimates()
    return [replace(estimate, estimator=BINNING, distribution=BINNED) for estimate in known]


def _noisy_rows(outputs: Tensor, instruments: Instruments, facts: dict[str, Any]) -> Iterator[CompressionMeasurement]:
    """Measure I(X;T) under noise: KDE bounds, or the Monte Carlo estimate between them, at fixed and relative noise."""
    fixed, ratio = instruments.noise_variance, instruments.noise_ratio
    labels = torch.zeros(len(outputs), dtype=torch.long)  # I(X;T) needs none
    at_fixed = {**facts, "noise_mode": FIXED_NOISE, "noise_variance": fixed}
    if ratio is None:
        kde = kde_information(outputs, labels, noise_variance=fixed)
        for estimate in (kde.input_lower, kde.input_upper):
            yield record(CompressionMeasurement, estimate, at_fixed)
        return
    # a constant layer has no information at any noise, so the fixed one serves
    relative = ratio * mean_unit_variance(outputs) or fixed
    seeds = (facts["seed"], "compression noise", facts["activation"], facts["epoch"], facts["layer"])
    found = noisy_sweep(outputs, labels, noise_variances=[fixed, relative], generator=seeded_generator(*seeds))
    yield record(CompressionMeasurement, found[0].input, at_fixed)
    yield record(
        CompressionMeasurement, found[1].input, {**facts, "noise_mode": RELATIVE_NOISE, "noise_variance": relative}
    )
