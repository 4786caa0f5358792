"""One estimated number and what is needed to judge it: the result of every estimator."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from infoplane.estimators.influence import NORMAL_QUANTILE
from infoplane.estimators.nulls import Null, null_like
from infoplane.records.short_repr import with_short_repr
from infoplane.records.standing import saturated


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One number about one quantity. Information is in nats, returned raw: it is not clipped to its range.

    Results with one quantity are `Estimate`s themselves; those with several have them as attributes. Both list them
    with `estimates()`. `float(estimate)` is the value.
    """

    quantity: str  # what is estimated: records.INPUT_INFORMATION, LABEL_INFORMATION ...
    kind: str  # what the value is of the quantity: records.LOWER or UPPER, a proved bound, or ESTIMATE
    distribution: str  # of what the quantity is: records.MIXTURE, BINNED or POPULATION
    estimator: str  # its name in the records
    value: float
    error: float | None = None  # standard error; None where the estimator states none
    ceiling: float | None = None  # what the value cannot exceed with these samples; None without such a limit
    null: Null | None = None  # the same estimate for permuted labels, if permutations were asked for
    undersampled: bool | None = None  # whether it had too few samples by its own account; None where it cannot say
    class_index: int | None = None  # the class whose samples it is about; None for all
    # (samples,) float64 on the CPU: one term per sample, whose mean is the value and whose spread gives the error
    influences: Tensor | None = field(default=None, compare=False)
    rows: Tensor | None = field(default=None, compare=False)  # (samples,) those it is about; None for all

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval: of what the estimator gives on average, so that no bias is covered."""
        return None if self.error is None else self.value - NORMAL_QUANTILE * self.error

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval."""
        if self.error is None or self.value == math.inf:
            return None if self.error is None else math.inf
        return self.value + NORMAL_QUANTILE * self.error

    @property
    def saturated(self) -> bool:
        """Whether the value is so near its ceiling that it says more about the samples than about the layer."""
        return saturated(self.value, self.ceiling, estimator=self.estimator, quantity=self.quantity)

    @property
    def null_like(self) -> bool | None:
        """Whether permuted labels reach the value; None without a null."""
        return None if self.null is None else null_like(self.value, self.null)

    def estimates(self) -> tuple[Estimate, ...]:
        """Return all quantities of the result: this one."""
        return (self,)

    def __float__(self) -> float:
        return self.value
