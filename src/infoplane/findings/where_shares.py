"""Shares of the examples that lose their label at each layer, with 95 % intervals."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infoplane.findings.evidence import LEVEL, t_quantile
from infoplane.findings.where_lost import layers_in_order, lost_places, places_in_order
from infoplane.measuring.intervals import Interval, wilson_interval
from infoplane.measuring.places_of_loss import NEVER_PLACE
from infoplane.records.tables import ORIGINAL

ALL, MISCLASSIFIED, CORRECT = "all", "misclassified", "correct"

SHARES_SCHEMA: dict[str, pl.DataType] = {
    "training": pl.String(),
    "examples": pl.String(),
    "among": pl.String(),  # ALL, MISCLASSIFIED: by the attack alone, of originals by the network; CORRECT: predicted so
    "place_index": pl.Int64(),
    "place": pl.String(),  # a layer, or `where_lost.NEVER` or `KEPT`
    "n": pl.Int64(),  # examples, those of all seeds together
    "images": pl.Int64(),  # different images among them
    "seeds": pl.Int64(),
    "count": pl.Int64(),  # examples that lose the label there
    "share": pl.Float64(),
    "share_low": pl.Float64(),
    "share_high": pl.Float64(),
    "original_share": pl.Float64(),  # of the same examples without the attack
    "difference": pl.Float64(),  # share less that of the originals
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
    "permuted_share": pl.Float64(),  # of all examples with permuted labels
}
PAIRS_SCHEMA: dict[str, pl.DataType] = {
    "training": pl.String(),
    "examples": pl.String(),
    "label": pl.Int64(),
    "predicted": pl.Int64(),
    "place_index": pl.Int64(),
    "place": pl.String(),
    "n": pl.Int64(),  # misclassified examples of this class as that class
    "count": pl.Int64(),
    "share": pl.Float64(),
    "share_low": pl.Float64(),
    "share_high": pl.Float64(),
}


class Share(NamedTuple):
    """A share or a difference of two, with a 95 % interval."""

    value: float
    low: float
    high: float


def share_of(hits: NDArray[np.bool_], images: NDArray[np.int64], seeds: NDArray[np.int64]) -> Share:
    """Return the share of hits with a 95 % interval.

    An image that several networks see, or that has copies, counts as one trial as far as possible: the number of trials
    is Kish's effective number, (sum m)^2 / sum m^2 for images that occur m times, as if the outcomes of an image were
    all the same. Of several seeds, the t interval over seeds is added in quadrature, as in `findings.evidence`; like
    the share itself, it weighs a seed by the number of its examples.

    Args:
        hits: `(n,)`, at least one.
        images: `(n,)` equal where the images are equal.
        seeds: `(n,)` of the networks.
    """
    share, trials = float(hits.mean()), effective_number(images)
    return _with_seeds(share, wilson_interval(share * trials, trials), hits.astype(float), seeds, least=0.0)


def difference_of(
    hits: NDArray[np.bool_], others: NDArray[np.bool_], images: NDArray[np.int64], seeds: NDArray[np.int64]
) -> Share:
    """Return the difference between two shares of the same examples, hits less others, with a 95 % interval.

    The interval over images combines the Wilson intervals of both shares, whose errors are correlated, since they are
    of the same examples; all counts are scaled to the effective number of images. Arguments are as in `share_of`.

    Source: Newcombe (1998), Statistics in Medicine 17(22), 2635-2650, Method 10.
    """
    trials = effective_number(images)
    both, only_first, only_second, neither = (
        trials * float(which.mean()) for which in (hits & others, hits & ~others, ~hits & others, ~hits & ~others)
    )
    shares = (both + only_first) / trials, (both + only_second) / trials
    first, second = (wilson_interval(min(trials, share * trials), trials) for share in shares)
    value = float(hits.mean()) - float(others.mean())
    correlation = _correlation(both, only_first, only_second, neither)
    half_below = _combined(shares[0] - first.low, second.high - shares[1], correlation)
    half_above = _combined(first.high - shares[0], shares[1] - second.low, correlation)
    interval = Interval(value - half_below, value + half_above)
    return _with_seeds(value, interval, hits.astype(float) - others.astype(float), seeds, least=-1.0)


def _correlation(both: float, only_first: float, only_second: float, neither: float) -> float:
    """Return the correlation of two events, with the correction for continuity of Newcombe's method."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins <= 0:
        return 0.0
    product = both * neither - only_first * only_second
    if product > 0:
        product = max(0.0, product - (both + only_first + only_second + neither) / 2)
    return product / math.sqrt(margins)


def _combined(first: float, second: float, correlation: float) -> float:
    """Return the error of a difference from two errors that are correlated."""
    return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))


def effective_number(images: NDArray[np.int64]) -> float:
    """Return Kish's effective number of trials, given which trials are of the same image."""
    occurrences = np.unique(images, return_counts=True)[1]
    return float(occurrences.sum() ** 2 / (occurrences**2).sum())


def _with_seeds(
    value: float, interval: Interval, terms: NDArray[np.float64], seeds: NDArray[np.int64], *, least: float
) -> Share:
    """Add the t interval over seeds, of the same pooled share: seeds with more examples weigh more.

    The share is a ratio of two sums over seeds, of hits and of examples. The residual of a seed is what it adds to the
    hits beyond the share of its examples.

    Source: Cochran (1977), Sampling Techniques, 3rd ed., Chapter 6 (variance of a ratio estimate).
    """
    residuals = np.array([(terms[seeds == seed] - value).sum() for seed in np.unique(seeds)])
    number, half = len(residuals), 0.0
    if number > 1:
        spread = float(residuals.std(ddof=1)) * number / len(terms)  # per example of a seed, on average
        half = t_quantile(LEVEL, number - 1) * spread / math.sqrt(number)
    low, high = value - math.hypot(value - interval.low, half), value + math.hypot(interval.high - value, half)
    return Share(value, max(least, low), min(1.0, high))


def loss_shares(pointwise: pl.DataFrame, layers: pl.DataFrame) -> pl.DataFrame:
    """Return which share of the examples loses its label at which place, columns of `SHARES_SCHEMA`.

    Args:
        pointwise: columns of `records.where.POINTWISE_SCHEMA`.
        layers: columns of `records.where.POINTWISE_LAYER_SCHEMA`, of the same networks.
    """
    rows = []
    for training, examples, own, places in _parts(lost_places(pointwise), pointwise):
        permuted = _permuted_shares(layers.filter(training=training, examples=examples), len(places))
        for among, chosen in amongs(own).items():
            if chosen.is_empty():
                continue
            images, seeds = chosen["copy_of"].to_numpy(), chosen["seed"].to_numpy()
            for index, place in places:
                hits, others = ((chosen[name] == index).to_numpy() for name in ("place", "place_original"))
                share, difference = share_of(hits, images, seeds), difference_of(hits, others, images, seeds)
                compared = examples != ORIGINAL
                rows.append(
                    {
                        "training": training,
                        "examples": examples,
                        "among": among,
                        "place_index": index,
                        "place": place,
                        "n": len(chosen),
                        "images": len(np.unique(images)),
                        "seeds": len(np.unique(seeds)),
                        "count": int(hits.sum()),
                        "share": share.value,
                        "share_low": share.low,
                        "share_high": share.high,
                        "original_share": float(others.mean()) if compared else None,
                        "difference": difference.value if compared else None,
                        "difference_low": difference.low if compared else None,
                        "difference_high": difference.high if compared else None,
                        "permuted_share": permuted.get(index),
                    }
                )
    return pl.DataFrame(rows, schema=SHARES_SCHEMA)


def pair_shares(pointwise: pl.DataFrame) -> pl.DataFrame:
    """Return the same for each class and the class that it is misclassified as, columns of `PAIRS_SCHEMA`.

    Places at which no example of a pair loses its label are left out.

    Args:
        pointwise: columns of `records.where.POINTWISE_SCHEMA`.
    """
    rows = []
    for training, examples, own, places in _parts(lost_places(pointwise), pointwise):
        names = dict(places)
        wrong = amongs(own)[MISCLASSIFIED]
        pairs = wrong.partition_by("label", "predicted", as_dict=True, maintain_order=True)
        for (label, predicted), pair in sorted(pairs.items(), key=lambda one: (-len(one[1]), one[0])):
            images, seeds = pair["copy_of"].to_numpy(), pair["seed"].to_numpy()
            for index in sorted(pair["place"].unique()):
                hits = (pair["place"] == index).to_numpy()
                share = share_of(hits, images, seeds)
                rows.append(
                    {
                        "training": training,
                        "examples": examples,
                        "label": label,
                        "predicted": predicted,
                        "place_index": index,
                        "place": names[index],
                        "n": len(pair),
                        "count": int(hits.sum()),
                        "share": share.value,
                        "share_low": share.low,
                        "share_high": share.high,
                    }
                )
    return pl.DataFrame(rows, schema=PAIRS_SCHEMA)


def amongs(places: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return all examples, those that are misclassified, and those that are classified correctly.

    Under an attack, "misclassified" are those that the network classifies correctly without it.

    Args:
        places: columns of `where_lost.PLACES_SCHEMA`, of one kind of examples.
    """
    right, right_before = pl.col("predicted") == pl.col("label"), pl.col("predicted_original") == pl.col("label")
    originals = pl.col("examples") == ORIGINAL
    return {
        ALL: places,
        MISCLASSIFIED: places.filter(~right & (right_before | originals)),
        CORRECT: places.filter(right),
    }


def _parts(
    places: pl.DataFrame, pointwise: pl.DataFrame
) -> Iterator[tuple[str, str, pl.DataFrame, list[tuple[int, str]]]]:
    """Yield training, kind of examples, their rows and the places, in the order of the records."""
    for (training, examples), own in places.partition_by(
        "training", "examples", as_dict=True, maintain_order=True
    ).items():
        names = places_in_order(layers_in_order(pointwise, str(training)))
        yield str(training), str(examples), own, names


def _permuted_shares(layers: pl.DataFrame, places: int) -> dict[int, float]:
    """Return the shares under permuted labels by the number of the place, as means over seeds; empty if unknown."""
    known = layers.filter(pl.col("permuted_lost_share").is_not_null())
    if known.is_empty():
        return {}
    means = known.group_by("layer_index").agg(pl.col("permuted_lost_share", "permuted_encoded_share").mean())
    ordered = means.sort("layer_index")
    lost, kept = ordered["permuted_lost_share"].to_list(), float(ordered["permuted_encoded_share"][-1])
    return {NEVER_PLACE: 1 - sum(lost) - kept, **dict(enumerate(lost)), places - 2: kept}
