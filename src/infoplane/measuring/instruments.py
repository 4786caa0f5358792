"""Instruments: each way to measure a layer, with its names, times and noises.

`INSTRUMENTS` is the only list of them. Measuring loops over it; tables, figures and pages take names and order from it.
To add an estimator, write it in a file of its own and add its `Instrument` to the list.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infoplane.estimators import Estimate, binning_information, kde_sweep, noisy_sweep, own_noise_information
from infoplane.measuring.decoders import decode
from infoplane.measuring.layer_outputs import Version, When
from infoplane.records.tables import (
    BINNING,
    DECODED,
    DECODED_BEST,
    DECODED_TRANSFER,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    NOISY,
    OWN_NOISE,
    RATE,
    RELATIVE_NOISE,
    SWEPT_NOISE,
)

Taken = Iterator[tuple[Estimate, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One way to measure a layer: when it is used, how, and the labels of its estimators.

    Attributes:
        labels: the text that readers see, by the estimator's name in the records.
        labels_of: a more precise text, by (estimator, quantity), e.g. whether the value is a bound of that quantity.
        when: at which epochs the instrument is used.
        noises: modes of the noise that it adds: FIXED_NOISE, RELATIVE_NOISE, SWEPT_NOISE; empty if it adds none;
            or OWN_NOISE, which the network adds itself. `version.noises` holds those of the first three that are due.
        measure: from one version of a layer to estimates, each with further columns of its row, e.g. its bin width.
        in_memory: whether the activations must be in memory. Of a layer that is too large, the instrument then measures
            a subset of the examples (`LayerOutputs.in_memory`).
        together: whether the processes of a team share the work; others leave the instrument to one of them.
    """

    labels: Mapping[str, str]
    labels_of: Mapping[tuple[str, str], str] = field(default_factory=dict)
    when: When
    noises: tuple[str, ...] = ()
    measure: Callable[[Version], Taken]
    in_memory: bool = False
    together: bool = False


def _noisy(version: Version) -> Taken:
    noises = version.noises
    found = noisy_sweep(
        version.pieces,
        version.labels,
        noise_variances=[noise.variance for noise in noises],
        **version.null_settings(),
    )
    for noise, noisy in zip(noises, found, strict=True):
        for estimate in noisy.estimates():
            yield estimate, noise.columns()


def _kde(version: Version) -> Taken:
    """Yield all quantities at every noise; the entropies of single classes at the fixed noise only."""
    noises = version.noises
    kdes = kde_sweep(
        version.pieces,
        version.labels,
        noise_variances=[noise.variance for noise in noises],
        group=version.layer.group,
        **version.null_settings(),
    )
    for noise, kde in zip(noises, kdes, strict=True):
        for estimate in kde.estimates():
            if estimate.class_index is None or noise.mode == FIXED_NOISE:
                yield estimate, noise.columns()


def _binned(version: Version) -> Taken:
    width = version.settings.bin_width
    binned = binning_information(version.pieces, version.labels, bin_width=width, **version.null_settings())
    for estimate in binned.estimates():
        yield estimate, {"bin_width": width, "singleton_fraction": binned.singleton_fraction}


def _own(version: Version) -> Taken:
    """Yield all at the network's own noise; lower bounds, the costly part if variances differ, at thorough epochs."""
    noise = version.own_noise
    if noise is None:
        return
    own = own_noise_information(
        noise.means,
        noise.variances,
        version.labels,
        lower=When.THOROUGH_EPOCHS in version.layer.due,
        **version.null_settings(),
    )
    columns = {"noise_mode": OWN_NOISE, "noise_variance": noise.variances.double().mean().item()}
    for estimate in own.estimates():
        at_most = {"gaussian_ceiling_nats": own.gaussian_ceiling} if estimate.quantity == INPUT_INFORMATION else {}
        yield estimate, columns | at_most


# Readers see the instruments in this order: the most reliable one first.
INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument(
        labels={
            DECODED: "Decoded",
            DECODED_BEST: "Decoded (best of family)",
            DECODED_TRANSFER: "Decoded (decoders trained on clean)",
        },
        labels_of={
            (DECODED, LABEL_INFORMATION): "Decoded lower bound",
            (DECODED_BEST, LABEL_INFORMATION): "Decoded lower bound (best of family)",
            (DECODED_TRANSFER, LABEL_INFORMATION): "Decoded lower bound (decoders trained on clean)",
        },
        when=When.EVERY_EPOCH,  # of distorted examples; decoders are refitted at thorough measurements
        measure=decode,
        in_memory=True,
    ),
    Instrument(
        labels={NOISY: "Monte Carlo"},
        labels_of={(NOISY, quantity): "Monte Carlo estimate" for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)},
        when=When.THOROUGH_EPOCHS,
        noises=(FIXED_NOISE, RELATIVE_NOISE),
        measure=_noisy,
        in_memory=True,
    ),
    Instrument(
        labels={KDE_KL: "KDE (KL)", KDE_BD: "KDE (BD)", KDE_MIXED: "KDE (mixed)"},
        # Each kind bounds I(X;T). I(T;Y) is the difference of two such bounds, hence only an estimate.
        labels_of={
            (KDE_KL, INPUT_INFORMATION): "KDE upper bound (KL)",
            (KDE_BD, INPUT_INFORMATION): "KDE lower bound (BD)",
            (KDE_KL, LABEL_INFORMATION): "KDE estimate (KL-KL)",
            (KDE_BD, LABEL_INFORMATION): "KDE estimate (BD-BD)",
        },
        when=When.EVERY_EPOCH,
        noises=(FIXED_NOISE, RELATIVE_NOISE, SWEPT_NOISE),
        measure=_kde,
        together=True,
    ),
    Instrument(
        labels={RATE: "Rate"},  # all others have the labels of the estimators at other noises
        labels_of={(RATE, INPUT_INFORMATION): "Rate (variational upper bound)"},
        when=When.EVERY_EPOCH,
        noises=(OWN_NOISE,),
        measure=_own,
    ),
    Instrument(labels={BINNING: "Binning"}, when=When.EVERY_EPOCH, measure=_binned),
)
