"""What decoders read in one layer, as records: of the label, and of the class that examples are mistaken for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infoplane.estimators import (
    DecodedInformation,
    HeldOutInformation,
    Null,
    decoded_information,
    label_permutations,
    null_from,
)
from infoplane.randomness import seeded_generator
from infoplane.records import (
    DECODED,
    DECODED_TRANSFER,
    LABEL_INFORMATION,
    MISTAKEN_INFORMATION,
    ORIGINAL,
    TRUE_INFORMATION,
    Measurement,
)
from infoplane.short_repr import with_short_repr
from infoplane.studies.rows import decoded_row

DECODABLE = 10  # examples: two for each fold of the decoders
MISTAKES = 50  # misclassified examples: of fewer a decoder learns nothing


def fitted_decoders(
    activations: Tensor, labels: Tensor, *, examples_seed: int, permutations: int
) -> list[DecodedInformation]:
    """Fit decoders to the labels, then to `permutations` permuted ones: `Undistorted.decoders` of originals.

    Args:
        activations: `(samples, features)`, at least `DECODABLE` samples.
        labels: `(samples,)` integers.
        examples_seed: of folds and permutations.
        permutations: at least 0.
    """
    return [
        decoded_information(activations, one, generator=seeded_generator(examples_seed, "decoder"))
        for one in _label_sets(labels, permutations, examples_seed)
    ]


def _label_sets(labels: Tensor, permutations: int, examples_seed: int) -> list[Tensor]:
    return [labels, *label_permutations(labels, permutations, seeded_generator(examples_seed, "permutations"))]


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How decoders read one layer.

    Attributes:
        labels: `(samples,)` integers, on the CPU.
        groups: `(samples,)`, from `stratified_groups`.
        facts: the first columns of the records.
        examples_seed: of folds and permutations.
        permutations: of the null of refitted decoders.
        refitting: fit decoders of the labels to each version; otherwise those of undistorted originals alone read them.
        refitting_mistakes: likewise of the classes that examples are mistaken for.
    """

    labels: Tensor
    groups: Tensor
    facts: dict[str, Any]
    examples_seed: int
    permutations: int
    refitting: bool
    refitting_mistakes: bool

    def rows(
        self, versions: Mapping[str, Tensor], readers: Sequence[DecodedInformation], predicted: Mapping[str, Tensor]
    ) -> Iterator[Measurement]:
        """Yield what decoders find in each version: refitted to it, and those of originals.

        Args:
            versions: by name, originals first: `(samples, features)`.
            readers: decoders of undistorted originals, to the labels and to permuted ones; without any, those refitted
                to the originals read all other versions.
            predicted: for some versions `(samples,)` classes that the network takes the examples for.
        """
        for examples, activations in versions.items():
            found = self._fitted(activations, self.labels) if self.refitting else []
            if found:
                yield self._row(examples, activations, found[0], DECODED, LABEL_INFORMATION, null=found[1:])
            if examples == ORIGINAL and not readers:
                readers = found
            elif readers:
                known = _label_sets(self.labels, len(readers) - 1, self.examples_seed)
                moved = [reader.transferred(activations, one) for reader, one in zip(readers, known, strict=True)]
                yield self._row(examples, activations, moved[0], DECODED_TRANSFER, LABEL_INFORMATION, null=moved[1:])
            if examples in predicted:
                yield from self._mistaken_rows(examples, activations, predicted[examples].cpu(), readers)

    def _mistaken_rows(
        self, examples: str, activations: Tensor, predicted: Tensor, readers: Sequence[DecodedInformation]
    ) -> Iterator[Measurement]:
        """What a layer tells about the wrong classes and about the right ones, of the misclassified examples alone.

        Decoders of originals have no permuted twin here, for they were fitted to another question; 0 is what they give
        where they know nothing, and less where they are misled.
        """
        among = (predicted != self.labels) & torch.isin(predicted, self.labels)
        if int(among.sum()) < MISTAKES:
            return
        own = activations[among.to(activations.device)]
        for quantity, classes in ((MISTAKEN_INFORMATION, predicted), (TRUE_INFORMATION, self.labels)):
            if self.refitting_mistakes:
                found = self._fitted(own, classes[among])
                yield self._row(examples, own, found[0], DECODED, quantity, null=found[1:], among=among)
            if readers:
                moved = readers[0].transferred(activations, classes, among=among)
                yield self._row(examples, own, moved, DECODED_TRANSFER, quantity, among=among)

    def _fitted(self, activations: Tensor, labels: Tensor) -> list[DecodedInformation]:
        return fitted_decoders(activations, labels, examples_seed=self.examples_seed, permutations=self.permutations)

    def _row(
        self,
        examples: str,
        activations: Tensor,
        found: HeldOutInformation,
        estimator: str,
        quantity: str,
        *,
        null: Sequence[HeldOutInformation] = (),
        among: Tensor | None = None,
    ) -> Measurement:
        common = {**self.facts, "examples": examples}
        common |= {"samples": activations.shape[0], "features": activations.shape[1]}
        return decoded_row(found, estimator, quantity, _null(null), self.groups, common, among=among)


def _null(found: Sequence[HeldOutInformation]) -> Null | None:
    return null_from([one.label for one in found]) if found else None
