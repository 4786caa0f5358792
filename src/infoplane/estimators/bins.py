"""Binning policies: where the edges of bins lie, and the bin number of each activation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infoplane.checks import check_at_least
from infoplane.records.short_repr import with_short_repr

CHUNK = 2**22  # activations sorted or numbered at a time
Read = Callable[[slice], Tensor]  # from a slice of samples to their bin numbers, `(rows, features)` int64


@with_short_repr
@dataclass(frozen=True)
class EqualBins:
    """Bins of equal width between two bounds, the same for all units. Values outside belong to the first or last bin.

    Source: Shwartz-Ziv & Tishby (2017), arXiv:1703.00810: 30 bins between -1 and 1.
    """

    count: int = 30
    lower: float = -1.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        check_at_least(self.count, 2, name="count")
        if not 0 < self.upper - self.lower < float("inf"):  # written so that NaN fails too
            raise ValueError(f"upper must lie above lower, both finite, got [{self.lower}, {self.upper}]")

    def reader(self, activations: Tensor) -> Read:
        """Number the bins of `activations`, `(samples, features)`, in float64."""
        width = (self.upper - self.lower) / self.count

        def read(rows: slice) -> Tensor:
            numbers = ((activations[rows].double() - self.lower) / width).floor_()
            return numbers.clamp_(0, self.count - 1).long()

        return read


@with_short_repr
@dataclass(frozen=True)
class UnitQuantiles:
    """Quantile bins of each unit: every bin of a unit holds equally many of its activations.

    Inner edge k of a unit is element ceil(k (N - 1) / count), from 0, of its N activations in ascending order. The bin
    number of an activation is the number of inner edges that are not above it, so equal activations share a bin. Where
    many activations are equal, e.g. the zeros of a ReLU, edges coincide and their bins merge. Increasing maps of a unit
    do not change its bin numbers.

    Source: the adaptive bins per neuron of Lorenzen, Igel & Nielsen (ICLR 2022), arXiv:2106.12912. Here edges come
    from the measured samples, not from a whole training.
    """

    count: int = 30

    def __post_init__(self) -> None:
        check_at_least(self.count, 2, name="count")

    def reader(self, activations: Tensor) -> Read:
        """Number the bins of `activations`, `(samples, features)`. All numbers are kept in memory, usually as bytes."""
        samples, features = activations.shape
        kept = torch.uint8 if self.count <= 256 else torch.int32
        numbers = torch.empty((samples, features), dtype=kept, device=activations.device)
        step = max(1, CHUNK // samples)
        for start in range(0, features, step):
            units = _comparable(activations[:, start : start + step]).T.contiguous()
            edges = _ascending(units)[:, _inner_edges(samples, self.count)].contiguous()
            numbers[:, start : start + step] = torch.searchsorted(edges, units, right=True, out_int32=True).T
        return lambda rows: numbers[rows].long()


@with_short_repr
@dataclass(frozen=True)
class LayerQuantiles:
    """Quantile bins of a layer: every bin holds equally many activations of all units together.

    Edges and bin numbers are defined as in `UnitQuantiles`, from one sorted copy of all activations.

    Source: the adaptive bins per layer of Lorenzen, Igel & Nielsen (ICLR 2022), arXiv:2106.12912. Here edges come
    from the measured samples, not from a whole training.
    """

    count: int = 30

    def __post_init__(self) -> None:
        check_at_least(self.count, 2, name="count")

    def reader(self, activations: Tensor) -> Read:
        """Number the bins of `activations`, `(samples, features)`."""
        ascending = _ascending(_comparable(activations).reshape(1, -1))[0]
        edges = ascending[_inner_edges(len(ascending), self.count)]
        return lambda rows: torch.bucketize(_comparable(activations[rows]), edges, right=True)


Bins = EqualBins | UnitQuantiles | LayerQuantiles


def _inner_edges(values: int, count: int) -> list[int]:
    return [-(-k * (values - 1) // count) for k in range(1, count)]


def _comparable(activations: Tensor) -> Tensor:
    """Convert half precision, exactly, to float32, which can be sorted on every device."""
    return activations if activations.dtype == torch.double else activations.float()


def _ascending(rows: Tensor) -> Tensor:
    """Sort each row; on a CPU numpy is three times as fast as torch."""
    ascending: Tensor = rows.sort(dim=1).values if rows.is_cuda else torch.from_numpy(np.sort(rows.cpu().numpy()))
    return ascending.to(rows.device)
