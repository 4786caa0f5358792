"""Decoding estimator: a lower bound of I(T;Y) from decoders that predict the labels of held-out examples."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.checks import check_activations, check_at_least, check_labels
from infoplane.estimators.decoder_choice import LINEAR, MLP, Calibration, chosen_decoders
from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.distinct_rows import multiplicity_entropy
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.influence import standard_error
from infoplane.estimators.label_scores import Family, Scores
from infoplane.estimators.precision import exact_products
from infoplane.estimators.threads import one_thread
from infoplane.estimators.units import Origin, Standardisation, moments
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import DECODED, DECODED_TRANSFER, LABEL_INFORMATION, LOWER, POPULATION

_FAMILIES = {"linear": LINEAR, "mlp": MLP}
_INNER_FOLDS = 4  # one of them chooses and calibrates the decoder, the others fit it
_LARGE = 2**20  # numbers in activations; products with fewer are faster on one thread
_TOGETHER = 2**22  # weights of all decoders that are fitted together; a fit needs about 26 numbers for each


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A calibrated distribution q(y|t) of the label given a layer's output, fitted on some examples."""

    classes: Tensor  # (classes,) the labels of its fit, ascending
    log_prior: Tensor  # (classes,)
    standardisation: Standardisation  # of activations, from all examples that were given, without their labels
    scores: Scores
    calibration: Calibration

    def log_probabilities(self, activations: Tensor) -> Tensor:
        """Return ln q(y|t), `(samples, classes)` float64, in the order of `classes`.

        Raises:
            ValueError: `activations` is not finite `(samples, features)` with the features the decoder was fitted on.
        """
        check_activations(activations)
        if activations.shape[1] != (features := len(self.standardisation.mean)):
            raise ValueError(f"activations must have the decoder's {features} features, got {activations.shape[1]}")
        with _numerics(activations):
            rows = torch.arange(len(activations))
            scores = self.scores(self.standardisation(activations.detach(), rows)).double()
            sharpness, ignorance = self.calibration
            informed = (sharpness * scores + self.log_prior).log_softmax(dim=1)
            return torch.logaddexp(informed + _log(1 - ignorance), self.log_prior + _log(ignorance))

    def information(self, activations: Tensor, labels: Tensor) -> "HeldOutInformation":
        """Return a lower bound of I(T;Y) for other examples than those of the fit, e.g. attacked ones.

        It is a bound only if no version of these examples was used in the fit.

        Raises:
            ValueError: bad shapes, types or values, or a label that was not in the fit.
        """
        check_activations(activations)
        check_labels(labels, len(activations))
        return _judged([self], [torch.arange(len(labels))], activations, _places(self.classes, labels))


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class HeldOutInformation(Estimate):
    """A lower bound of I(T;Y), in nats. It is not clipped, so it can be negative.

    The interval is for the bound that these decoders give, the ceiling is H(Y) of these labels, and the influence
    terms are ln q(y|t) - ln p(y).
    """

    accuracy: float  # share of held-out examples that the decoders classify correctly


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class DecodedInformation(HeldOutInformation):
    """The bound of cross-fitted decoders, with the decoders and their held-out examples."""

    decoders: tuple[Decoder, ...]
    held_out: tuple[Tensor, ...]  # for each decoder, the rows that it decoded; it was fitted on all others

    def transferred(self, activations: Tensor, labels: Tensor, *, among: Tensor | None = None) -> HeldOutInformation:
        """Apply the decoders to another version of the same examples, e.g. attacked, each to its held-out examples.

        For attacked examples the result is the information that decoders trained on clean examples still extract. A
        decoder refitted on attacked examples also uses the perturbation, which depends on the label, so report both.
        The result is negative where the attack misleads the decoders.

        Args:
            activations: `(samples, features)`; row i is the other version of the example in row i of the fit.
            labels: `(samples,)` integers of the same rows. They may differ from those of the fit, e.g. be the classes
                that attacked examples are misclassified as.
            among: `(samples,)` booleans; if given, the result is about these rows only.

        Raises:
            ValueError: bad shapes, types or values, another number of samples or features than in the fit, no row
                chosen by `among`, or a label that was not in the fit.
        """
        check_activations(activations)
        check_labels(labels, len(activations))
        decoded = sum(map(len, self.held_out))
        if len(activations) != decoded:
            raise ValueError(
                f"activations must have one row for each of the {decoded} decoded examples, got {len(activations)}"
            )
        held_out: Sequence[Tensor] = self.held_out
        if among is not None:
            if among.shape != labels.shape or among.dtype != torch.bool or not among.any():
                raise ValueError(
                    f"among must hold one boolean for each of the {len(labels)} rows and choose one at least, "
                    f"got {among.dtype} {tuple(among.shape)}"
                )
            chosen = among.cpu()
            place = chosen.cumsum(dim=0) - 1
            held_out = [place[rows[chosen[rows]]] for rows in held_out]
            activations, labels = activations[among.to(activations.device)], labels.cpu()[chosen]
        places = _places(self.decoders[0].classes, labels)
        judged = _judged(self.decoders, held_out, activations, places)
        return judged if among is None else replace(judged, rows=among.cpu().nonzero().squeeze(1))


def decoded_information(
    activations: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    folds: int = 5,
    decoder: Literal["linear", "mlp"] = "linear",
) -> DecodedInformation:
    """Bound I(T;Y) from below by decoding each example with a decoder fitted on the others.

    For any q, I(T;Y) >= H(Y) + E ln q(y|t), if q was chosen without the examples of the mean. Each of `folds`
    stratified folds is held out in turn. Of all other examples, three quarters fit each candidate. One quarter chooses
    among the candidates and sets a temperature and a share of the class prior. The chosen candidate is then fitted
    again on all of them. If no candidate gains 4 nats over the prior, summed over the examples that choose, q is the
    prior. So the value is about 0 for a layer that is not predictive of the label, and may be for one of less than
    about 4 / (samples / 5) nats. Units are standardised by all examples, those held out as well. This uses no label:
    given all activations, the held-out labels are independent of the decoder, so the bound holds.

    The interval is the value +- 1.96 standard errors. The error combines, in quadrature, that of the per-example terms,
    which includes H(Y), and about classes / (2 samples), the second-order error of the class frequencies, which is all
    that remains if the layer is not predictive. The interval is for the mean value of these decoders on the population,
    which is the bound. It does not cover I(T;Y), nor the spread between decoders fitted on other samples.

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
            "mlp" also tries a hidden layer, at several times the cost.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Barber & Agakov (2003), NeurIPS 16, Eq. 3; Xu et al. (2020), arXiv:2002.10689, Definition 2 (optional
    ignorance); Guo et al. (2017), arXiv:1706.04599, Section 4.2 (temperature).
    """
    return decode_label_sets(activations, [labels], generators=[generator], folds=folds, decoder=decoder)[0]


def decode_label_sets(
    activations: Tensor,
    label_sets: Sequence[Tensor],
    *,
    generators: Sequence[torch.Generator],
    folds: int = 5,
    decoder: Literal["linear", "mlp"] = "linear",
) -> list[DecodedInformation]:
    """Compute `decoded_information` for several sets of labels of the same examples, e.g. permuted ones, together.

    Args:
        activations, folds, decoder: as in `decoded_information`.
        label_sets: at least one, each `(samples,)` integers.
        generators: one for each set.

    Raises:
        ValueError: an argument is outside the description above.
    """
    check_activations(activations)
    for labels in label_sets:
        check_labels(labels, len(activations))
    check_at_least(folds, 2, name="folds")
    check_at_least(len(activations), 2 * folds, name="the number of samples, with two for each fold,")
    families = _families(decoder)
    names, classes = torch.unique(torch.stack([one.cpu().long() for one in label_sets]), return_inverse=True)
    assigned = [_stratified_folds(own, folds, one) for own, one in zip(classes, generators, strict=True)]
    held_out = [[(of == fold).nonzero().squeeze(1) for fold in range(folds)] for of in assigned]
    fits = [
        _Fit(own, torch.ones(len(own), dtype=torch.bool).index_fill_(0, rows, value=False), generator)
        for own, rows_of, generator in zip(classes, held_out, generators, strict=True)
        for rows in rows_of
    ]
    with _numerics(activations):
        decoders = _decoders(activations.detach(), fits, names, families)
    return [
        _cross_fitted(decoders[place * folds : (place + 1) * folds], rows_of, activations, own)
        for place, (rows_of, own) in enumerate(zip(held_out, classes, strict=True))
    ]


def _cross_fitted(
    decoders: Sequence[Decoder], held_out: Sequence[Tensor], activations: Tensor, classes: Tensor
) -> DecodedInformation:
    own = vars(_judged(decoders, held_out, activations, classes)) | {"estimator": DECODED}
    return DecodedInformation(**own, decoders=tuple(decoders), held_out=tuple(held_out))


def fit_decoder(
    activations: Tensor, labels: Tensor, *, generator: torch.Generator, decoder: Literal["linear", "mlp"] = "linear"
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
        decoder: as in `decoded_information`.

    Raises:
        ValueError: an argument is outside the description above.
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_at_least(len(labels), 2, name="the number of samples")
    families = _families(decoder)
    names, classes = torch.unique(labels.cpu().long(), return_inverse=True)
    fit = _Fit(classes, torch.ones(len(labels), dtype=torch.bool), generator)
    with _numerics(activations):
        return _decoders(activations.detach(), [fit], names, families)[0]


def _families(decoder: str) -> tuple[Family, ...]:
    if decoder not in _FAMILIES:
        raise ValueError(f"decoder must be one of {sorted(_FAMILIES)}, got {decoder!r}")
    return _FAMILIES[decoder]


@contextmanager
def _numerics(activations: Tensor) -> Iterator[None]:
    with ExitStack() as stack:
        # The hidden layer needs gradients, which the caller's inference mode would forbid.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(exact_products(activations.device))
        if activations.numel() < _LARGE:
            stack.enter_context(one_thread())
        yield


def _stratified_folds(classes: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Assign examples to folds, `(samples,)`. Fold sizes, and those of each class, differ by at most one."""
    shuffled = torch.randperm(len(classes), generator=generator, device=generator.device).cpu()
    by_class = shuffled[torch.argsort(classes[shuffled], stable=True)]
    fold_of = torch.empty_like(classes)
    fold_of[by_class] = torch.arange(len(classes)) % folds
    return fold_of


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf


class _Fit(NamedTuple):
    """What one decoder is fitted to."""

    classes: Tensor  # (samples,) index of each label
    rows: Tensor  # (samples,) booleans: the examples whose labels it may see
    generator: torch.Generator


def _decoders(activations: Tensor, fits: Sequence[_Fit], names: Tensor, families: Sequence[Family]) -> list[Decoder]:
    """Choose and calibrate the candidate of each fit on an inner split of its rows, and fit it again on all of them."""
    everything = torch.arange(len(activations))
    origin = Origin.of(activations)
    standardisation = Standardisation.by(moments(activations, everything, origin), origin)
    points = standardisation(activations, everything)
    together = max(1, _TOGETHER // (len(names) * (points.shape[1] + 1)))
    decoders = []
    for start in range(0, len(fits), together):
        tasks = _tasks(points, fits[start : start + together], len(names))
        decoders += [
            Decoder(
                classes=names,
                log_prior=log_prior.double(),
                standardisation=standardisation,
                scores=choice.scores,
                calibration=choice.calibration,
            )
            for choice, log_prior in zip(chosen_decoders(tasks, families), tasks.log_prior, strict=True)
        ]
    return decoders


def _tasks(points: Tensor, fits: Sequence[_Fit], number_of_classes: int) -> Tasks:
    judging = torch.stack([_judging(fit) for fit in fits])
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


def _judging(fit: _Fit) -> Tensor:
    """Choose the examples of a fit that judge its candidates, `(samples,)` booleans."""
    rows = fit.rows.nonzero().squeeze(1)
    inner = _stratified_folds(fit.classes[rows], _INNER_FOLDS, fit.generator)
    return torch.zeros_like(fit.rows).index_fill_(0, rows[inner == 0], value=True)


def _places(names: Tensor, labels: Tensor) -> Tensor:
    """Return the index of each label in the ascending `names`."""
    labels = labels.cpu().long()
    places = torch.searchsorted(names, labels).clamp(max=len(names) - 1)
    if (unknown := names[places] != labels).any():
        raise ValueError(f"labels must be among the decoder's {names.tolist()}, got {labels[unknown][0].item()}")
    return places


def _judged(
    decoders: Sequence[Decoder], held_out: Sequence[Tensor], activations: Tensor, classes: Tensor
) -> HeldOutInformation:
    """Return the bound in which each example is judged by the decoder that was fitted without it."""
    influences, correct = torch.zeros(len(classes), dtype=torch.double), torch.zeros(len(classes))
    counts = torch.bincount(classes, minlength=len(decoders[0].classes)).double()
    for decoder, rows in zip(decoders, held_out, strict=True):
        if not len(rows):
            continue
        own = classes[rows]
        log_q = decoder.log_probabilities(activations[rows.to(activations.device)]).cpu()
        influences[rows] = log_q.gather(1, own[:, None]).squeeze(1) - (counts[own] / len(classes)).log()
        correct[rows] = (log_q.argmax(dim=1) == own).float()
    value = influences.mean().item()
    # For equally likely classes, errors in the class frequencies change the value to second order only, which the
    # influence terms do not show: by chi-square / (2 samples) with classes - 1 degrees of freedom. This is the root
    # mean square of that change.
    second_order = math.sqrt(int((counts > 0).sum()) ** 2 - 1) / (2 * len(classes))
    error = math.hypot(standard_error(influences), second_order)
    return HeldOutInformation(
        quantity=LABEL_INFORMATION,
        kind=LOWER,
        distribution=POPULATION,
        estimator=DECODED_TRANSFER,
        value=value,
        error=error,
        ceiling=multiplicity_entropy(classes),
        accuracy=correct.mean().item(),
        influences=influences,
    )
