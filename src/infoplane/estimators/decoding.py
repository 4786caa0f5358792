"""Decoding estimator: a lower bound of I(T;Y) from decoders that predict the labels of held-out examples."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.checks import check_activations, check_at_least, check_labels
from infoplane.estimators.convolution import MapShape
from infoplane.estimators.decoder_choice import chosen_decoders
from infoplane.estimators.decoder_families import DecoderName, families_of
from infoplane.estimators.decoders import (
    DecodedInformation,
    Decoder,
    HeldOutInformation,
    decoder_numerics,
    judged,
)
from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.distinct_rows import checked_groups, copied, first_appearances
from infoplane.estimators.features import feature_pieces, row_identities
from infoplane.estimators.influence import standard_error
from infoplane.estimators.units import Origin, Standardisation, moments
from infoplane.records import standing
from infoplane.records.tables import DECODED, DECODED_BEST

_INNER_FOLDS = 4  # one of them chooses and calibrates the decoder, the others fit it
_SPLITTABLE = 2 * _INNER_FOLDS  # least number of examples that a decoder for the shortfall is fitted on
_TOGETHER = 2**22  # weights of all decoders that are fitted together; a fit needs about 26 numbers for each


def decoded_information(
    activations: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    folds: int = 5,
    decoder: DecoderName = "linear",
    shortfall: bool = True,
    groups: Tensor | None = None,
    map_shape: MapShape | None = None,
) -> DecodedInformation:
    """Bound I(T;Y) from below by decoding each example with a decoder fitted on the others.

    For any q, I(T;Y) >= H(Y) + E ln q(y|t), if q was chosen without the examples of the mean. Each of `folds`
    stratified folds is held out in turn. Of all other examples, three quarters fit each candidate. One quarter chooses
    among the candidates and sets a temperature and a share of the class prior. The chosen candidate is then fitted
    again on all of them. If no candidate gains 4 nats over the prior, summed over the examples that choose, q is the
    prior. So the value is about 0 for a layer that is not predictive of the label, and may be for one of less than
    about 4 / (samples / 5) nats. Units are standardised by all examples, those held out as well. This uses no label:
    given all activations, the held-out labels are independent of the decoder, so the bound holds.

    The interval is the value +- 1.96 standard errors. The error combines, in quadrature, three parts. The first is that
    of the per-example terms, which includes H(Y). The second is about classes / (2 samples), the second-order error of
    the class frequencies, which is all that remains if the layer is not predictive. The third is what one more example
    would change that costs the most that these decoders allow. Without it, the interval is too short where one to three
    mistakes are expected: it then covers in half to nine tenths of cases (docs/calibration.md). The interval is for the
    mean value of these decoders on the population, which is the bound. It does not cover I(T;Y), nor the spread between
    decoders fitted on other samples.

    Two further decoders are fitted on half as many examples as the others; together they decode every example once.
    `shortfall` is the value less theirs. Examples are too few (`undersampled`) if the shortfall exceeds half of the
    standard error, and two of its own standard errors. A decoder fitted on more examples then gains more than the
    interval shows: see `learning_curve` for how many would be enough. Where not even all examples show that the layer
    is predictive, value and shortfall are both about 0.

    Decoded information can rise from layer to layer, since a later layer can be easier to decode. White-box adversarial
    examples depend on the label, and a decoder fitted on them reads it from the perturbation: see
    `DecodedInformation.transferred`.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA.
        labels: `(samples,)` integers. A class with fewer examples than folds may be missing from some fits; its
            probability there comes from a prior with half an example added to each class.
        generator: source of folds and, for "mlp", of weights and batches.
        folds: at least 2, and at most half the samples.
        decoder: "linear" chooses between Gaussian classes with shrunken means and penalised softmax regression;
            "mlp" also tries a hidden layer, at several times the cost. "best" also tries softmax regression with
            products of units and the norm, and nearest neighbours in the leading directions, at some ten times the
            cost. The best is chosen for each fold, on the inner split.
        shortfall: whether to fit the two decoders on half of the examples, which takes a fifth more time.
        groups: `(samples,)` integers; samples of a group depend on each other, so they are held out together, also from
            choice and calibration. None: equal rows of one label are copies (`distinct_rows.copies`).
        map_shape: channels, height and width, if the features are a flattened feature map; "best" then also tries a
            convolutional decoder, which finds a pattern wherever it lies.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Barber & Agakov (2003), NeurIPS 16, Eq. 3; Xu et al. (2020), arXiv:2002.10689, Definition 2 (optional
    ignorance); Guo et al. (2017), arXiv:1706.04599, Section 4.2 (temperature).
    """
    options: dict[str, Any] = {"folds": folds, "decoder": decoder, "shortfall": shortfall, "groups": groups}
    return decode_label_sets(activations, [labels], generators=[generator], map_shape=map_shape, **options)[0]


def decode_label_sets(
    activations: Tensor,
    label_sets: Sequence[Tensor],
    *,
    generators: Sequence[torch.Generator],
    folds: int = 5,
    decoder: DecoderName = "linear",
    shortfall: bool = True,
    groups: Tensor | None = None,
    map_shape: MapShape | None = None,
) -> list[DecodedInformation]:
    """Compute `decoded_information` for several sets of labels of the same examples, e.g. permuted ones, together.

    Args:
        activations, folds, decoder: as in `decoded_information`.
        label_sets: at least one, each `(samples,)` integers.
        generators: one for each set.
        shortfall: whether to fit the two decoders on half of the examples, for the first set only.
        groups: as in `decoded_information`; None: equal rows of one label of the first set are copies.
        map_shape: as in `decoded_information`.

    Raises:
        ValueError: an argument is outside the description above.
    """
    check_activations(activations)
    if map_shape is not None and (len(map_shape) != 3 or math.prod(map_shape) != activations.shape[1]):
        raise ValueError(
            f"map_shape must be channels, height and width of the {activations.shape[1]} features, got {map_shape}"
        )
    for labels in label_sets:
        check_labels(labels, len(activations))
    check_at_least(folds, 2, name="folds")
    check_at_least(len(activations), 2 * folds, name="the number of samples, with two for each fold,")
    names, classes = torch.unique(torch.stack([one.cpu().long() for one in label_sets]), return_inverse=True)
    groups = checked_groups(groups, lambda: row_identities(feature_pieces(activations)), label_sets[0])
    distinct = len(activations) - copied(groups)
    check_at_least(distinct, 2 * folds, name="the number of distinct samples, with two for each fold,")
    parts = [  # two in each fold
        stratified_parts(own, 2 * folds, one, groups) for own, one in zip(classes, generators, strict=True)
    ]
    fits = [
        Fit(own, parts_of % folds != fold, generator)
        for own, parts_of, generator in zip(classes, parts, generators, strict=True)
        for fold in range(folds)
    ]
    halves = [Fit(classes[0], rows, generators[0]) for rows in _halves(parts[0])] if shortfall else []
    decoders = fit_together(activations, fits + halves, names, decoder=decoder, groups=groups, map_shape=map_shape)
    results = []
    for place, (parts_of, own) in enumerate(zip(parts, classes, strict=True)):
        fitted = decoders[place * folds : (place + 1) * folds]
        held_out = [(parts_of % folds == fold).nonzero().squeeze(1) for fold in range(folds)]
        found = judged(fitted, held_out, activations, own, groups)
        fields = vars(found) | {"estimator": DECODED_BEST if decoder == "best" else DECODED}
        if halves and place == 0:
            fields |= _shortfall(found, decoders[len(fits) :], halves[0].rows, activations, own, groups)
        results.append(DecodedInformation(**fields, decoders=tuple(fitted), held_out=tuple(held_out), groups=groups))
    return results


def _halves(parts: Tensor) -> list[Tensor]:
    """Return two disjoint sets of half as many examples as a decoder of a fold is fitted on; none if these are few."""
    half = int(parts.max() + 1) // 2 - 1
    both = [parts < half, (parts >= half) & (parts < 2 * half)]
    return both if min(int(rows.sum()) for rows in both) >= _SPLITTABLE else []


def _shortfall(
    found: HeldOutInformation,
    fitted: Sequence[Decoder],
    first: Tensor,
    activations: Tensor,
    classes: Tensor,
    groups: Tensor,
) -> dict[str, Any]:
    """Return the fields that say how much less decoders find that are fitted on half as many examples.

    Args:
        found: by decoders of the folds.
        fitted: the two decoders of half as many examples.
        first: `(samples,)` booleans: the examples of the first of them, which the second one decodes.
        activations: `(samples, features)`.
        classes: `(samples,)` integers.
        groups: `(samples,)` integers, the groups of dependent samples.
    """
    others = [(~first).nonzero().squeeze(1), first.nonzero().squeeze(1)]
    lost = found.terms - judged(fitted, others, activations, classes).terms
    bias, error = lost.mean().item(), standard_error(lost, groups)
    return {"shortfall": bias, "undersampled": standing.undersampled(bias, found.error or 0.0, error)}


def fit_decoder(
    activations: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    decoder: DecoderName = "linear",
    groups: Tensor | None = None,
) -> Decoder:
    """Fit one decoder on all these examples, to be applied to examples that the caller held out.

    A white-box attack uses the label, so a decoder refitted on attacked examples can read the label from the
    perturbation. A decoder trained on clean examples and applied to attacked versions of other examples shows how much
    of the information about the label it still extracts. Report both. If the same examples are used for fit and attack,
    use `DecodedInformation.transferred`, which applies each decoder to its held-out examples only.

    Args:
        activations: `(samples, features)`, finite, of any float type, at least two samples.
        labels: `(samples,)` integers.
        generator: source of the inner split and, for "mlp", of weights and batches.
        decoder, groups: as in `decoded_information`.

    Raises:
        ValueError: an argument is outside the description above.
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_at_least(len(labels), 2, name="the number of samples")
    names, classes = torch.unique(labels.cpu().long(), return_inverse=True)
    groups = checked_groups(groups, lambda: row_identities(feature_pieces(activations)), labels)
    fit = Fit(classes, torch.ones(len(labels), dtype=torch.bool), generator)
    return fit_together(activations, [fit], names, decoder=decoder, groups=groups)[0]


def stratified_parts(classes: Tensor, parts: int, generator: torch.Generator, groups: Tensor | None = None) -> Tensor:
    """Assign examples to parts, `(samples,)`, whose sizes, and those of each class, differ by at most one.

    Args:
        classes: `(samples,)` integers.
        parts: number of parts.
        generator: source of the order.
        groups: `(samples,)` integers; examples of a group get the same part, so that parts are only about equal. None
            puts each example in a group of its own.
    """
    members = torch.arange(len(classes)) if groups is None else first_appearances(groups)
    firsts = torch.unique(members)
    shuffled = torch.randperm(len(firsts), generator=generator, device=generator.device).cpu()
    by_class = shuffled[torch.argsort(classes[firsts][shuffled], stable=True)]
    part_of = torch.empty_like(classes)
    part_of[firsts[by_class]] = torch.arange(len(firsts)) % parts
    return part_of[members]


class Fit(NamedTuple):
    """What one decoder is fitted to."""

    classes: Tensor  # (samples,) index of each label
    rows: Tensor  # (samples,) booleans: the examples whose labels it may see, at least two
    generator: torch.Generator  # source of the inner split and of the decoder's draws


def fit_together(
    activations: Tensor,
    fits: Sequence[Fit],
    names: Tensor,
    *,
    decoder: DecoderName,
    groups: Tensor,
    map_shape: MapShape | None = None,
) -> list[Decoder]:
    """Choose and calibrate the candidate of each fit on an inner split of its rows, and fit it again on all of them.

    Args:
        activations: `(samples, features)`.
        fits: one for each decoder.
        names: `(classes,)` the labels, ascending.
        decoder: as in `decoded_information`.
        groups: `(samples,)` integers, the groups of dependent samples.
        map_shape: as in `decoded_information`.
    """
    families = families_of(decoder, map_shape)
    everything, decoders = torch.arange(len(activations)), []
    with decoder_numerics(activations):
        origin = Origin.of(activations.detach())
        standardisation = Standardisation.by(moments(activations.detach(), everything, origin), origin)
        points = standardisation(activations.detach(), everything)
        together = max(1, _TOGETHER // (len(names) * (min(points.shape) + 1)))
        for start in range(0, len(fits), together):
            tasks = _tasks(points, fits[start : start + together], len(names), groups)
            decoders += [
                Decoder(
                    classes=names,
                    log_prior=log_prior.double(),
                    family=choice.family,
                    standardisation=standardisation,
                    scores=choice.scores,
                    calibration=choice.calibration,
                )
                for choice, log_prior in zip(chosen_decoders(tasks, families), tasks.log_prior, strict=True)
            ]
    return decoders


def _tasks(points: Tensor, fits: Sequence[Fit], number_of_classes: int, groups: Tensor) -> Tasks:
    judging = torch.stack([_judging(fit, groups) for fit in fits])
    rows, classes = torch.stack([fit.rows for fit in fits]), torch.stack([fit.classes for fit in fits])
    counts = (F.one_hot(classes, number_of_classes) * rows[..., None]).sum(dim=1) + 0.5
    return Tasks(
        points=points,
        labels=classes.to(points.device),
        fitting=(rows & ~judging).to(points.device),
        judging=judging.to(points.device),
        log_prior=(counts / counts.sum(dim=1, keepdim=True)).float().log().to(points.device),
        generators=[fit.generator for fit in fits],
    )


def _judging(fit: Fit, groups: Tensor) -> Tensor:
    """Choose the examples of a fit that judge its candidates, `(samples,)` booleans."""
    rows = fit.rows.nonzero().squeeze(1)
    inner = stratified_parts(fit.classes[rows], _INNER_FOLDS, fit.generator, groups[rows])
    return torch.zeros_like(fit.rows).index_fill_(0, rows[inner == 0], value=True)
