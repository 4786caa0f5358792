"""Exact information of a layer with finitely many values, where all inputs are known and equally likely."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from infoplane.estimators.estimate import Estimate
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ESTIMATE, EXACT, INPUT_INFORMATION, LABEL_INFORMATION, POPULATION


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class ExactInformation:
    """I(X;T) = H(T) and I(T;Y) of a deterministic, discrete layer T of X, in nats, without error.

    The ceiling of `input` is H(X), and that of `label` is I(X;Y).
    """

    input: Estimate
    label: Estimate

    def estimates(self) -> tuple[Estimate, ...]:
        """Return both values."""
        return (self.input, self.label)


def exact_information(values: Tensor, label_probabilities: Tensor) -> ExactInformation:
    """Count I(X;T) and I(T;Y) where the rows are the layer's values for all inputs, each equally likely.

    With n_t the number of inputs with the value t,

        I(X;T) = H(T) = -sum_t (n_t / N) ln(n_t / N)        I(T;Y) = H(Y) - sum_t (n_t / N) h(mean of P(1|x) in t)

    with h the entropy of two labels. Nothing is estimated: the inputs are no sample of a larger set, and the labels
    enter by their probabilities.

    Args:
        values: `(inputs, features)`, integers or finite floats; rows are one value of T where they are equal.
        label_probabilities: `(inputs,)`, P(y = 1 | x) of each input, in [0, 1].

    Raises:
        ValueError: an argument is outside the description above.

    Source: Cover & Thomas (2006), Section 2.4; for a quantised layer Lorenzen, Igel & Nielsen (ICLR 2022),
    arXiv:2106.12912.
    """
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"values must be (inputs, features) with at least one of each, got {tuple(values.shape)}")
    if not torch.isfinite(values).all():
        raise ValueError("values must be finite, got NaN or infinity")
    if label_probabilities.shape != (len(values),):
        raise ValueError(
            f"label_probabilities must be ({len(values)},), one for each input, got {tuple(label_probabilities.shape)}"
        )
    if not ((label_probabilities >= 0) & (label_probabilities <= 1)).all():
        raise ValueError("label_probabilities must lie in [0, 1]")
    ones = label_probabilities.detach().double().cpu()
    _, cell, counts = torch.unique(values.detach().cpu(), dim=0, return_inverse=True, return_counts=True)
    shares = counts.double() / len(values)
    in_cell = torch.zeros(len(counts), dtype=torch.double).index_add_(0, cell, ones) / counts
    label_entropy = _two(ones.mean())
    return ExactInformation(
        input=_exact(
            INPUT_INFORMATION,
            -torch.xlogy(shares, shares).sum(),
            torch.tensor(math.log(len(values)), dtype=torch.double),
        ),
        label=_exact(
            LABEL_INFORMATION, label_entropy - (shares * _two(in_cell)).sum(), label_entropy - _two(ones).mean()
        ),
    )


def _two(share: Tensor) -> Tensor:
    """Return the entropy of two labels, in nats; sums of probabilities may exceed 1 by a rounding error."""
    share = share.clamp(0, 1)
    return -torch.xlogy(share, share) - torch.xlogy(1 - share, 1 - share)


def _exact(quantity: str, value: Tensor, ceiling: Tensor) -> Estimate:
    return Estimate(
        quantity=quantity,
        kind=ESTIMATE,
        distribution=POPULATION,
        estimator=EXACT,
        value=value.item(),
        ceiling=ceiling.item(),
    )
