"""Shape bias of networks, with intervals and what permuted pairs of classes give, and whether training changes it.

Shape bias is the number of conflicts that a network answers with the class of the shape, over the number that it
answers with either class. Conflicts that it answers with a third class say nothing about the cues and do not count;
their share is given beside it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infoplane.findings.evidence import Evidence, Floats, jackknifed
from infoplane.findings.where_shares import Share, share_of
from infoplane.randomness import stable_seed
from infoplane.records.shape import UNTRAINED
from infoplane.records.tables import ADVERSARIAL_TRAINING, NORMAL_TRAINING

PERMUTATIONS = 200  # of the pairs of classes
_TAIL = 0.025

BIAS_SCHEMA: dict[str, pl.DataType] = {
    "training": pl.String(),
    "kind": pl.String(),
    "width": pl.Float64(),
    "seeds": pl.Int64(),
    "n": pl.Int64(),  # conflicts, those of all seeds together
    "shape": pl.Int64(),  # answered with the class of the shape
    "texture": pl.Int64(),  # answered with the class of the texture
    "answered_share": pl.Float64(),  # with either class
    "answered_low": pl.Float64(),
    "answered_high": pl.Float64(),
    "bias": pl.Float64(),  # null where neither is answered
    "bias_low": pl.Float64(),  # 95 % interval
    "bias_high": pl.Float64(),
    "permuted_bias": pl.Float64(),  # mean over permutations of the pairs of classes
    "permuted_low": pl.Float64(),  # their central 95 %
    "permuted_high": pl.Float64(),
    "permuted_answered": pl.Float64(),
}


def shape_bias(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the shape bias of each training and kind of conflicts, columns of `BIAS_SCHEMA`.

    The interval is Wilson's over the answered conflicts. Of several seeds, a conflict counts as one trial as far as
    possible, and the t interval over seeds is added in quadrature (`where_shares.share_of`). It disregards that each
    image takes part in two conflicts; `bias_difference` does not.

    Args:
        answers: columns of `records.shape.CUE_ANSWER_SCHEMA`.

    Source: Geirhos et al. (2019), arXiv:1811.12231, for the definition.
    """
    rows = []
    keys = ["training", "kind", "width"]
    for (training, kind, width), own in answers.partition_by(keys, as_dict=True, maintain_order=True).items():
        shape, texture = (own["predicted"].to_numpy() == own[cue].to_numpy() for cue in ("shape", "texture"))
        either, conflicts, seeds = shape | texture, own["conflict"].to_numpy(), own["seed"].to_numpy()
        answered = share_of(either, conflicts, seeds)
        bias = share_of(shape[either], conflicts[either], seeds[either]) if either.any() else None
        rows.append(
            {
                "training": training,
                "kind": kind,
                "width": width,
                "seeds": len(np.unique(seeds)),
                "n": len(own),
                "shape": int(shape.sum()),
                "texture": int(texture.sum()),
                "answered_share": answered.value,
                "answered_low": answered.low,
                "answered_high": answered.high,
                "bias": bias and bias.value,
                "bias_low": bias and bias.low,
                "bias_high": bias and bias.high,
                **_permuted(own),
            }
        )
    return pl.DataFrame(rows, schema=BIAS_SCHEMA)


def _permuted(own: pl.DataFrame) -> dict[str, float | None]:
    """Return what the same answers give if the pairs of classes are dealt to the conflicts at random."""
    number = own["conflict"].n_unique()
    generator = np.random.default_rng(stable_seed("permuted pairs of classes"))
    orders = np.stack([generator.permutation(number) for _ in range(PERMUTATIONS)])
    shapes, textures = np.zeros(PERMUTATIONS), np.zeros(PERMUTATIONS)
    for one in own.sort("conflict").partition_by("seed"):
        predicted = one["predicted"].to_numpy()
        shapes += (one["shape"].to_numpy()[orders] == predicted).sum(axis=1)
        textures += (one["texture"].to_numpy()[orders] == predicted).sum(axis=1)
    either = shapes + textures
    biases = shapes[either > 0] / either[either > 0]
    low, high = np.quantile(biases, [_TAIL, 1 - _TAIL]) if len(biases) else (None, None)
    return {
        "permuted_bias": float(biases.mean()) if len(biases) else None,
        "permuted_low": low,
        "permuted_high": high,
        "permuted_answered": float(either.mean() / len(own)),
    }


class BiasDifference(NamedTuple):
    """How much larger the shape bias of one training is than that of normal training, on the same conflicts."""

    training: str
    biases: tuple[float, float]  # of normal training and of the other, means over seeds
    evidence: Evidence


def bias_difference(answers: pl.DataFrame, adversarial: str) -> BiasDifference | None:
    """Return the shape bias of a training less that of normal training, with its error; None if it is not known.

    Both are ratios of counts over the same conflicts. The fixed groups of conflicts have no image in common. So the
    error is the jackknife's, which leaves out one group after the other.

    Args:
        answers: columns of `records.shape.CUE_ANSWER_SCHEMA`, of one kind of conflicts.
        adversarial: name of the training that is compared with normal training.

    Source: Tukey (1958), Ann. Math. Statist. 29, 614 (pseudo-values).
    """
    counts = {
        (seed, training): _group_counts(own)
        for (training, seed), own in answers.partition_by("training", "seed", as_dict=True).items()
        if training in (NORMAL_TRAINING, adversarial)
    }
    seeds = sorted({seed for seed, _ in counts})
    both = [seed for seed in seeds if all((seed, one) in counts for one in (NORMAL_TRAINING, adversarial))]
    if not both:
        return None
    stacked = np.array([[counts[seed, one] for seed in both] for one in (NORMAL_TRAINING, adversarial)])
    whole = stacked.sum(axis=-1)  # (2 trainings, seeds, 2 cues)
    without = whole[None] - np.moveaxis(stacked, -1, 0)  # (groups, 2, seeds, 2)
    if not (whole.sum(axis=-1) > 0).all() or not (without.sum(axis=-1) > 0).all():
        return None
    biases, left_out = whole[..., 0] / whole.sum(axis=-1), without[..., 0] / without.sum(axis=-1)
    evidence = jackknifed(biases[1] - biases[0], left_out[:, 1] - left_out[:, 0]).evidence()
    return BiasDifference(adversarial, (float(biases[0].mean()), float(biases[1].mean())), evidence)


def _group_counts(own: pl.DataFrame) -> Floats:
    """Return how many conflicts of each group are answered with either class, `(2 cues, groups)`."""
    groups, predicted = own["group"].to_numpy(), own["predicted"].to_numpy()
    number = int(groups.max()) + 1
    hits: list[NDArray[np.float64]] = [
        np.bincount(groups, weights=predicted == own[cue].to_numpy(), minlength=number).astype(np.float64)
        for cue in ("shape", "texture")
    ]
    return np.stack(hits)


def adversarial_of(answers: pl.DataFrame) -> str | None:
    """Return the training that is compared with normal training: "adversarial", otherwise the first other; or None."""
    others = [one for one in answers["training"].unique(maintain_order=True) if one not in (NORMAL_TRAINING, UNTRAINED)]
    return ADVERSARIAL_TRAINING if ADVERSARIAL_TRAINING in others else next(iter(others), None)


def bias_of(row: Mapping[str, float | None]) -> Share | None:
    """Return the shape bias in a row of `shape_bias`; None where neither class was answered."""
    value, low, high = row["bias"], row["bias_low"], row["bias_high"]
    return None if value is None or low is None or high is None else Share(value, low, high)
