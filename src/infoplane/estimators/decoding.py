"""Decoding estimator: a lower bound of I(T;Y) from decoders that predict the labels of held-out examples."""

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least, check_labels
from infoplane.estimators.decoder_families import FAMILIES, DecoderName
from infoplane.estimators.decoders import (
    Calibration,
    DecodedInformation,
    Decoder,
    HeldOutInformation,
    decoder_numerics,
    judged,
)
from infoplane.estimators.distinct_rows import checked_groups, copied, first_appearances
from infoplane.estimators.features import feature_pieces, row_identities
from infoplane.estimators.influence import standard_error
from infoplane.estimators.label_scores import Candidate, Family, Linear
from infoplane.estimators.units import Origin, Standardisation, moments, pooled
from infoplane.records import standing
from infoplane.records.tables import DECODED, DECODED_BEST

_INNER_FOLDS = 4  # one of them chooses and calibrates the decoder, the others fit it
_EVIDENCE = 4.0  # least gain over the prior, in nats over all judged examples; by chance in about 1 of 400 cases
_SPLITTABLE = 2 * _INNER_FOLDS  # least number of examples that a decoder for the shortfall is fitted on
_PROGRESS = 0.003  # nats that a more flexible candidate must gain before the next one is tried


def decoded_information(
    activations: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    folds: int = 5,
    decoder: DecoderName = "linear",
    shortfall: bool = True,
    groups: Tensor | None = None,
) -> DecodedInformation:
    """Bound I(T;Y) from below by decoding each example with a decoder fitted on the others.

    For any q, I(T;Y) >= H(Y) + E ln q(y|t), if q was chosen without the examples of the mean. Each of `folds`
    stratified folds is held out in turn. Of all other examples, three quarters fit each candidate. One quarter chooses
    among the candidates and sets a temperature and a share of the class prior. The chosen candidate is then fitted
    again on all of them. If no candidate gains 4 nats over the prior, summed over the examples that choose, q is the
    prior. So the value is about 0 for a layer that is not predictive of the label, and may be for one of less than
    about 4 / (samples / 5) nats.

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

    Raises:
        ValueError: an argument is outside the description above.

    Source: Barber & Agakov (2003), NeurIPS 16, Eq. 3; Xu et al. (2020), arXiv:2002.10689, Definition 2 (optional
    ignorance); Guo et al. (2017), arXiv:1706.04599, Section 4.2 (temperature).
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_at_least(folds, 2, name="folds")
    check_at_least(len(labels), 2 * folds, name="the number of samples, with two for each fold,")
    families = _families(decoder)
    names, classes = torch.unique(labels.cpu().long(), return_inverse=True)
    groups = checked_groups(groups, lambda: row_identities(feature_pieces(activations)), labels)
    distinct = len(labels) - copied(groups)
    check_at_least(distinct, 2 * folds, name="the number of distinct samples, with two for each fold,")
    parts = stratified_parts(classes, 2 * folds, generator, groups)  # two in each fold
    fold_of = parts % folds
    held_out = [(fold_of == fold).nonzero().squeeze(1) for fold in range(folds)]
    decoders = []
    with decoder_numerics(activations.device):
        points = activations.detach()
        origin = Origin.of(points)
        sums = [moments(points, rows, origin) for rows in held_out]
        for fold in range(folds):
            rest = (fold_of != fold).nonzero().squeeze(1)
            standardisation = Standardisation.by(reduce(pooled, sums[:fold] + sums[fold + 1 :]), origin)
            decoders.append(_fit(points, rest, standardisation, classes, names, families, generator, groups))
    found = judged(decoders, held_out, activations, classes, groups)
    own = vars(found) | {"estimator": DECODED_BEST if decoder == "best" else DECODED}
    if shortfall:
        own |= _shortfall(found, parts, activations, classes, names, decoder, generator, groups)
    return DecodedInformation(**own, decoders=tuple(decoders), held_out=tuple(held_out), groups=groups)


def _shortfall(
    found: HeldOutInformation,
    parts: Tensor,
    activations: Tensor,
    classes: Tensor,
    names: Tensor,
    decoder: DecoderName,
    generator: torch.Generator,
    groups: Tensor,
) -> dict[str, Any]:
    """Return the fields that say how much less decoders find that are fitted on half as many examples."""
    half = int(parts.max() + 1) // 2 - 1  # of 2 K parts: half as many as a decoder of K folds is fitted on
    first, second = parts < half, (parts >= half) & (parts < 2 * half)
    if min(int(first.sum()), int(second.sum())) < _SPLITTABLE:
        return {}
    fitted = [
        fit_rows(
            activations, rows.nonzero().squeeze(1), classes, names, decoder=decoder, generator=generator, groups=groups
        )
        for rows in (first, second)
    ]
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
    rows = torch.arange(len(labels))
    groups = checked_groups(groups, lambda: row_identities(feature_pieces(activations)), labels)
    return fit_rows(activations, rows, classes, names, decoder=decoder, generator=generator, groups=groups)


def _families(decoder: str) -> tuple[Family, ...]:
    if decoder not in FAMILIES:
        raise ValueError(f"decoder must be one of {sorted(FAMILIES)}, got {decoder!r}")
    return FAMILIES[decoder]


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


def fit_rows(
    activations: Tensor,
    rows: Tensor,
    classes: Tensor,
    names: Tensor,
    *,
    decoder: DecoderName,
    generator: torch.Generator,
    groups: Tensor,
) -> Decoder:
    """Fit one decoder on some rows, for all classes.

    Args:
        activations: `(samples, features)`.
        rows: indices of the examples to fit on, at least two.
        classes: `(samples,)` integers below the number of classes.
        names: `(classes,)` the labels, ascending.
        decoder: as in `decoded_information`.
        generator: source of the inner split and of the decoder's draws.
        groups: `(samples,)` integers, the groups of dependent samples.
    """
    families = _families(decoder)
    with decoder_numerics(activations.device):
        points = activations.detach()
        origin = Origin.of(points)
        standardisation = Standardisation.by(moments(points, rows, origin), origin)
        return _fit(points, rows, standardisation, classes, names, families, generator, groups)


def _fit(
    activations: Tensor,
    rows: Tensor,
    standardisation: Standardisation,
    classes: Tensor,
    names: Tensor,
    families: tuple[Family, ...],
    generator: torch.Generator,
    groups: Tensor,
) -> Decoder:
    """Choose and calibrate a candidate on an inner split of these rows, and fit it again on all of them."""
    device = activations.device
    inner = stratified_parts(classes[rows], _INNER_FOLDS, generator, groups[rows])
    rows = rows[torch.argsort((inner == 0).int(), stable=True)]  # the examples that judge come last
    fitting = int((inner != 0).sum())
    own = classes[rows].to(device)
    log_prior = (torch.bincount(own, minlength=len(names)) + 0.5).float()
    log_prior = (log_prior / log_prior.sum()).log()
    points = standardisation(activations, rows)

    best, calibration, family = _chosen(points, own, fitting, log_prior, families, generator)
    silent = Linear(points.new_zeros(len(names), points.shape[1]), torch.zeros_like(log_prior))
    return Decoder(
        classes=names,
        log_prior=log_prior.double(),
        standardisation=standardisation,
        family=family,
        scores=best.refit(points, own) if best else silent,
        calibration=calibration,
    )


def _chosen(
    points: Tensor,
    classes: Tensor,
    fitting: int,
    log_prior: Tensor,
    families: tuple[Family, ...],
    generator: torch.Generator,
) -> tuple[Candidate | None, Calibration, str]:
    """Fit candidates on the first `fitting` examples, and choose the one with the largest gain on the others.

    Also returned is the name of its family, "" for the prior.
    """
    judged_points, judged_classes = points[fitting:], classes[fitting:]
    # Without enough evidence the prior is kept: the best of several candidates always gains a little by chance.
    best_gain = _EVIDENCE / len(judged_classes)
    best, calibration, name = None, Calibration(sharpness=0.0, ignorance=1.0), ""
    for family in families:
        standing, failures = -math.inf, 0
        candidates = family.fit(points[:fitting], classes[:fitting], log_prior, generator)
        for step, candidate in enumerate(candidates, start=1):
            gain, calibrated = _calibrated(candidate.scores(judged_points), judged_classes, log_prior)
            if gain > best_gain:
                best_gain, best, calibration, name = gain, candidate, calibrated, family.name
            # Each step gains less than the one before, so after a small gain the rest cannot reach the best.
            if gain > standing + max(_PROGRESS, (best_gain - gain) / max(1, family.steps - step)):
                standing, failures = gain, 0
            else:
                failures += 1
            if failures == family.patience:
                break
    return best, calibration, name


def _calibrated(scores: Tensor, classes: Tensor, log_prior: Tensor) -> tuple[float, Calibration]:
    """Return the largest gain over the prior, in nats, with its temperature and share of the prior."""
    scores, log_prior, device = scores.double(), log_prior.double(), scores.device
    sharpness = 2 ** torch.arange(-8, 6.25, 0.25, dtype=torch.double, device=device)
    # After n examples without an error, at least one error in n + 1 is assumed, so that a later error stays finite.
    shares = torch.logspace(-math.log10(len(classes) + 1), 0, 13, dtype=torch.double, device=device)[:, None]
    own = scores.gather(1, classes[:, None]).squeeze(1)
    gains = []
    for some in torch.split(sharpness, max(1, 2**15 // scores.numel())):  # many together if the scores are few
        evidence = (some[:, None, None] * scores + log_prior).logsumexp(dim=2)
        ratios = (some[:, None] * own - evidence).exp()[:, None]
        gains.append(((1 - shares) * ratios + shares).log().mean(dim=2))
    table = torch.cat(gains)
    place = int(table.argmax())
    gain = table.flatten()[place].item()
    if gain <= 0:
        return 0.0, Calibration(sharpness=0.0, ignorance=1.0)
    return gain, Calibration(sharpness[place // len(shares)].item(), shares[place % len(shares)].item())
