"""Estimates become records: one row per number, with everything needed to judge it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from infoplane.estimators import (
    BinningInformation,
    HeldOutInformation,
    KDEInformation,
    NoisyInformation,
    Null,
    group_means,
)
from infoplane.estimators.influence import NORMAL_QUANTILE
from infoplane.estimators.rows import multiplicity_entropy
from infoplane.records import (
    BINNED,
    BINNING,
    CLASS_ENTROPY,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    MIXTURE,
    NOISY,
    POPULATION,
    Measurement,
)
from infoplane.standing import saturated


class Ceilings:
    """What I(X;T), I(T;Y) and H(T|y) - h(noise) can reach with these samples, in nats.

    Args:
        kde: gives the ceilings of distinct activations.
        labels: `(samples,)` integers, on the CPU.
        inputs: `(samples,)` integers, equal where the inputs are: their ceilings then replace those of activations.
    """

    def __init__(self, kde: KDEInformation, labels: Tensor, inputs: Tensor | None) -> None:
        self.label = kde.label_ceiling
        if inputs is None:
            self.input = kde.input_ceiling
            self.classes = {label: entropy.ceiling for label, entropy in kde.class_entropies.items()}
        else:
            inputs = inputs.cpu()
            self.input = multiplicity_entropy(inputs)
            self.classes = {label: multiplicity_entropy(inputs[labels == label]) for label in kde.class_entropies}


def kde_rows(kde: KDEInformation, ceilings: Ceilings, groups: Tensor, common: dict[str, Any]) -> Iterator[Measurement]:
    """The six informations of KDE."""
    for name, estimator, kind, quantity, ceiling in (
        ("input_lower", KDE_BD, "lower", INPUT_INFORMATION, ceilings.input),
        ("input_upper", KDE_KL, "upper", INPUT_INFORMATION, ceilings.input),
        ("label_lower", KDE_BD, "estimate", LABEL_INFORMATION, ceilings.label),
        ("label_upper", KDE_KL, "estimate", LABEL_INFORMATION, ceilings.label),
        ("label_lower_bound", KDE_MIXED, "lower", LABEL_INFORMATION, None),
        ("label_upper_bound", KDE_MIXED, "upper", LABEL_INFORMATION, None),
    ):
        yield _row(
            common,
            estimator=estimator,
            kind=kind,
            quantity=quantity,
            value=getattr(kde, name),
            error=kde.errors[name],
            ceiling=ceiling,
            null=kde.nulls.get(name),
            influences=kde.influences[name],
            groups=groups,
        )


def class_rows(
    kde: KDEInformation, ceilings: Ceilings, labels: Tensor, groups: Tensor, common: dict[str, Any]
) -> Iterator[Measurement]:
    """Both bounds of the entropy within each class; `labels` on the CPU."""
    for label, entropy in kde.class_entropies.items():
        members = labels == label
        for kind, estimator in (("lower", KDE_BD), ("upper", KDE_KL)):
            yield _row(
                {**common, "class_index": label, "samples": entropy.samples},
                estimator=estimator,
                kind=kind,
                quantity=CLASS_ENTROPY,
                value=getattr(entropy, kind),
                error=getattr(entropy, f"{kind}_error"),
                ceiling=ceilings.classes[label],
                null=None,
                influences=kde.influences[f"class_{kind}"],
                groups=groups,
                members=members,
            )


def binning_rows(
    binned: BinningInformation, ceilings: Ceilings, groups: Tensor, common: dict[str, Any]
) -> Iterator[Measurement]:
    """Both binned informations."""
    undersampled = dict.fromkeys(binned.errors, not binned.reliable)
    return _estimate_rows(BINNING, BINNED, binned, binned.errors, undersampled, ceilings, groups, common)


def noisy_rows(
    noisy: NoisyInformation, ceilings: Ceilings, groups: Tensor, common: dict[str, Any]
) -> Iterator[Measurement]:
    """Both informations between the KDE bounds."""
    errors = {"input": noisy.input_error, "label": noisy.label_error}
    undersampled = {"input": noisy.input_biased, "label": noisy.label_biased}
    return _estimate_rows(NOISY, MIXTURE, noisy, errors, undersampled, ceilings, groups, common)


def _estimate_rows(
    estimator: str,
    distribution: str,
    result: BinningInformation | NoisyInformation,
    errors: Mapping[str, float],
    undersampled: Mapping[str, bool],
    ceilings: Ceilings,
    groups: Tensor,
    common: dict[str, Any],
) -> Iterator[Measurement]:
    for name, quantity, ceiling in (
        ("input", INPUT_INFORMATION, ceilings.input),
        ("label", LABEL_INFORMATION, ceilings.label),
    ):
        yield _row(
            common,
            estimator=estimator,
            kind="estimate",
            quantity=quantity,
            distribution=distribution,
            value=getattr(result, name),
            error=errors[name],
            undersampled=undersampled[name],
            ceiling=ceiling,
            null=result.nulls.get(name),
            influences=result.influences[name],
            groups=groups,
        )


def decoded_row(
    decoded: HeldOutInformation,
    estimator: str,
    quantity: str,
    null: Null | None,
    groups: Tensor,
    common: dict[str, Any],
    *,
    among: Tensor | None = None,
) -> Measurement:
    """What held-out decoders find, of all examples or `among` some: near H(Y) too it is there, so never saturated."""
    rows = slice(None) if among is None else among.nonzero().squeeze(1)
    influences = torch.zeros(len(groups), dtype=torch.double)
    influences[rows] = decoded.influences
    return _row(
        common,
        estimator=estimator,
        kind="lower",
        quantity=quantity,
        distribution=POPULATION,
        value=decoded.label,
        error=decoded.label_error,
        ceiling=decoded.label_ceiling,
        null=null,
        influences=influences,
        groups=groups,
        members=rows,
    )


def _row(
    common: dict[str, Any],
    *,
    estimator: str,
    kind: str,
    quantity: str,
    value: float,
    error: float,
    ceiling: float | None,
    null: Null | None,
    influences: Tensor,
    groups: Tensor,
    members: Tensor | slice = slice(None),
    distribution: str = MIXTURE,
    undersampled: bool | None = None,
) -> Measurement:
    means = group_means(influences[members], groups[members], int(groups.max()) + 1).tolist()
    return Measurement(
        **common,
        estimator=estimator,
        kind=kind,
        quantity=quantity,
        value_nats=value,
        standard_error=error,
        interval_low=value - NORMAL_QUANTILE * error,
        interval_high=value + NORMAL_QUANTILE * error,
        ceiling_nats=ceiling,
        null_mean_nats=null.mean if null else None,
        null_quantile95_nats=null.quantile95 if null else None,
        permutations=len(null.values) if null else None,
        distribution=distribution,
        saturated=saturated(value, ceiling, estimator=estimator, quantity=quantity),
        undersampled=undersampled,
        # a class with fewer examples than groups leaves groups empty
        group_means=[None if math.isnan(mean) else mean for mean in means],
    )
