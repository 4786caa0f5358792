"""Decoded information about shape and about texture of cue-conflict images in one layer."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators import DecodedInformation
from infoplane.estimators.decoders import HeldOutInformation
from infoplane.estimators.nulls import Null, null_from
from infoplane.measuring.fitted_decoders import DECODABLE, fitted_decoders, label_sets
from infoplane.records.short_repr import with_short_repr


@with_short_repr
class Decoded(NamedTuple):
    """A decoded value, with the values that permuted classes give."""

    information: HeldOutInformation
    null: Null | None  # None without permutations
    undersampled: bool | None  # whether decoders of half as many images find clearly less


class OriginalDecoders:
    """Decoders of the label that are fitted to the activations of images without a conflict.

    Images that lend to the same conflicts are held out together. So the decoder that reads a conflict was fitted
    without both of its images.

    Args:
        activations: `(n, features)` of the images.
        labels: `(n,)` integers.
        groups: `(n,)` integers, equal where two images make conflicts with each other.
        examples_seed: seed of folds and permutations.
        permutations: number of permuted label sets, at least 0.

    Raises:
        ValueError: bad shapes, types or values, or fewer than `fitted_decoders.DECODABLE` images.
    """

    def __init__(
        self, activations: Tensor, labels: Tensor, *, groups: Tensor, examples_seed: int, permutations: int
    ) -> None:
        labels = labels.cpu()
        self._sets = label_sets(labels, groups, permutations, examples_seed)
        self._fitted: Sequence[DecodedInformation] = fitted_decoders(
            activations, labels, groups=groups, examples_seed=examples_seed, permutations=permutations
        )

    def of_originals(self) -> Decoded:
        """Return what the decoders find of the label in images that they were fitted without."""
        return _with_null(self._fitted, self._fitted[0].undersampled)

    def of_exchanged(self, activations: Tensor, lenders: Tensor) -> Decoded:
        """Return what they find, in conflicts of these images, of the class of the image that lends a cue.

        Args:
            activations: `(n, features)`; row i is the conflict with the shape of image i.
            lenders: `(n,)` the image that lends the cue, by its row: of the shape `torch.arange(n)`.
        """
        found = [
            one.transferred(activations, labels[lenders]) for one, labels in zip(self._fitted, self._sets, strict=True)
        ]
        return _with_null(found, self._fitted[0].undersampled)

    def of_others(self, activations: Tensor, classes: Tensor) -> Decoded:
        """Return what the decoder of the first fold finds in conflicts of other images than those of the fit.

        Args:
            activations: `(conflicts, features)`.
            classes: `(conflicts,)` of the cue, all among the labels of the fit.
        """
        found = [one.decoders[0].information(activations, classes) for one in self._fitted]
        return _with_null(found, self._fitted[0].undersampled)


def refitted(
    activations: Tensor, classes: Tensor, *, groups: Tensor, examples_seed: int, permutations: int
) -> Decoded | None:
    """Return what decoders find of the classes of a cue that are fitted to other conflicts; None if these are few.

    Args:
        activations: `(conflicts, features)`.
        classes: `(conflicts,)` integers.
        groups: `(conflicts,)` integers, equal where conflicts have an image in common; they are held out together.
        examples_seed: seed of folds and permutations.
        permutations: number of permuted sets of classes, at least 0.
    """
    if len(torch.unique(groups)) < DECODABLE or len(torch.unique(classes)) < 2:
        return None
    fitted = fitted_decoders(
        activations, classes.cpu(), groups=groups, examples_seed=examples_seed, permutations=permutations
    )
    return _with_null(fitted, fitted[0].undersampled)


def _with_null(found: Sequence[HeldOutInformation], undersampled: bool | None) -> Decoded:
    """Bring the value, which is first, and those of permuted classes together."""
    whole, *permuted = found
    return Decoded(whole, null_from([one.value for one in permuted]) if permuted else None, undersampled)
