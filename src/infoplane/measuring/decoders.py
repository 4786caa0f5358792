"""Decode a layer: information about the label, and about the class that examples are misclassified as."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from infoplane.estimators import DecodedInformation, Estimate, HeldOutInformation, learning_curve, null_from
from infoplane.estimators.added_information import compared
from infoplane.measuring.fitted_decoders import fitted_decoders, label_sets
from infoplane.measuring.layer_outputs import Version, When
from infoplane.randomness import seeded_generator
from infoplane.records.tables import MISTAKEN_INFORMATION, ORIGINAL, TRUE_INFORMATION

BEST: Final = "best"  # decoder, chosen for each layer
LEARNABLE = 100  # least number of distinct examples for a learning curve
MISTAKES = 50  # least number of distinct misclassified examples; a decoder learns nothing from fewer


def decode(version: Version) -> Iterator[tuple[Estimate, dict[str, Any]]]:
    """Yield the information that decoders find in one version of the examples.

    At thorough measurements, new decoders are fitted to each version. The decoders of the originals are also applied
    to all other versions. At the last epoch, decoders of the originals are also fitted on fewer examples, and decoders
    of originals and attacked examples side by side. Where examples are distorted, the decoders of the undistorted
    originals are applied to every version.
    """
    if not version.decodable:
        return
    layer, activations = version.layer, version.activations
    original = version.examples == ORIGINAL and not layer.undistorted
    readers = layer.decoders_of_originals
    own: Sequence[DecodedInformation] = ()
    if When.THOROUGH_EPOCHS in layer.due:
        own = readers if original else layer.fitted(activations, layer.labels)
        yield _with_null(own), {}
        if When.LAST_EPOCH in layer.due and not original and not layer.undistorted:
            yield from _added(version, readers[0], own[0])
        if BEST in version.settings.decoders:
            yield _with_null(layer.fitted(activations, layer.labels, decoder=BEST)), {}
    if original and When.LAST_EPOCH in layer.due and len(torch.unique(layer.dependent)) >= LEARNABLE:
        yield from _learning_curve(version)
    if readers and not original:
        known = label_sets(layer.labels.cpu(), layer.dependent, len(readers) - 1, layer.examples_seed)
        yield _with_null([one.transferred(activations, own) for one, own in zip(readers, known, strict=True)]), {}
    if version.examples in layer.predicted:
        for estimate in _mistaken(version, layer.predicted[version.examples].cpu(), readers, own):
            yield estimate, {}


def _learning_curve(version: Version) -> Iterator[tuple[Estimate, dict[str, Any]]]:
    """Yield what decoders find that are fitted on fewer examples, with their number in the column `samples`."""
    generator = seeded_generator(version.layer.examples_seed, "learning curve")
    curve = learning_curve(version.activations, version.labels, generator=generator, groups=version.layer.dependent)
    for size, point in zip(curve.sizes, curve.points, strict=True):
        yield replace(point, rows=None, influences=None), {"samples": size}


def _added(
    version: Version, original: DecodedInformation, attacked: DecodedInformation
) -> Iterator[tuple[Estimate, dict[str, Any]]]:
    """Yield what attacked examples tell beyond the originals about the label, and what they lack."""
    layer = version.layer
    sides = torch.cat([layer.tensor(ORIGINAL), version.activations], dim=1)
    (both,) = fitted_decoders(
        sides, layer.labels.cpu(), groups=layer.dependent, examples_seed=layer.examples_seed, permutations=0
    )
    for estimate in compared(original, attacked, both).estimates():
        yield estimate, {}


def _mistaken(
    version: Version, predicted: Tensor, readers: Sequence[DecodedInformation], of_all: Sequence[DecodedInformation]
) -> Iterator[Estimate]:
    """Yield what a layer encodes about the wrong classes and about the true ones, for misclassified examples only.

    Decoders of originals have no null here, since they were fitted to the true labels. They give 0 where the layer is
    not predictive, and less than 0 where it misleads them. `of_all` are the decoders of the true labels of all
    examples, if they were fitted: where all are misclassified, they are those of the misclassified ones too.
    """
    layer, labels = version.layer, version.labels.cpu()
    among = (predicted != labels) & torch.isin(predicted, labels)
    if len(torch.unique(layer.dependent[among])) < MISTAKES:
        return
    own = version.activations[among.to(version.activations.device)]
    rows = among.nonzero().squeeze(1)
    for quantity, classes in ((MISTAKEN_INFORMATION, predicted), (TRUE_INFORMATION, labels)):
        if When.THOROUGH_EPOCHS in layer.due or layer.every_mistake:
            known = of_all if quantity == TRUE_INFORMATION and among.all() else ()
            found = known or layer.fitted(own, classes[among], among)
            yield replace(_with_null(found), quantity=quantity, rows=rows)
        if readers:
            moved = readers[0].transferred(version.activations, classes, among=among)
            yield replace(moved, quantity=quantity)


def _with_null(found: Sequence[HeldOutInformation]) -> HeldOutInformation:
    """Return the first result, with a null made of all others, which were fitted to permuted labels."""
    return replace(found[0], null=null_from([one.value for one in found[1:]])) if found[1:] else found[0]
