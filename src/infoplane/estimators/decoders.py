"""Decoders of the label, fitted by `decoding`, and the information that they find in examples they have not seen."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_labels
from infoplane.estimators.distinct_rows import multiplicity_entropy
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.influence import standard_error
from infoplane.estimators.label_scores import Scores
from infoplane.estimators.precision import exact_products
from infoplane.estimators.threads import one_thread
from infoplane.estimators.units import Standardisation
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import DECODED_TRANSFER, LABEL_INFORMATION, LOWER, POPULATION

_LARGE = 2**20  # numbers in activations; products with fewer are faster on one thread


class Calibration(NamedTuple):
    """q = (1 - ignorance) softmax(sharpness x scores + log prior) + ignorance x prior."""

    sharpness: float  # one over the temperature
    ignorance: float


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A calibrated distribution q(y|t) of the label given a layer's output, fitted on some examples."""

    classes: Tensor  # (classes,) the labels of its fit, ascending
    log_prior: Tensor  # (classes,)
    family: str  # the family of classifiers that was chosen; "" for the class prior alone
    standardisation: Standardisation  # of activations, from all examples that were given, without their labels
    scores: Scores
    calibration: Calibration

    @property
    def is_prior(self) -> bool:
        """Whether it says the class prior whatever the activations are."""
        return self.calibration.ignorance == 1.0

    def log_probabilities(self, activations: Tensor) -> Tensor:
        """Return ln q(y|t), `(samples, classes)` float64, in the order of `classes`.

        Raises:
            ValueError: `activations` is not finite `(samples, features)` with the features the decoder was fitted on.
        """
        check_activations(activations)
        _check_features(activations, self)
        if self.is_prior:
            return self.log_prior.to(activations.device).repeat(len(activations), 1)
        with decoder_numerics(activations):
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
        _check_features(activations, self)
        return judged([self], [torch.arange(len(labels))], activations, _places(self.classes, labels))


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class HeldOutInformation(Estimate):
    """A lower bound of I(T;Y), in nats. It is not clipped, so it can be negative.

    The interval is for the bound that these decoders give, the ceiling is H(Y) of these labels, and the influence
    terms are ln q(y|t) - ln p(y).
    """

    accuracy: float  # share of held-out examples that the decoders classify correctly

    @property
    def terms(self) -> Tensor:
        """The influence terms, `(samples,)` float64."""
        assert self.influences is not None
        return self.influences


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class DecodedInformation(HeldOutInformation):
    """The bound of cross-fitted decoders, with the decoders and their held-out examples.

    It is `undersampled` if decoders fitted on half as many examples find clearly less. So are its transfers.
    """

    shortfall: float | None = None  # value less that of decoders fitted on half of the examples; None if not asked for
    decoders: tuple[Decoder, ...]
    held_out: tuple[Tensor, ...]  # for each decoder, the rows that it decoded; it was fitted on all others
    groups: Tensor  # (samples,) equal where examples depend on each other; they are held out together

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
        _check_features(activations, self.decoders[0])
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
        groups = self.groups if among is None else self.groups[among.cpu()]
        found = judged(self.decoders, held_out, activations, places, groups)
        rows = None if among is None else among.cpu().nonzero().squeeze(1)
        return replace(found, rows=rows, undersampled=self.undersampled)


@contextmanager
def decoder_numerics(activations: Tensor) -> Iterator[None]:
    """Compute exactly, and on one thread if activations are few, whatever mode the caller is in."""
    with ExitStack() as stack:
        # The hidden layer needs gradients, which the caller's inference mode would forbid.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(exact_products(activations.device))
        if activations.numel() < _LARGE:
            stack.enter_context(one_thread())
        yield


def _check_features(activations: Tensor, decoder: Decoder) -> None:
    if activations.shape[1] != (features := len(decoder.standardisation.mean)):
        raise ValueError(f"activations must have the decoder's {features} features, got {activations.shape[1]}")


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf


def _places(names: Tensor, labels: Tensor) -> Tensor:
    """Return the index of each label in the ascending `names`."""
    labels = labels.cpu().long()
    places = torch.searchsorted(names, labels).clamp(max=len(names) - 1)
    if (unknown := names[places] != labels).any():
        raise ValueError(f"labels must be among the decoder's {names.tolist()}, got {labels[unknown][0].item()}")
    return places


def judged(
    decoders: Sequence[Decoder],
    held_out: Sequence[Tensor],
    activations: Tensor,
    classes: Tensor,
    groups: Tensor | None = None,
) -> HeldOutInformation:
    """Return the bound in which each example is judged by the decoder that was fitted without it.

    Args:
        decoders: fitted on other examples.
        held_out: for each decoder, the rows that it decodes.
        activations: `(samples, features)`.
        classes: `(samples,)` places of the labels among the decoders' classes.
        groups: `(samples,)` integers, the groups of dependent samples; None: each sample is one.
    """
    influences, correct = torch.zeros(len(classes), dtype=torch.double), torch.zeros(len(classes))
    counts = torch.bincount(classes, minlength=len(decoders[0].classes)).double()
    for decoder, rows in zip(decoders, held_out, strict=True):
        if not len(rows):
            continue
        own = classes[rows]
        # permuted labels leave most decoders with the prior, for which nothing need be gathered and checked
        log_q = (
            decoder.log_prior.expand(len(rows), -1)
            if decoder.is_prior
            else decoder.log_probabilities(activations[rows.to(activations.device)])
        ).cpu()
        influences[rows] = log_q.gather(1, own[:, None]).squeeze(1) - (counts[own] / len(classes)).log()
        correct[rows] = (log_q.argmax(dim=1) == own).float()
    value = influences.mean().item()
    # For equally likely classes, errors in the class frequencies change the value to second order only, which the
    # influence terms do not show: by chi-square / (2 samples) with classes - 1 degrees of freedom. This is the root
    # mean square of that change.
    independent = len(classes) if groups is None else len(torch.unique(groups))
    second_order = math.sqrt(int((counts > 0).sum()) ** 2 - 1) / (2 * independent)
    # The dearest mistake of these decoders costs their share of the prior. It may be rare, and missing among so few
    # examples, so the variance counts one pseudo-example that makes it.
    floor = min(_log(decoder.calibration.ignorance) for decoder in decoders)
    error = math.hypot(standard_error(influences, groups), (value - floor) / independent, second_order)
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
