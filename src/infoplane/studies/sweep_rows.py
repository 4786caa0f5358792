"""What each estimator says about one draw of points and labels, as rows of a sweep."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infoplane.estimators import (
    Null,
    binning_information,
    decoded_information,
    kde_information,
    mean_unit_variance,
    noisy_information,
)
from infoplane.estimators.tasks.clouds import CloudInformation
from infoplane.randomness import seeded_generator
from infoplane.records import BINNING, DECODED, INPUT_INFORMATION, KDE_BD, KDE_KL, LABEL_INFORMATION, NOISY
from infoplane.standing import saturated
from infoplane.sweeps import SweepMeasurement

UNKNOWN = CloudInformation(math.nan, math.nan)


class Draw(NamedTuple):
    """One draw of points, and how it is to be measured."""

    activations: Tensor  # (samples, features)
    labels: Tensor  # (samples,)
    noise_variance: float | None  # None: without KDE and its kin
    bin_width: float | None  # None: without binning
    decoded: bool
    # of the distribution, NaN where unknown
    noisy: CloudInformation = UNKNOWN
    binned: CloudInformation = UNKNOWN
    label: float = math.nan  # I(T;Y) without noise


def sweep_rows(draw: Draw, seed: int, permutations: int, common: dict[str, Any]) -> Iterator[SweepMeasurement]:
    """Measure a draw with every estimator it asks for.

    Permutations, noise and folds depend on `seed` and the replicate alone, so they are the same along a sweep.

    Args:
        draw: points and labels.
        seed: of the study.
        permutations: behind each null.
        common: sweep, x and replicate, and settings of the cloud.
    """
    common = {
        **common,
        "samples": len(draw.activations),
        "features": draw.activations.shape[1],
        "classes": len(torch.unique(draw.labels)),
        "unit_variance": mean_unit_variance(draw.activations),
    }
    rows = _Rows(draw, seed, permutations, common)
    if draw.noise_variance is not None:
        yield from rows.kde(draw.noise_variance)
        yield from rows.noisy(draw.noise_variance)
    if draw.bin_width is not None:
        yield from rows.binning(draw.bin_width)
    if draw.decoded:
        yield rows.decoded()


class _Rows:
    def __init__(self, draw: Draw, seed: int, permutations: int, common: dict[str, Any]) -> None:
        self._draw, self._common = draw, common
        self._seeds = (seed, "sweeps", common["replicate"])
        self._permutations = permutations

    def _arguments(self, purpose: str) -> dict[str, Any]:
        return {"permutations": self._permutations, "generator": seeded_generator(*self._seeds, purpose)}

    def kde(self, noise_variance: float) -> Iterator[SweepMeasurement]:
        kde = kde_information(
            self._draw.activations,
            self._draw.labels,
            noise_variance=noise_variance,
            **self._arguments("permutations"),
        )
        for estimator, side in ((KDE_BD, "lower"), (KDE_KL, "upper")):
            for name, quantity, kind in (
                (f"input_{side}", INPUT_INFORMATION, side),
                (f"label_{side}", LABEL_INFORMATION, "estimate"),
            ):
                yield self._row(
                    estimator, kind, quantity, getattr(kde, name), kde.errors[name],
                    ceiling=kde.input_ceiling if quantity == INPUT_INFORMATION else kde.label_ceiling,
                    null=kde.nulls.get(name), truth=self._draw.noisy, noise_variance=noise_variance,
                )  # fmt: skip

    def noisy(self, noise_variance: float) -> Iterator[SweepMeasurement]:
        noisy = noisy_information(
            self._draw.activations,
            self._draw.labels,
            noise_variance=noise_variance,
            **self._arguments("permutations"),
        )
        errors = {"input": noisy.input_error, "label": noisy.label_error}
        yield from self._both(NOISY, noisy, errors, self._draw.noisy, noise_variance=noise_variance)

    def binning(self, bin_width: float) -> Iterator[SweepMeasurement]:
        binned = binning_information(
            self._draw.activations, self._draw.labels, bin_width=bin_width, **self._arguments("permutations")
        )
        yield from self._both(BINNING, binned, binned.errors, self._draw.binned, bin_width=bin_width)

    def decoded(self) -> SweepMeasurement:
        generator = seeded_generator(*self._seeds, "decoder")
        decoded = decoded_information(self._draw.activations, self._draw.labels, generator=generator)
        return self._row(
            DECODED, "lower", LABEL_INFORMATION, decoded.label, decoded.label_error,
            ceiling=decoded.label_ceiling, null=None, truth=UNKNOWN._replace(label=self._draw.label),
        )  # fmt: skip

    def _both(
        self, estimator: str, result: Any, errors: dict[str, float], truth: CloudInformation, **settings: float
    ) -> Iterator[SweepMeasurement]:
        for name, quantity, ceiling in (
            ("input", INPUT_INFORMATION, result.input_ceiling),
            ("label", LABEL_INFORMATION, result.label_ceiling),
        ):
            yield self._row(
                estimator, "estimate", quantity, getattr(result, name), errors[name],
                ceiling=ceiling, null=result.nulls.get(name), truth=truth, **settings,
            )  # fmt: skip

    def _row(
        self,
        estimator: str,
        kind: str,
        quantity: str,
        value: float,
        error: float,
        *,
        ceiling: float,
        null: Null | None,
        truth: CloudInformation,
        noise_variance: float | None = None,
        bin_width: float | None = None,
    ) -> SweepMeasurement:
        known = truth.input if quantity == INPUT_INFORMATION else truth.label
        return SweepMeasurement(
            **self._common,
            estimator=estimator,
            kind=kind,
            quantity=quantity,
            value_nats=value,
            standard_error=error,
            ceiling_nats=ceiling,
            null_quantile95_nats=null.quantile95 if null else None,
            saturated=saturated(value, ceiling, estimator=estimator, quantity=quantity),
            truth_nats=None if math.isnan(known) else known,
            noise_variance=noise_variance,
            bin_width=bin_width,
        )
