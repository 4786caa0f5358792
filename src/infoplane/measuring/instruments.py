"""Instruments: all that is known of each way to measure a layer.

`INSTRUMENTS` is the one list. Measuring goes through it, and tables, figures and pages take names and order from it.
To add an estimator, write it in a file of its own and add its `Instrument` to the list.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infoplane.estimators import Estimate, binning_information, kde_sweep, noisy_information
from infoplane.measuring.decoders import decode
from infoplane.measuring.layer_outputs import Version, When
from infoplane.records.tables import (
    BINNING,
    DECODED,
    DECODED_TRANSFER,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    NOISY,
    RELATIVE_NOISE,
    SWEPT_NOISE,
)

Taken = Iterator[tuple[Estimate, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One way to measure a layer: when it is taken, how, and what readers call its estimators.

    Attributes:
        labels: by the estimators' names in the records: what readers see.
        labels_of: by (estimator, quantity), where what it is of that quantity needs words of its own.
        when: it is taken.
        noises: modes of the noise that it adds: FIXED_NOISE, RELATIVE_NOISE, SWEPT_NOISE; none for one without noise.
            `version.noises` then holds those that are due.
        measure: from one version of a layer to estimates, each with further columns of its row, say its bin width.
    """

    labels: Mapping[str, str]
    labels_of: Mapping[tuple[str, str], str] = field(default_factory=dict)
    when: When
    noises: tuple[str, ...] = ()
    measure: Callable[[Version], Taken]


def _noisy(version: Version) -> Taken:
    for noise in version.noises:
        noisy = noisy_information(
            version.activations, version.labels, noise_variance=noise.variance, **version.null_settings()
        )
        for estimate in noisy.estimates():
            yield estimate, noise.columns()


def _kde(version: Version) -> Taken:
    """All quantities at every noise; the entropies of single classes at the fixed one."""
    noises = version.noises
    kdes = kde_sweep(
        version.activations,
        version.labels,
        noise_variances=[noise.variance for noise in noises],
        **version.null_settings(),
    )
    for noise, kde in zip(noises, kdes, strict=True):
        for estimate in kde.estimates():
            if estimate.class_index is None or noise.mode == FIXED_NOISE:
                yield estimate, noise.columns()


def _binned(version: Version) -> Taken:
    width = version.settings.bin_width
    binned = binning_information(version.activations, version.labels, bin_width=width, **version.null_settings())
    for estimate in binned.estimates():
        yield estimate, {"bin_width": width, "singleton_fraction": binned.singleton_fraction}


# The most trustworthy first: readers see them in this order.
INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(
        labels={DECODED: "Decoded", DECODED_TRANSFER: "Decoded (decoders trained on clean)"},
        labels_of={
            (DECODED, LABEL_INFORMATION): "Decoded lower bound",
            (DECODED_TRANSFER, LABEL_INFORMATION): "Decoded lower bound (decoders trained on clean)",
        },
        when=When.EVERY_EPOCH,  # of distorted examples; decoders are refitted at thorough measurements
        measure=decode,
    ),
    Instrument(
        labels={NOISY: "Monte Carlo"},
        labels_of={(NOISY, quantity): "Monte Carlo estimate" for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)},
        when=When.THOROUGH_EPOCHS,
        noises=(FIXED_NOISE, RELATIVE_NOISE),
        measure=_noisy,
    ),
    Instrument(
        labels={KDE_KL: "KDE (KL)", KDE_BD: "KDE (BD)", KDE_MIXED: "KDE (mixed)"},
        # One kind in both terms bounds I(X;T), while the difference of two such bounds only estimates I(T;Y).
        labels_of={
            (KDE_KL, INPUT_INFORMATION): "KDE upper bound (KL)",
            (KDE_BD, INPUT_INFORMATION): "KDE lower bound (BD)",
            (KDE_KL, LABEL_INFORMATION): "KDE estimate (KL-KL)",
            (KDE_BD, LABEL_INFORMATION): "KDE estimate (BD-BD)",
        },
        when=When.EVERY_EPOCH,
        noises=(FIXED_NOISE, RELATIVE_NOISE, SWEPT_NOISE),
        measure=_kde,
    ),
    Instrument(labels={BINNING: "Binning"}, when=When.EVERY_EPOCH, measure=_binned),
)
