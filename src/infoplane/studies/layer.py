"""The measurements of one layer's activations, as records."""

import math
from collections.abc import Iterator
from typing import Any, TypedDict

import torch
from torch import Tensor

from infoplane.config import MeasurementConfig
from infoplane.estimators import (
    BinningInformation,
    KDEInformation,
    Null,
    binning_information,
    group_means,
    kde_information,
    saturated,
)
from infoplane.estimators.rows import multiplicity_entropy
from infoplane.randomness import seeded_generator
from infoplane.records import (
    BINNING,
    CLASS_ENTROPY,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    Measurement,
)

GROUPS = 20
NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %: intervals hold 95 %


class LayerFacts(TypedDict):
    """Where a measurement comes from: the first columns of its records."""

    study: str
    seed: int
    training: str
    epoch: int
    split: str
    examples: str
    layer_index: int
    layer: str


def stratified_groups(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Deal each class out over `GROUPS` groups at random, so that every group has the class proportions of the whole.

    Args:
        labels: `(samples,)` integers.
        generator: on the CPU.

    Returns:
        `(samples,)` integers below `GROUPS`, or below the number of samples where there are fewer.
    """
    labels = labels.cpu()
    number = min(GROUPS, len(labels))
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    groups = torch.empty(len(labels), dtype=torch.long)
    groups[by_class] = torch.arange(len(labels)) % number
    return groups


def measure_layer(
    activations: Tensor,
    labels: Tensor,
    groups: Tensor,
    settings: MeasurementConfig,
    facts: LayerFacts,
    *,
    examples_seed: int = 0,
    inputs: Tensor | None = None,
) -> list[Measurement]:
    """Return what every estimator of the study says about one layer, in nats.

    The permutations of the nulls depend on `examples_seed` alone, so they are the same for every layer, epoch,
    condition, estimator and training seed, and differences stay paired.

    Args:
        activations: `(samples, features)`.
        labels: `(samples,)` integers.
        groups: `(samples,)`, from `stratified_groups`.
        settings: noise, bins and permutations.
        facts: the first columns of the records.
        examples_seed: of the permutations.
        inputs: `(samples,)` integers, equal where the inputs are: they give the ceilings of I(X;T) and H(T|y). Without
            them distinct activations do, and a layer that maps all inputs to a few points looks saturated.

    Raises:
        ValueError: the activations or labels are not as the estimators need them.
    """
    kde = kde_information(
        activations,
        labels,
        noise_variance=settings.noise_variance,
        permutations=settings.permutations,
        generator=seeded_generator(examples_seed, "permutations"),
    )
    binned = binning_information(
        activations,
        labels,
        bin_width=settings.bin_width,
        permutations=settings.permutations,
        generator=seeded_generator(examples_seed, "permutations"),
    )
    common = {**facts, "samples": activations.shape[0], "features": activations.shape[1]}
    noise = {"noise_mode": "fixed", "noise_variance": settings.noise_variance}
    bins = {"bin_width": settings.bin_width, "singleton_fraction": binned.singleton_fraction}
    ceilings = _Ceilings(kde, labels.cpu(), inputs)
    return [
        *_kde_rows(kde, ceilings, groups, {**common, **noise}),
        *_class_rows(kde, ceilings, labels.cpu(), groups, {**common, **noise}),
        *_binning_rows(binned, ceilings, groups, {**common, **bins}),
    ]


class _Ceilings:
    """What I(X;T), I(T;Y) and H(T|y) - h(noise) can reach with these samples, in nats."""

    def __init__(self, kde: KDEInformation, labels: Tensor, inputs: Tensor | None) -> None:
        self.label = kde.label_ceiling
        if inputs is None:
            self.input = kde.input_ceiling
            self.classes = {label: entropy.ceiling for label, entropy in kde.class_entropies.items()}
        else:
            inputs = inputs.cpu()
            self.input = multiplicity_entropy(inputs)
            self.classes = {label: multiplicity_entropy(inputs[labels == label]) for label in kde.class_entropies}


def _kde_rows(
    kde: KDEInformation, ceilings: _Ceilings, groups: Tensor, common: dict[str, Any]
) -> Iterator[Measurement]:
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


def _class_rows(
    kde: KDEInformation, ceilings: _Ceilings, labels: Tensor, groups: Tensor, common: dict[str, Any]
) -> Iterator[Measurement]:
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


def _binning_rows(
    binned: BinningInformation, ceilings: _Ceilings, groups: Tensor, common: dict[str, Any]
) -> Iterator[Measurement]:
    for name, quantity, ceiling in (
        ("input", INPUT_INFORMATION, ceilings.input),
        ("label", LABEL_INFORMATION, ceilings.label),
    ):
        yield _row(
            common,
            estimator=BINNING,
            kind="estimate",
            quantity=quantity,
            value=getattr(binned, name),
            error=binned.errors[name],
            ceiling=ceiling,
            null=binned.nulls.get(name),
            influences=binned.influences[name],
            groups=groups,
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
        saturated=saturated(value, ceiling),
        # a class with fewer examples than groups leaves groups empty
        group_means=[None if math.isnan(mean) else mean for mean in means],
    )
