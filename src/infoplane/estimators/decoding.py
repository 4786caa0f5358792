"""Label information that a decoder extracts from examples it has not seen: a lower bound of I(T;Y)."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least, check_labels
from infoplane.estimators.influence import standard_error
from infoplane.estimators.label_scores import LINEAR, MLP, Family, Scores
from infoplane.estimators.precision import exact_products
from infoplane.estimators.rows import multiplicity_entropy

_FAMILIES = {"linear": LINEAR, "mlp": MLP}
_INNER_FOLDS = 4  # one of them chooses and calibrates the decoder, the others fit it
_EVIDENCE = 4.0  # nats over all judged examples: chance alone gets there in about 1 of 400 tries
_NORMAL_QUANTILE = 1.959964  # 97.5 %


class _Calibration(NamedTuple):
    """q = (1 - ignorance) softmax(sharpness x scores + log prior) + ignorance x prior."""

    sharpness: float  # one over the temperature
    ignorance: float


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A calibrated distribution q(y|t) of the label given a layer's output, fitted on some examples."""

    classes: Tensor  # (classes,) the labels it knows, ascending
    log_prior: Tensor  # (classes,)
    centre: Tensor  # (features,) and
    scale: Tensor  # (features,): activations are standardised as (t - centre) * scale
    scores: Scores
    calibration: _Calibration

    def log_probabilities(self, activations: Tensor) -> Tensor:
        """Return ln q(y|t), `(samples, classes)` float64, in the order of `classes`.

        Raises:
            ValueError: `activations` is not finite `(samples, features)` with the features the decoder was fitted on.
        """
        check_activations(activations)
        if activations.shape[1] != len(self.centre):
            raise ValueError(
                f"activations must have the decoder's {len(self.centre)} features, got {activations.shape[1]}"
            )
        with _numerics(activations.device):
            scores = self.scores(_standardised(activations.detach(), self.centre, self.scale)).double()
            sharpness, ignorance = self.calibration
            informed = (sharpness * scores + self.log_prior).log_softmax(dim=1)
            return torch.logaddexp(informed + _log(1 - ignorance), self.log_prior + _log(ignorance))

    def information(self, activations: Tensor, labels: Tensor) -> "DecodedInformation":
        """Bound I(T;Y) of other examples than those of the fit, say attacked ones, from below.

        The number is honest only for examples that the caller held out, in every version of theirs.

        Raises:
            ValueError: bad shapes, types or values, or a label that the decoder does not know.
        """
        check_activations(activations)
        check_labels(labels, len(activations))
        places = torch.searchsorted(self.classes, labels.cpu().long()).clamp(max=len(self.classes) - 1)
        if (unknown := self.classes[places] != labels.cpu()).any():
            raise ValueError(
                f"labels must be among the decoder's {self.classes.tolist()}, got {labels.cpu()[unknown][0].item()}"
            )
        return _result([self], [torch.arange(len(labels))], activations, places)


@dataclass(frozen=True, kw_only=True)
class DecodedInformation:
    """A lower bound of I(T;Y) with what is needed to judge it, in nats: returned raw, so it can be negative."""

    label: float
    label_error: float
    lower: float  # 95 % interval of the decoders' own value
    upper: float
    label_ceiling: float  # H(Y) of these labels
    accuracy: float  # share of held-out examples whose likeliest label is the right one
    influences: Tensor  # (samples,) float64 on the CPU: ln q(y|t) - ln p(y), whose mean is `label`
    decoders: tuple[Decoder, ...]
    held_out: tuple[Tensor, ...]  # of each decoder the rows that it decoded, all others being its examples


def decoded_information(
    activations: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    folds: int = 5,
    decoder: Literal["linear", "mlp"] = "linear",
) -> DecodedInformation:
    """Bound I(T;Y) from below by decoding each example with a decoder fitted on the others.

    For any q, I(T;Y) >= H(Y) + E ln q(y|t) as long as q was chosen without the examples of the mean. In each of
    `folds` stratified folds all other examples standardise, fit, choose and calibrate: three quarters fit each
    candidate, one quarter chooses among them and sets a temperature and a share of the class prior, and the choice
    is fitted again on all. The prior belongs to every family, and stays where no candidate gains
    4 nats over all examples that choose, so a layer that tells nothing gives about 0, and one that tells less than
    about 4 / (samples / 5) nats may.

    The interval is label +- 1.96 standard errors of the per-example terms, that of H(Y) included. It covers the
    mean value that these decoders have on the population: the bound, not I(T;Y) itself, nor the spread between
    decoders fitted on other samples. Frequencies understate H(Y) by about (classes - 1) / (2 samples), which stays
    on the safe side.

    Decoded information need not fall from layer to layer: a later layer can be easier to decode. And white-box
    adversarial examples are made with the label, which a decoder fitted on them reads from the perturbation: see
    `fit_decoder`.

    Args:
        activations: `(samples, features)`, finite, of any float type, on any device.
        labels: `(samples,)` integers. A class with fewer examples than folds is missing from some fits, where its
            probability comes from a prior with half an example added to each class.
        generator: source of folds and, for "mlp", of weights and batches.
        folds: at least 2, and at most half the samples.
        decoder: "linear" chooses between Gaussian classes with shrunken means and penalised softmax regression;
            "mlp" also tries a hidden layer, at several times the cost.

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
    fold_of = _stratified_folds(classes, folds, generator)
    held_out = [(fold_of == fold).nonzero().squeeze(1) for fold in range(folds)]
    decoders = []
    for fold in range(folds):
        rest = (fold_of != fold).nonzero().squeeze(1)
        with _numerics(activations.device):
            points = activations.detach()[rest.to(activations.device)]
            decoders.append(_fit(points, classes[rest], names, families, generator))
    return _result(decoders, held_out, activations, classes)


def fit_decoder(
    activations: Tensor, labels: Tensor, *, generator: torch.Generator, decoder: Literal["linear", "mlp"] = "linear"
) -> Decoder:
    """Fit one decoder on all these examples, to be applied to examples that the caller held out.

    A white-box attack uses the label, so a decoder refitted on attacked examples reads the label from the
    perturbation. Fitted on originals and applied to attacked versions of other examples, it says what is left of
    the information that the layer gives about originals. Report both.

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
    with _numerics(activations.device):
        return _fit(activations.detach(), classes, names, families, generator)


def _families(decoder: str) -> tuple[Family, ...]:
    if decoder not in _FAMILIES:
        raise ValueError(f"decoder must be one of {sorted(_FAMILIES)}, got {decoder!r}")
    return _FAMILIES[decoder]


@contextmanager
def _numerics(device: torch.device) -> Iterator[None]:
    with ExitStack() as stack:
        # A caller's inference mode would forbid the gradients of the hidden layer.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(exact_products(device))
        yield


def _stratified_folds(classes: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Deal examples to folds, `(samples,)`: sizes, and those of each class, differ by one at most."""
    shuffled = torch.randperm(len(classes), generator=generator, device=generator.device).cpu()
    by_class = shuffled[torch.argsort(classes[shuffled], stable=True)]
    fold_of = torch.empty_like(classes)
    fold_of[by_class] = torch.arange(len(classes)) % folds
    return fold_of


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf


def _standardised(activations: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    # The centre leaves before the digits do: a large common value would take all that float32 has.
    return (activations.to(centre.dtype) - centre).float().mul_(scale)


def _fit(
    activations: Tensor, classes: Tensor, names: Tensor, families: tuple[Family, ...], generator: torch.Generator
) -> Decoder:
    """Choose a family and a step of it on an inner split, calibrate there, and fit the choice on all examples."""
    device = activations.device
    classes = classes.to(device)
    centre = activations.mean(dim=0, dtype=torch.double)
    if activations.dtype != torch.double:
        centre = centre.float()
    points = _standardised(activations, centre, torch.ones((), device=device))
    spread = points.square().mean(dim=0).sqrt()
    # Rounding leaves a constant unit a spread of its own; it must not be blown up to a signal.
    alive = spread > 64 * torch.finfo(centre.dtype).eps * centre.abs()
    scale = torch.where(alive, 1 / spread, 0.0)
    points *= scale
    counts = torch.bincount(classes, minlength=len(names)) + 0.5
    log_prior = (counts / counts.sum()).float().log()

    inner = _stratified_folds(classes.cpu(), _INNER_FOLDS, generator).to(device)
    fitting, judging = (inner != 0).nonzero().squeeze(1), (inner == 0).nonzero().squeeze(1)
    fit_points, judged_points = points[fitting], points[judging]
    # Short of evidence the prior stays: the luckiest of several candidates always gains a little.
    best_gain, best = _EVIDENCE / len(judging), (families[0], 0, _Calibration(0.0, 1.0))
    for family in families:
        family_gain, failures = -math.inf, 0
        for step, scores in enumerate(family.fit(fit_points, classes[fitting], log_prior, generator)):
            gain, calibration = _calibrated(scores(judged_points), classes[judging], log_prior)
            if gain > best_gain:
                best_gain, best = gain, (family, step, calibration)
            failures = 0 if gain > family_gain else failures + 1
            family_gain = max(gain, family_gain)
            if failures == family.patience:
                break
    del fit_points, judged_points
    family, step, calibration = best
    scores = next(islice(family.fit(points, classes, log_prior, generator), step, None))
    return Decoder(
        classes=names, log_prior=log_prior.double(), centre=centre, scale=scale, scores=scores, calibration=calibration
    )


def _calibrated(scores: Tensor, classes: Tensor, log_prior: Tensor) -> tuple[float, _Calibration]:
    """Return the gain over the prior, in nats, and the temperature and share of the prior that make it largest."""
    scores, log_prior, own = scores.double(), log_prior.double(), classes[:, None]
    own_prior = log_prior[classes]
    # With n examples and no miss, one miss in n + 1 is as sure as one gets: a single later miss must not cost all.
    shares = torch.logspace(-math.log10(len(classes) + 1), 0, 13, dtype=torch.double, device=scores.device)
    best_gain, best = 0.0, _Calibration(0.0, 1.0)
    for quarter in range(-8 * 4, 6 * 4 + 1):
        sharpness = 2.0 ** (quarter / 4)
        ratio = (sharpness * scores + log_prior).log_softmax(dim=1).gather(1, own).squeeze(1) - own_prior
        gains = ((1 - shares[:, None]) * ratio.exp() + shares[:, None]).log().mean(dim=1)
        gain, place = (part.item() for part in gains.max(dim=0))
        if gain > best_gain:
            best_gain, best = gain, _Calibration(sharpness, shares[int(place)].item())
    return best_gain, best


def _result(
    decoders: list[Decoder], held_out: list[Tensor], activations: Tensor, classes: Tensor
) -> DecodedInformation:
    influences, correct = torch.zeros(len(classes), dtype=torch.double), torch.zeros(len(classes))
    counts = torch.bincount(classes, minlength=len(decoders[0].classes)).double()
    for decoder, rows in zip(decoders, held_out, strict=True):
        own = classes[rows]
        log_q = decoder.log_probabilities(activations[rows.to(activations.device)]).cpu()
        influences[rows] = log_q.gather(1, own[:, None]).squeeze(1) - (counts[own] / len(classes)).log()
        correct[rows] = (log_q.argmax(dim=1) == own).float()
    label, error = influences.mean().item(), standard_error(influences)
    return DecodedInformation(
        label=label,
        label_error=error,
        lower=label - _NORMAL_QUANTILE * error,
        upper=label + _NORMAL_QUANTILE * error,
        label_ceiling=multiplicity_entropy(classes),
        accuracy=correct.mean().item(),
        influences=influences,
        decoders=tuple(decoders),
        held_out=tuple(held_out),
    )
