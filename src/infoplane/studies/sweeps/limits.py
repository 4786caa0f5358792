"""Measure I(X;T) as the noise vanishes: it ends at H(T) for a discrete layer and diverges for a continuous one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl
import torch
from torch import Tensor

from infoplane.config import LimitsConfig
from infoplane.estimators import (
    binning_information,
    kde_sweep,
    ksg_information,
    mean_unit_variance,
    noisy_information,
)
from infoplane.estimators.tasks.boxes import (
    binned_steps_information,
    binned_uniform_information,
    boxed_steps_information,
    boxed_uniform_entropy,
    boxed_uniform_information,
    noisy_steps_information,
    noisy_uniform_information,
    step_layer,
)
from infoplane.measuring.to_records import record
from infoplane.randomness import seeded_generator
from infoplane.records.sweeps import (
    CLOSED_FORM,
    CONTINUOUS_LIMIT,
    DISCRETE_LIMIT,
    LAYER_ENTROPY,
    NOISE_ENTROPY,
    SweepMeasurement,
    sweep_table,
)
from infoplane.records.tables import INPUT_INFORMATION
from infoplane.runs.progress import Progress, Silence

STUDY = "limits"
WIDTHS = tuple(4.0**power for power in range(-10, 2))  # powers of two, so that division by them is exact
PROBABILITIES = tuple(level / 36 for level in range(1, 9))


def noise_limits(config: LimitsConfig, *, progress: Progress | None = None) -> pl.DataFrame:
    """Measure two layers of X ~ U(0, 1) as the noise vanishes: f(X) with eight values, and f(X) = X.

    T is f(X) plus uniform noise in a box of width b. KDE and the Monte Carlo estimate use Gaussian noise with the
    variance of that box, b^2 / 12, and binning uses bins of width b. The truth in a row is that for the row's own noise
    or bins. Rows of `CLOSED_FORM` hold the exact curves for the box: I(X;T) for both layers, and h(T) and
    h(T|X) = ln b for the continuous one.

    Args:
        config: numbers of points and replicates.
        progress: shows how far the study is.

    Returns:
        Columns of `sweeps.SWEEP_SCHEMA`; x is b, and `bin_width` is set for binning alone.
    """
    progress = progress or Silence()
    progress.begin(config.replicates)
    rows = list(_closed_forms(config.points))
    for replicate in range(config.replicates):
        progress.doing(f"draw {replicate + 1}")
        generator = seeded_generator(config.seed, "limits", replicate)
        steps = step_layer(config.points, PROBABILITIES, generator=generator)
        for sweep, layer in ((DISCRETE_LIMIT, steps.y), (CONTINUOUS_LIMIT, steps.x)):
            rows += _measured(sweep, steps.x, layer, config.seed, replicate)
        progress.advance(1)
        progress.say(f"draw {replicate + 1} of {config.replicates}: {2 * len(WIDTHS)} widths")
    return sweep_table(rows)


def _closed_forms(samples: int) -> Iterator[SweepMeasurement]:
    for width in WIDTHS:
        for sweep, quantity, value in (
            (DISCRETE_LIMIT, INPUT_INFORMATION, boxed_steps_information(PROBABILITIES, width)),
            (CONTINUOUS_LIMIT, INPUT_INFORMATION, boxed_uniform_information(width)),
            (CONTINUOUS_LIMIT, LAYER_ENTROPY, boxed_uniform_entropy(width)),
            (CONTINUOUS_LIMIT, NOISE_ENTROPY, math.log(width)),
        ):
            yield SweepMeasurement(
                sweep=sweep, x=width, replicate=0, estimator=CLOSED_FORM, kind="estimate", quantity=quantity,
                value_nats=value, truth_nats=value, samples=samples, features=1, classes=1,
            )  # fmt: skip


def _measured(sweep: str, x: Tensor, layer: Tensor, seed: int, replicate: int) -> Iterator[SweepMeasurement]:
    """Measure one draw of a layer, `(samples, 1)` as x is, at all widths."""
    labels = torch.zeros(len(layer), dtype=torch.long)
    variances = [width**2 / 12 for width in WIDTHS]
    kdes = kde_sweep(layer, labels, noise_variances=variances)
    common = {
        "sweep": sweep, "replicate": replicate, "samples": len(layer), "features": 1, "classes": 1,
        "unit_variance": mean_unit_variance(layer),
    }  # fmt: skip
    for width, variance, kde in zip(WIDTHS, variances, kdes, strict=True):
        boxed, gaussian, binned_truth = _truths(sweep, width, variance)
        at = {**common, "x": width}
        noisy = noisy_information(
            layer, labels, noise_variance=variance, generator=seeded_generator(seed, "limits noise", replicate)
        )
        for estimate in (kde.input_lower, kde.input_upper, noisy.input):
            yield record(SweepMeasurement, estimate, {**at, "noise_variance": variance, "truth_nats": gaussian})
        binned = binning_information(layer, labels, bin_width=width)
        yield record(SweepMeasurement, binned.input, {**at, "bin_width": width, "truth_nats": binned_truth})
        generator = seeded_generator(seed, "limits box", replicate)
        box = torch.rand(layer.shape, generator=generator, dtype=torch.double) - 0.5
        ksg = ksg_information(x, layer + width * box, generator=generator)
        yield record(SweepMeasurement, replace(ksg, quantity=INPUT_INFORMATION), {**at, "truth_nats": boxed})


def _truths(sweep: str, width: float, variance: float) -> Sequence[float]:
    """I(X;T) through a box of this width, through Gaussian noise of this variance, and in bins of this width."""
    if sweep == DISCRETE_LIMIT:
        return (
            boxed_steps_information(PROBABILITIES, width),
            noisy_steps_information(PROBABILITIES, variance),
            binned_steps_information(PROBABILITIES, width),
        )
    return boxed_uniform_information(width), noisy_uniform_information(variance), binned_uniform_information(width)
