"""Where the edges of bins lie: policies that turn each activation into a bin number."""

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
    """Bins of one width between two bounds, the same for all units; values outside go to the first and last bin.

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
    """As many activations in each bin as in any other, for each unit by itself.

    Inner edge k of a unit is element ceil(k (N - 1) / count), from 0, of its N activations in ascending order. A
    number says how many inner edges are not above an activation, so equal ones always share a bin: where many
    coincide, such as the zeros of a ReLU, edges do too, and their bins are one. Increasing maps of a unit change
    nothing.

    Source: the adaptive bins per neuron of Lorenzen, Igel & Nielsen (ICLR 2022), arXiv:2106.12912; edges here are
    those of the samples measured, not of a whole training.
    """

    count: int = 30

    def __post_init__(self) -> None:
        check_at_least(self.count, 2, name="count")

    def reader(self, activations: Tensor) -> Read:
        """Number the bins of `activations`, `(samples, features)`; all numbers are kept, most often as bytes."""
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
    """As many activations in each bin as in any other, over all units of the layer together.

    Edges and numbers are those of `UnitQuantiles`, exactly, from one sorted copy of all activations.

    Source: the adaptive bins per layer of Lorenzen, Igel & Nielsen (ICLR 2022), arXiv:2106.12912; edges here are
    those of the samples measured, not of a whole training.
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
    """Widen half precision, exactly, to what can be sorted everywhere."""
    return activations if activations.dtype == torch.double else activations.float()


def _ascending(rows: Tensor) -> Tensor:
    """Sort each row; on a CPU numpy is three times as fast as torch."""
    ascending: Tensor = rows.sort(dim=1).values if rows.is_cuda else torch.from_numpy(np.sort(rows.cpu().numpy()))
    return ascending.to(rows.device)
