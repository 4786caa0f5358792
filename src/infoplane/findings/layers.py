"""One statistic in every layer, and its mean over the layers that have it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from infoplane.findings.curves import Curve
from infoplane.findings.evidence import Evidence, Floats, Paired, average
from infoplane.findings.finding import ALL_LAYERS, Judge, Number, Statement, noted, undecidable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class InLayer(Generic[T]):
    """The result in one layer, or why there is none."""

    result: T | None
    reason: str = ""
    seeds: int = 0
    value: float | None = None
    numbers: tuple[Number, ...] = ()


def layer_statements(found: Mapping[str, InLayer[T]], like: Statement, judge: Callable[[T], Judge]) -> list[Statement]:
    """Return a statement per layer.

    Args:
        found: by name of the layer.
        like: all that the statements share.
        judge: from a result to its judge.
    """
    return [
        replace(
            like,
            layer=layer,
            value=one.value,
            seeds=one.seeds,
            numbers=one.numbers,
            judge=undecidable(one.reason) if one.result is None else judge(one.result),
        )
        for layer, one in found.items()
    ]


def mean_statement(
    found: Mapping[str, InLayer[T]],
    like: Statement,
    *,
    part: str,
    mean: Callable[[Sequence[T]], T],
    value: Callable[[T], float],
    judge: Callable[[T], Judge],
    numbers: Callable[[T], tuple[Number, ...]] = lambda _: (),
) -> Statement:
    """Return the primary statement: the mean over layers with a result, which have the same seeds.

    Args:
        found: by name of the layer.
        like: all that the statements share.
        part: of the claim.
        mean: of several results.
        value: of a result.
        judge: from a result to its judge.
        numbers: of the mean, that are shown beside those of the layers.
    """
    seeds = max((one.seeds for one in found.values() if one.result is not None), default=0)
    usable = {layer: one for layer, one in found.items() if one.result is not None and one.seeds == seeds}
    reasons: dict[str, list[str]] = {}
    for layer, one in found.items():
        if layer not in usable:
            reasons.setdefault(one.reason or "fewer seeds", []).append(layer)
    left_out = "; ".join(f"{reason}: {', '.join(layers)}" for reason, layers in reasons.items())
    if not usable:
        return replace(like, layer=ALL_LAYERS, part=part, judge=undecidable(left_out or "missing: not recorded"))
    pooled = mean([one.result for one in usable.values() if one.result is not None])
    return replace(
        like,
        layer=ALL_LAYERS,
        part=part,
        value=value(pooled),
        seeds=seeds,
        numbers=(
            *(Number(layer, one.value, like.unit) for layer, one in usable.items() if one.value is not None),
            *numbers(pooled),
        ),
        judge=noted(judge(pooled), f"left out: {left_out}" if left_out else ""),
        scope=f"rests on {len(usable)} of {len(found)} layers: {', '.join(usable)}" if left_out else "",
    )


def mean_of_paired(parts: Sequence[Paired]) -> Paired:
    """Average statistics whose groups are the same examples; without groups where a layer has none."""
    if len({part.groups.shape for part in parts}) > 1:
        parts = [Paired(values=part.values, groups=part.groups[:, :0]) for part in parts]
    return average(parts)


def paired(combinations: Sequence[tuple[float, Floats]]) -> Paired:
    """Collect one linear combination of records per seed; without groups where they do not match."""
    sizes = {len(groups) for _, groups in combinations}
    groups = [own for _, own in combinations] if len(sizes) == 1 else [np.empty(0)] * len(combinations)
    return Paired(values=np.array([value for value, _ in combinations]), groups=np.stack(groups))


def difference(first: tuple[float, Floats], second: tuple[float, Floats]) -> tuple[float, Floats]:
    """Subtract two combinations on the same examples; without groups where they do not match."""
    groups = first[1] - second[1] if len(first[1]) == len(second[1]) else np.empty(0)
    return first[0] - second[0], groups


def contrast(curve: Curve, weights: Mapping[int, float]) -> tuple[float, Floats]:
    """Weigh points of a curve by their position; negative positions count from the end."""
    dense = np.zeros(len(curve.values))
    for position, weight in weights.items():
        dense[position] += weight
    return curve.combination(dense)


def change(curve: Curve, first: int, last: int) -> Evidence:
    """Return how much a curve of one seed rises between two positions."""
    return paired([contrast(curve, {first: -1.0, last: 1.0})]).evidence()
