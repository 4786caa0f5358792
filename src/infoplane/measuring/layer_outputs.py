"""Outputs of one layer, with the settings of their measurement: the input of instruments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import torch
from torch import Tensor

from infoplane.config import MeasurementConfig
from infoplane.estimators import CovarianceSpectrum, DecodedInformation, covariance_spectrum, mean_unit_variance
from infoplane.estimators.convolution import MapShape
from infoplane.estimators.decoder_families import DecoderName
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.row_products import SharedPieces
from infoplane.measuring.fitted_decoders import DECODABLE, fitted_decoders
from infoplane.measuring.in_memory import rows_of, sampled_rows
from infoplane.measuring.noise import Noise, chosen_noises
from infoplane.measuring.probes import OwnNoise
from infoplane.randomness import seeded_generator
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ORIGINAL, RANDOM
from infoplane.text import with_field_help

if TYPE_CHECKING:  # some builds of torch have no process groups
    from torch.distributed import ProcessGroup

GROUPS = 20


class When(Enum):
    """The epochs at which an instrument is used."""

    EVERY_EPOCH = "at every measured epoch"
    THOROUGH_EPOCHS = "at about 12 logarithmically spaced epochs, and the last"
    LAST_EPOCH = "at the last epoch"


def due(*, thorough: bool = False, final: bool = False) -> frozenset[When]:
    """Return which instruments are due at an epoch."""
    return frozenset(
        {When.EVERY_EPOCH} | ({When.THOROUGH_EPOCHS} if thorough else set()) | ({When.LAST_EPOCH} if final else set())
    )


@with_short_repr
class Undistorted(NamedTuple):
    """Results of one layer for the undistorted examples, the reference for distorted ones."""

    unit_variances: Mapping[str, float]  # by version: the scale of the relative noise, at every level
    decoders: Sequence[DecodedInformation]  # fitted on originals to the labels, then to permuted ones; may be empty


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class LayerOutputs:
    """The outputs of one layer for all versions of the same examples, with the settings of their measurement.

    Permutations, folds and noise depend on `examples_seed` alone. They are the same for every layer, epoch, version
    and training seed, so that differences are paired.

    Attributes:
        versions: by name, originals first: `(samples, features)` outputs for the same examples, or the same in pieces.
        labels: `(samples,)` integers.
        groups: `(samples,)`, from `stratified_groups`.
        settings: noise, bins and permutations.
        due: which instruments are due.
        examples_seed: seed of permutations, folds and noise.
        inputs: by version `(samples,)` integers, equal exactly where the inputs are. They give the ceilings of I(X;T)
            and H(T|y). Without them distinct activations give the ceilings, and a layer that maps all inputs to a few
            points looks saturated.
        copies: `(samples,)` integers, equal exactly where examples are copies of one another. Copies share folds and
            permutations. None: no example is a copy.
        predicted: for some versions, `(samples,)` classes that the network predicts. What the layer encodes about the
            wrong ones is measured too.
        undistorted: for distorted examples, the results of the same layer without distortion. Relative noise is scaled
            by the undistorted variance, so that along a distortion only the outputs change. The decoders of the
            undistorted originals are applied to every version.
        every_mistake: fit decoders of the predicted classes also where no thorough measurement is due.
        map_shape: channels, height and width of the outputs, if they are feature maps.
        own_noise: by version, the noise that the network itself adds to this layer; empty if it adds none.
        only_compared: versions with which others are compared, and which have no records.
        group: processes that measure the layer together; None: this process alone.
        storage_bytes: how much the products of all pairs of examples may take, as of `FeaturePieces`.
        whole: the outputs that these are a subset of; their noises serve the subset too.
    """

    versions: Mapping[str, Tensor | FeaturePieces]
    labels: Tensor
    groups: Tensor
    settings: MeasurementConfig
    due: frozenset[When] = field(default_factory=due)
    examples_seed: int = 0
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    copies: Tensor | None = None
    predicted: Mapping[str, Tensor] = field(default_factory=dict)
    undistorted: Undistorted | None = None
    every_mistake: bool = False
    map_shape: MapShape | None = None
    own_noise: Mapping[str, OwnNoise] = field(default_factory=dict)
    only_compared: frozenset[str] = frozenset()
    group: Optional["ProcessGroup"] = None
    storage_bytes: int | None = None
    whole: Optional["LayerOutputs"] = None

    @property
    def samples(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @property
    def features(self) -> int:
        """Number of units of the layer."""
        return next(iter(self.pieces.values())).features

    @cached_property
    def in_memory(self) -> "LayerOutputs":
        """The same outputs as tensors: of a stratified subset of the examples if all would be too many."""
        rows = sampled_rows(self.labels, self.features, self.examples_seed)
        if rows is None and all(isinstance(outputs, Tensor) for outputs in self.versions.values()):
            return self
        chosen = slice(None) if rows is None else rows

        def of_rows(by_version: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {examples: values.cpu()[chosen] for examples, values in by_version.items()}

        return replace(
            self,
            versions={examples: rows_of(pieces, chosen) for examples, pieces in self.pieces.items()},
            labels=self.labels.cpu()[chosen],
            groups=self.groups[chosen],
            inputs=of_rows(self.inputs),
            copies=self.dependent[chosen],
            predicted=of_rows(self.predicted),
            own_noise={},
            whole=self,
        )

    @cached_property
    def pieces(self) -> dict[str, SharedPieces]:
        """The outputs of each version for estimators that share the products of their rows."""
        return {
            examples: SharedPieces(outputs, storage_bytes=self.storage_bytes)
            for examples, outputs in self.versions.items()
        }

    @cached_property
    def unit_variances(self) -> dict[str, float]:
        """Mean variance per unit of each version."""
        return {examples: mean_unit_variance(pieces) for examples, pieces in self.pieces.items()}

    @cached_property
    def spectra(self) -> dict[str, CovarianceSpectrum]:
        """Variances of each version along its leading directions."""
        return {examples: covariance_spectrum(pieces) for examples, pieces in self.pieces.items()}

    @cached_property
    def decoders_of_originals(self) -> Sequence[DecodedInformation]:
        """Decoders fitted on undistorted originals to the labels, then to permuted ones; may be empty."""
        if self.undistorted:
            return self.undistorted.decoders
        return self.fitted(self.tensor(ORIGINAL), self.labels) if When.THOROUGH_EPOCHS in self.due else ()

    def tensor(self, examples: str) -> Tensor:
        """Return the outputs of one version, `(samples, features)`, which are not in pieces."""
        outputs = self.versions[examples]
        assert isinstance(outputs, Tensor)
        return outputs

    @cached_property
    def dependent(self) -> Tensor:
        """`(samples,)` integers, equal where examples depend on each other."""
        return torch.arange(len(self.labels)) if self.copies is None else self.copies.cpu()

    def fitted(
        self,
        activations: Tensor,
        labels: Tensor,
        among: Tensor | slice = slice(None),
        *,
        decoder: DecoderName = "linear",
    ) -> list[DecodedInformation]:
        """Fit a decoder to the labels; at the last epoch, and for distorted examples, also to permuted labels.

        Args:
            activations: `(samples, features)` of the examples.
            labels: their labels.
            among: which of all examples they are.
            decoder: as in `decoded_information`.
        """
        null = When.LAST_EPOCH in self.due or (self.undistorted and When.THOROUGH_EPOCHS in self.due)
        return fitted_decoders(
            activations,
            labels.cpu(),
            groups=self.dependent[among],
            examples_seed=self.examples_seed,
            permutations=self.settings.decoder_permutations if null else 0,
            decoder=decoder,
            map_shape=self.map_shape,
        )


@with_field_help
@with_short_repr
class Version(NamedTuple):
    """One layer's outputs for one version of the examples: what an instrument measures.

    Attributes:
        layer: its outputs and settings.
        examples: "original", "adversarial", the name of an attack, or "random".
        noise_modes: of the instrument.
    """

    layer: LayerOutputs
    examples: str
    noise_modes: tuple[str, ...] = ()

    @property
    def activations(self) -> Tensor:
        """`(samples, features)`, which are not in pieces."""
        return self.layer.tensor(self.examples)

    @property
    def pieces(self) -> SharedPieces:
        """The activations, for estimators that share the products of their rows."""
        return self.layer.pieces[self.examples]

    @property
    def labels(self) -> Tensor:
        """`(samples,)` integers."""
        return self.layer.labels

    @property
    def settings(self) -> MeasurementConfig:
        """Noise, bins and permutations."""
        return self.layer.settings

    @property
    def own_noise(self) -> OwnNoise | None:
        """The noise that the network itself adds to the layer; None if it adds none."""
        return self.layer.own_noise.get(self.examples)

    @property
    def decodable(self) -> bool:
        """Whether there are enough distinct examples to fit decoders."""
        return len(torch.unique(self.layer.dependent)) >= DECODABLE

    @property
    def noises(self) -> list[Noise]:
        """The noises to measure at. Swept noise is used at the last epoch only, and not for the random control."""
        whole = self.layer.whole or self.layer
        scale = (whole.undistorted or whole).unit_variances[self.examples]
        swept = When.LAST_EPOCH in whole.due and self.examples != RANDOM
        found = chosen_noises(self.settings, samples=whole.samples, features=whole.features, scale=scale, swept=swept)
        return [noise for noise in found if noise.mode in self.noise_modes]

    def null_settings(self) -> dict[str, Any]:
        """Return the arguments of estimators that take their null from the same pass."""
        generator = seeded_generator(self.layer.examples_seed, "permutations")
        return {"permutations": self.settings.permutations, "generator": generator, "groups": self.layer.dependent}


def stratified_groups(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Divide each class at random over `GROUPS` groups, so that every group has the class proportions of the whole.

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
