"""Estimate: the result of every estimator, a number with its error, ceiling and null."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from infoplane.estimators.influence import NORMAL_QUANTILE
from infoplane.estimators.nulls import Null, null_like
from infoplane.records import standing
from infoplane.records.short_repr import with_short_repr


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One number about one quantity. Information is in nats and not clipped to its range.

    A result with one quantity is an `Estimate` itself; a result with several has them as attributes. Both list them
    with `estimates()`. `float(estimate)` is the value.
    """

    quantity: str  # what is estimated: records.INPUT_INFORMATION, LABEL_INFORMATION ...
    kind: str  # how the value relates to the quantity: records.LOWER or UPPER, a proved bound, or ESTIMATE
    distribution: str  # the distribution that the quantity is about: records.MIXTURE, BINNED or POPULATION
    estimator: str  # its name in the records
    value: float
    error: float | None = None  # standard error; None where the estimator states none
    ceiling: float | None = None  # what the value cannot exceed with these samples; None without such a limit
    null: Null | None = None  # the same estimate for permuted labels, if permutations were asked for
    undersampled: bool | None = None  # whether samples were too few; None where the estimator cannot tell
    class_index: int | None = None  # the class whose samples it is about; None for all
    # (samples,) float64 on the CPU: one term per sample, whose mean is the value and whose spread gives the error
    influences: Tensor | None = field(default=None, compare=False)
    rows: Tensor | None = field(default=None, compare=False)  # indices of the samples it is about; None for all

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval for the estimator's expectation. It does not cover the bias."""
        return None if self.error is None else self.value - NORMAL_QUANTILE * self.error

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval."""
        if self.error is None or self.value == math.inf:
            return None if self.error is None else math.inf
        return self.value + NORMAL_QUANTILE * self.error

    @property
    def saturated(self) -> bool:
        """Whether the value is so near its ceiling that it reflects the number of samples, not the layer."""
        return standing.saturated(self.value, self.ceiling, estimator=self.estimator, quantity=self.quantity)

    @property
    def null_like(self) -> bool | None:
        """Whether permuted labels reach the value; None without a null."""
        return None if self.null is None else null_like(self.value, self.null)

    @property
    def mostly_null(self) -> bool | None:
        """Whether permuted labels give more than half of the value on average, but not all; None without a null."""
        if self.null is None:
            return None
        return standing.mostly_null(self.value, self.null.mean) and not null_like(self.value, self.null)

    def estimates(self) -> tuple[Estimate, ...]:
        """Return all estimates of the result: this one."""
        return (self,)

    def __float__(self) -> float:
        return self.value
