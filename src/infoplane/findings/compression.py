"""Claims about compression on the 12-bit task, judged by the fall of I(X;T) from its maximum to the last epoch.

The maximum of a noisy curve is too high, so that every curve seems to fall. So the epoch of the maximum is chosen on
the mean curve of the other seeds, and the fall is measured on the seed that was left out. The maximum is looked for
before the last epoch: a curve that rises to its end has a negative fall. With the last epoch among the candidates, such
a fall would be 0 in every seed by construction, with an interval of no width. The fall of a network is the mean over
its hidden layers. The interval is a t interval over seeds.

Falls up to `MATERIAL_NATS` do not count as compression. A network compresses if the whole interval lies above that
border, and does not if the whole interval lies below; otherwise it is undecided. Falls without any spread over seeds
are undecided too. The level of all statements of a study together is 5 % (Bonferroni), for one look at one set of
seeds. Networks whose accuracy on training inputs a constant answer can reach are left out.

The binning decides, for one activation, if in some binning the fall certainly counts and in another one it certainly
does not. This is contradicted if all binnings certainly agree.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.evidence import LEVEL, Floats, t_quantile
from infoplane.findings.finding import ALL_LAYERS, CONTRADICTED, SUPPORTED, UNDECIDED, Verdict
from infoplane.records.compression import FIXED_RANGE, RELU, TANH
from infoplane.records.tables import BINNING, EXACT, FIXED_NOISE, INPUT_INFORMATION, NOISY, RELATIVE_NOISE

MATERIAL_NATS = 0.1
_NO_SPREAD_NATS = 1e-9  # rounding
NETWORK = ("activation", "bits", "seed")
VARIANT = ("estimator", "kind", "bins", "bin_range", "noise_mode")  # how a number came about

FALL_SCHEMA = {
    "activation": pl.String(),
    "bits": pl.Int64(),
    "estimator": pl.String(),
    "kind": pl.String(),
    "bins": pl.Int64(),
    "bin_range": pl.String(),
    "noise_mode": pl.String(),
    "quantity": pl.String(),
    "layer": pl.String(),  # or ALL_LAYERS, the mean over them
    "seeds": pl.Int64(),
    "peak_epoch": pl.Int64(),  # of the mean curve over seeds, any epoch; missing for the mean over layers
    "peak_nats": pl.Float64(),  # of the mean curve; for the mean over layers, the mean of these
    "last_nats": pl.Float64(),  # likewise, at the last epoch
    "falls_nats": pl.List(pl.Float64()),  # per seed
    "fall_nats": pl.Float64(),  # mean over seeds, with its 95 % t interval
    "fall_low": pl.Float64(),
    "fall_high": pl.Float64(),
}


class Judged(NamedTuple):
    """A statement about compression and its verdict. Information is in nats."""

    statement: str
    verdict: Verdict
    fall: float | None  # mean over seeds
    low: float | None  # 95 % interval
    high: float | None
    corrected_low: float | None  # interval at the level that the statement is judged at
    corrected_high: float | None
    reason: str


def learned(accuracies: pl.DataFrame) -> pl.DataFrame:
    """Return the networks that learned: columns of `NETWORK`, and the `accuracy` on training inputs at the last epoch.

    Args:
        accuracies: columns of `compression.ACCURACY_SCHEMA`.
    """
    last = _last_accuracies(accuracies)
    return last.filter(pl.col("accuracy") > pl.col("constant")).select(*NETWORK, "accuracy")


def not_learned(accuracies: pl.DataFrame) -> pl.DataFrame:
    """Return the other networks, likewise."""
    last = _last_accuracies(accuracies)
    return last.filter(pl.col("accuracy") <= pl.col("constant")).select(*NETWORK, "accuracy")


def _last_accuracies(accuracies: pl.DataFrame) -> pl.DataFrame:
    return accuracies.filter(pl.col("split") == "train", pl.col("epoch") == pl.col("epoch").max()).sort(NETWORK)


def falls(measurements: pl.DataFrame, accuracies: pl.DataFrame) -> pl.DataFrame:
    """Return the fall from the maximum to the last epoch: of every layer, and of the mean over layers.

    Args:
        measurements: columns of `compression.COMPRESSION_SCHEMA`.
        accuracies: columns of `compression.ACCURACY_SCHEMA`; networks that did not learn are left out.

    Returns:
        Columns of `FALL_SCHEMA`, a row per kind of network, variant, quantity and layer. Kinds with fewer than two
        networks that learned are not there.
    """
    known = measurements.join(learned(accuracies), on=NETWORK, nulls_equal=True, how="semi")
    keys = ["activation", "bits", *VARIANT, "quantity"]
    rows: list[dict[str, Any]] = []
    for names, curves in known.group_by(keys, maintain_order=True):
        common = dict(zip(keys, names, strict=True))
        own = [
            {"layer": str(layer), **_fall(of_layer)}
            for (layer,), of_layer in curves.sort("layer_index").group_by("layer", maintain_order=True)
        ]
        if len(own[0]["falls_nats"]) < 2:
            continue
        together = {
            "layer": ALL_LAYERS,
            **{name: float(np.mean([one[name] for one in own])) for name in ("peak_nats", "last_nats")},
            "peak_epoch": None,
            "falls_nats": np.mean([one["falls_nats"] for one in own], axis=0),
        }
        for one in (*own, together):
            low, high = interval(one["falls_nats"], LEVEL)
            ends = {"fall_nats": float(np.mean(one["falls_nats"])), "fall_low": low, "fall_high": high}
            falls_of = [float(value) for value in one["falls_nats"]]
            rows.append({**common, **one, **ends, "falls_nats": falls_of, "seeds": len(falls_of)})
    return pl.DataFrame(rows, schema=FALL_SCHEMA)


def _fall(curves: pl.DataFrame) -> dict[str, Any]:
    """Return the falls of one layer in one variant, per seed."""
    epochs = curves["epoch"].unique().sort()
    values = curves.sort("seed", "epoch")["value_nats"].to_numpy().reshape(-1, len(epochs))
    mean = values.mean(axis=0)
    return {
        "peak_epoch": epochs[int(mean.argmax())],
        "peak_nats": float(mean.max()),
        "last_nats": float(mean[-1]),
        "falls_nats": crossed_falls(values),
    }


def crossed_falls(values: Floats) -> Floats:
    """Return for each seed its fall to the last epoch, from the earlier epoch where the mean of the others is highest.

    Args:
        values: `(seeds, epochs)`, at least two epochs.

    Returns:
        `(seeds,)`, negative where the seed rises; of one seed 0, as there are no others.
    """
    if len(values) < 2:
        return np.zeros(len(values))
    others = (values.sum(axis=0) - values) / (len(values) - 1)
    peaks = others[:, :-1].argmax(axis=1)
    found: Floats = values[np.arange(len(values)), peaks] - values[:, -1]
    return found


def interval(values: Sequence[float] | Floats, alpha: float) -> tuple[float, float]:
    """Return the 1 - alpha t interval of the mean of at least two values."""
    mean, spread, number = float(np.mean(values)), float(np.std(values, ddof=1)), len(values)
    half = t_quantile(alpha, number - 1) * spread / number**0.5
    return mean - half, mean + half


def judge_tanh_and_relu(found: pl.DataFrame, bins: int) -> list[Judged]:
    """Judge the claims of the study of tanh and ReLU.

    Args:
        found: as `falls` returns it.
        bins: the number of bins that claims rest on.
    """
    variants = (
        (f"in {bins} equal bins", {"estimator": BINNING, "bins": bins, "bin_range": FIXED_RANGE}),
        ("at fixed noise", {"estimator": NOISY, "noise_mode": FIXED_NOISE}),
        ("at relative noise", {"estimator": NOISY, "noise_mode": RELATIVE_NOISE}),
    )
    alpha = LEVEL / (2 * len(variants))
    judged = []
    for where, variant in variants:
        for activation, compresses in ((TANH, True), (RELU, False)):
            text = f"{activation} {'compresses' if compresses else 'does not compress'} {where}"
            judged.append(_judged(text, _one(found, activation, None, variant), alpha, compresses=compresses))
    return judged


def judge_quantised(found: pl.DataFrame, bits: int) -> list[Judged]:
    """Judge the claims of the study of quantised networks.

    Args:
        found: as `falls` returns it.
        bits: the number of bits that claims rest on.
    """
    alpha = LEVEL / 4
    judged = []
    for activation in (TANH, RELU):
        text = f"{activation}, {bits} bits: I(X;T) falls, exactly"
        judged.append(_judged(text, _one(found, activation, bits, {"estimator": EXACT}), alpha, compresses=True))
    return [*judged, *(_binning_decides(found, activation, bits, alpha) for activation in (TANH, RELU))]


def _one(found: pl.DataFrame, activation: str, bits: int | None, variant: dict[str, Any]) -> pl.DataFrame:
    """Return the rows of the mean over layers of I(X;T)."""
    return found.filter(
        pl.col("activation") == activation,
        pl.col("bits").eq_missing(pl.lit(bits, dtype=pl.Int64)),
        pl.col("quantity") == INPUT_INFORMATION,
        pl.col("layer") == ALL_LAYERS,
        *(pl.col(name) == value for name, value in variant.items()),
    )


def _judged(text: str, rows: pl.DataFrame, alpha: float, *, compresses: bool) -> Judged:
    if rows.is_empty():
        return Judged(text, UNDECIDED, None, None, None, None, None, "fewer than two networks learned")
    (row,) = rows.to_dicts()
    low, high = interval(row["falls_nats"], alpha)
    side = _side(row["falls_nats"], alpha)
    verdict = UNDECIDED if side == 0 else SUPPORTED if (side > 0) == compresses else CONTRADICTED
    if _has_spread(row["falls_nats"]):
        place = {1: "above", -1: "below", 0: "on both sides of"}[side]
        reason = f"the corrected interval lies {place} the border; {row['seeds']} seeds"
    else:
        reason = f"no spread between {row['seeds']} seeds, so no interval"
    return Judged(text, verdict, row["fall_nats"], row["fall_low"], row["fall_high"], low, high, reason)


def _has_spread(falls_nats: Sequence[float]) -> bool:
    return max(falls_nats) - min(falls_nats) > _NO_SPREAD_NATS


def _side(falls_nats: Sequence[float], alpha: float) -> int:
    """Return 1 if the interval of the falls lies above the border, -1 if it lies below, 0 if neither or no spread."""
    if not _has_spread(falls_nats):
        return 0
    low, high = interval(falls_nats, alpha)
    return int(low > MATERIAL_NATS) - int(high < MATERIAL_NATS)


def _binning_decides(found: pl.DataFrame, activation: str, bits: int, alpha: float) -> Judged:
    text = f"{activation}, {bits} bits: the binning decides whether I(X;T) falls"
    rows = _one(found, activation, bits, {"estimator": BINNING}).to_dicts()
    if not rows:
        return Judged(text, UNDECIDED, None, None, None, None, None, "fewer than two networks learned")
    sides = [_side(row["falls_nats"], alpha / len(rows)) for row in rows]
    falling, level = sides.count(1), sides.count(-1)
    if falling and level:
        verdict: Verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if max(falling, level) == len(rows) else UNDECIDED
    reason = f"of {len(rows)} binnings, {falling} certainly fall and {level} certainly do not"
    return Judged(text, verdict, None, None, None, None, None, reason)
