"""Rows of a sweep: the estimates of each estimator for one draw of points and labels."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infoplane.estimators import (
    Estimate,
    binning_information,
    decoded_information,
    kde_information,
    mean_unit_variance,
    noisy_information,
)
from infoplane.estimators.tasks.clouds import CloudInformation
from infoplane.measuring.to_records import record
from infoplane.randomness import seeded_generator
from infoplane.records.sweeps import SweepMeasurement
from infoplane.records.tables import INPUT_INFORMATION

UNKNOWN = CloudInformation(math.nan, math.nan)


class Draw(NamedTuple):
    """One draw of points, and the settings for measuring it."""

    activations: Tensor  # (samples, features)
    labels: Tensor  # (samples,)
    noise_variance: float | None  # None: no KDE and no Monte Carlo estimate
    bin_width: float | None  # None: no binning
    decoded: bool
    # true I(X;T) of the distribution, NaN if unknown
    noisy: CloudInformation = UNKNOWN
    binned: CloudInformation = UNKNOWN
    label: float = math.nan  # I(T;Y) without noise


def sweep_rows(draw: Draw, seed: int, permutations: int, common: dict[str, Any]) -> Iterator[SweepMeasurement]:
    """Measure a draw with every estimator that its settings name.

    Permutations, noise and folds depend on `seed` and the replicate alone, so they are the same along a sweep.

    Args:
        draw: points and labels.
        seed: seed of the study.
        permutations: number of permutations for each null.
        common: values for every row: sweep, x, replicate and settings of the cloud.
    """
    common = {
        **common,
        "samples": len(draw.activations),
        "features": draw.activations.shape[1],
        "classes": len(torch.unique(draw.labels)),
        "unit_variance": mean_unit_variance(draw.activations),
    }
    data, seeds = (draw.activations, draw.labels), (seed, "sweeps", common["replicate"])

    def null() -> dict[str, Any]:
        return {"permutations": permutations, "generator": seeded_generator(*seeds, "permutations")}

    def row(estimate: Estimate, truth: CloudInformation, **settings: float) -> SweepMeasurement:
        known = truth.input if estimate.quantity == INPUT_INFORMATION else truth.label
        facts = {**common, **settings, "truth_nats": None if math.isnan(known) else known}
        return record(SweepMeasurement, estimate, facts)

    if (variance := draw.noise_variance) is not None:
        kde = kde_information(*data, noise_variance=variance, **null())
        noisy = noisy_information(*data, noise_variance=variance, **null())
        of_kde = (kde.input_lower, kde.label_lower, kde.input_upper, kde.label_upper)
        for estimate in of_kde + noisy.estimates():
            yield row(estimate, draw.noisy, noise_variance=variance)
    if (width := draw.bin_width) is not None:
        for estimate in binning_information(*data, bin_width=width, **null()).estimates():
            yield row(estimate, draw.binned, bin_width=width)
    if draw.decoded:
        decoded = decoded_information(*data, generator=seeded_generator(*seeds, "decoder"), shortfall=False)
        yield row(decoded, UNKNOWN._replace(label=draw.label))
