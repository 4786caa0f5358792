"""The measurements of one layer, on original and attacked examples, as records."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

import torch
from torch import Tensor

from infoplane.config import MeasurementConfig
from infoplane.estimators import (
    DecodedInformation,
    activation_norm,
    binning_information,
    class_clustering_index,
    kde_sweep,
    linear_cka,
    mean_unit_variance,
    noisy_information,
)
from infoplane.estimators.noise import NOISE_SHARE
from infoplane.randomness import seeded_generator
from infoplane.records import (
    FIXED_NOISE,
    ORIGINAL,
    RELATIVE_NOISE,
    SWEPT_NOISE,
    Geometry,
    Measurement,
)
from infoplane.short_repr import with_short_repr
from infoplane.studies.decoders import DECODABLE, Decoding
from infoplane.studies.rows import Ceilings, binning_rows, class_rows, kde_rows, noisy_rows

GROUPS = 20
COMPARABLE = 4  # examples: fewer leave the debiased similarity undefined


class LayerFacts(TypedDict):
    """Where a measurement comes from: the first columns of its records, but for the examples."""

    study: str
    seed: int
    training: str
    epoch: int
    split: str
    distortion: NotRequired[str]
    level: NotRequired[float]
    layer_index: int
    layer: str


@with_short_repr
class LayerRecords(NamedTuple):
    """What was found about one layer."""

    measurements: list[Measurement]
    geometry: list[Geometry]


@with_short_repr
class Undistorted(NamedTuple):
    """What one layer gave for the undistorted examples: distorted ones are measured against it."""

    unit_variances: Mapping[str, float]  # by version: what their relative noise is relative to, at every level
    decoders: Sequence[DecodedInformation]  # fitted on originals: to their labels, then to permuted ones; or none


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
    versions: Mapping[str, Tensor],
    labels: Tensor,
    groups: Tensor,
    settings: MeasurementConfig,
    facts: LayerFacts,
    *,
    examples_seed: int = 0,
    inputs: Mapping[str, Tensor] | None = None,
    undistorted: Undistorted | None = None,
    predicted: Mapping[str, Tensor] | None = None,
    thorough: bool = False,
    final: bool = False,
    mistakes: bool = False,
) -> LayerRecords:
    """Return what the estimators say about one layer, in nats.

    Permutations, folds and noise depend on `examples_seed` alone, so they are the same for every layer, epoch,
    condition and training seed, and differences stay paired.

    Args:
        versions: by name ("original", then those of attacks), `(samples, features)` outputs for the same examples.
        labels: `(samples,)` integers.
        groups: `(samples,)`, from `stratified_groups`.
        settings: noise, bins and permutations.
        facts: the first columns of the records.
        examples_seed: of permutations, folds and noise.
        inputs: for each version `(samples,)` integers, equal where the inputs are: they give the ceilings of I(X;T) and
            H(T|y). Without them distinct activations do, and a layer that maps all inputs to a few points looks
            saturated.
        undistorted: of distorted examples, what the same layer gave before: their relative noise is that of the
            undistorted version, so that along a distortion only the outputs change, and decoders of the undistorted
            originals read every version.
        predicted: for some versions `(samples,)` classes that the network takes the examples for: what the layer tells
            of these, where they are wrong, is measured too.
        thorough: take the value between the KDE bounds and the decoders too.
        final: sweep the noise, and refit the decoders to permuted labels; of distorted examples these are always.
        mistakes: fit decoders of the predicted classes to each version even where `thorough` does not ask for them.

    Raises:
        ValueError: the activations or labels are not as the estimators need them.
    """
    records = LayerRecords([], [])
    for examples, activations in versions.items():
        own = {**facts, "examples": examples, "samples": activations.shape[0], "features": activations.shape[1]}
        scale = undistorted.unit_variances[examples] if undistorted else mean_unit_variance(activations)
        measured = _Version(activations, labels, groups, settings, own, examples_seed, scale)
        distinct = inputs[examples] if inputs else None
        records.measurements.extend(measured.pairwise_rows(distinct, thorough=thorough, final=final))
        records.geometry.append(measured.geometry(versions.get(ORIGINAL) if examples != ORIGINAL else None))
    if len(labels) >= DECODABLE:
        decoding = Decoding(
            labels=labels.cpu(),
            groups=groups,
            facts=dict(facts),
            examples_seed=examples_seed,
            permutations=settings.decoder_permutations if final or (undistorted and thorough) else 0,
            refitting=thorough,
            refitting_mistakes=thorough or mistakes,
        )
        readers = undistorted.decoders if undistorted else ()
        records.measurements.extend(decoding.rows(versions, readers, predicted or {}))
    return records


class _Version:
    """One layer's outputs for one version of the examples."""

    def __init__(
        self,
        activations: Tensor,
        labels: Tensor,
        groups: Tensor,
        settings: MeasurementConfig,
        common: dict[str, Any],
        examples_seed: int,
        scale: float,
    ) -> None:
        self._activations, self._labels, self._groups = activations, labels, groups
        self._settings, self._common, self._seed = settings, common, examples_seed
        self._scale = scale  # mean variance per unit, which noise is relative to

    def _noise(self, *, final: bool) -> list[dict[str, Any]]:
        """The noise columns of each measurement with KDE; a layer without any variance has no relative noise."""
        noise: list[dict[str, Any]] = [{"noise_mode": FIXED_NOISE, "noise_variance": self._settings.noise_variance}]
        if self._scale > 0:
            ratio = self._settings.noise_ratio or NOISE_SHARE * self._activations.shape[1]
            ratios = [(RELATIVE_NOISE, ratio)]
            ratios += [(SWEPT_NOISE, ratio) for ratio in self._settings.noise_sweep if final]
            noise += [
                {"noise_mode": mode, "noise_ratio": ratio, "noise_variance": ratio * self._scale}
                for mode, ratio in ratios
            ]
        return noise

    def pairwise_rows(self, inputs: Tensor | None, *, thorough: bool, final: bool) -> Iterator[Measurement]:
        """KDE at every noise, binning, and the value between the KDE bounds."""
        settings, groups, common = self._settings, self._groups, self._common
        noise = self._noise(final=final)
        kdes = kde_sweep(
            self._activations,
            self._labels,
            noise_variances=[columns["noise_variance"] for columns in noise],
            permutations=settings.permutations,
            generator=self._permuting(),
        )
        ceilings = Ceilings(kdes[0], self._labels.cpu(), inputs)
        for columns, kde in zip(noise, kdes, strict=True):
            yield from kde_rows(kde, ceilings, groups, {**common, **columns})
        yield from class_rows(kdes[0], ceilings, self._labels.cpu(), groups, {**common, **noise[0]})
        binned = binning_information(
            self._activations,
            self._labels,
            bin_width=settings.bin_width,
            permutations=settings.permutations,
            generator=self._permuting(),
        )
        bins = {"bin_width": settings.bin_width, "singleton_fraction": binned.singleton_fraction}
        yield from binning_rows(binned, ceilings, groups, {**common, **bins})
        for columns in noise if thorough else ():
            if columns["noise_mode"] == SWEPT_NOISE:
                continue
            noisy = noisy_information(
                self._activations,
                self._labels,
                noise_variance=columns["noise_variance"],
                permutations=settings.permutations,
                generator=self._permuting(),
            )
            yield from noisy_rows(noisy, ceilings, groups, {**common, **columns})

    def _permuting(self) -> torch.Generator:
        return seeded_generator(self._seed, "permutations")

    def geometry(self, originals: Tensor | None) -> Geometry:
        """Scale and clustering, and how far the outputs moved from those of the originals."""
        return Geometry(
            **self._common,
            activation_norm=activation_norm(self._activations),
            mean_unit_variance=mean_unit_variance(self._activations),
            class_clustering_index=class_clustering_index(self._activations, self._labels),
            cka_with_original=self._similarity(originals),
        )

    def _similarity(self, originals: Tensor | None) -> float | None:
        if originals is None or len(originals) < COMPARABLE:
            return None
        similarity = linear_cka(originals, self._activations).debiased
        return None if math.isnan(similarity) else similarity
