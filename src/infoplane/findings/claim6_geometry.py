"""Claim 6: the estimates are functions of the geometry of the layer's output.

In a sweep of synthetic points one property changes, and the estimate should follow in one direction (`DIRECTIONS`). The
replicates of a sweep are independent draws. Their t intervals, at the level divided by the number of steps, show where
an estimate certainly rises or falls. The claim is supported if the whole sweep goes in its direction and no step goes
the other way. It is contradicted if a step certainly goes the other way, or the sweep as a whole does. A step counts if
it is larger than `STEP_NATS`, as in the trends of study three, and the whole sweep if its change is larger than the
numerical error of the estimators. Values that are saturated or null-like in every replicate are left out, because there
the samples have run out and the geometry no longer matters.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import polars as pl

from infoplane.findings.claim import Claim
from infoplane.findings.evidence import Floats, Paired
from infoplane.findings.finding import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    Judgement,
    Number,
    Statement,
    undecidable,
)
from infoplane.records.standing import NUMERICAL_ERROR, with_standing
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.studies.sweeps.trends import STEP_NATS

Direction = Literal["rises", "falls"]

# The study: the farther apart the outputs, the larger I(X;T); at equal spread, the tighter each class, the larger
# I(T;Y); and more noise or wider bins separate fewer outputs.
DIRECTIONS: Mapping[tuple[str, str], Direction] = {
    ("spread", INPUT_INFORMATION): "rises",
    ("tightness", LABEL_INFORMATION): "rises",
    ("noise-variance", INPUT_INFORMATION): "falls",
    ("bin-width", INPUT_INFORMATION): "falls",
}

GEOMETRY = Claim(
    number="6",
    name="geometry",
    text="The estimates are functions of the geometry of the layer's outputs.",
    trainings=(),
    statements=lambda at_hand: sweep_statements(at_hand.sweeps),
)


def sweep_statements(
    sweeps: pl.DataFrame | None, directions: Mapping[tuple[str, str], Direction] = DIRECTIONS
) -> list[Statement]:
    """Judge every sweep with a direction, by every estimator.

    Args:
        sweeps: columns of `sweeps.SWEEP_SCHEMA`; None where no sweeps were run.
        directions: by sweep and quantity.
    """
    statements = []
    for (sweep, quantity), direction in directions.items():
        like = Statement(
            statement=f"{quantity} {direction} with {sweep}",
            statistic="change over the sweep",
            quantity=quantity,
            unit="nats",
            part=f"{quantity} {direction} with {sweep}",
            judge=undecidable("missing: this sweep was not run (infoplane geometry --output RUN/sweeps)"),
        )
        rows = (
            None
            if sweeps is None
            else with_standing(sweeps).filter(pl.col("sweep") == sweep, pl.col("quantity") == quantity)
        )
        if rows is None or rows.is_empty():
            statements.append(like)
            continue
        for (estimator,), own in sorted(rows.partition_by("estimator", as_dict=True).items()):
            named = replace(like, estimator=estimator, part=f"{like.part}, {estimator}")
            statements.append(_monotone(named, own, 1 if direction == "rises" else -1))
    return statements


def _monotone(like: Statement, rows: pl.DataFrame, sign: int) -> Statement:
    useless = rows.group_by("x").agg(full=pl.col("saturated").all(), empty=pl.col("null_like").all())
    kept = useless.filter(~pl.col("full"), ~pl.col("empty"))["x"]
    if len(kept) < 2:
        return replace(like, judge=undecidable("saturated" if useless["full"].any() else "null-like"))
    table = _table(rows.filter(pl.col("x").is_in(kept.implode())))
    steps, whole = np.diff(table["values"], axis=1), table["values"][:, -1] - table["values"][:, 0]

    def judge(alpha: float) -> Judgement:
        low, high = _ends(whole, alpha)
        ends = [_ends(step, alpha / steps.shape[1]) for step in steps.T]
        back = [max(sign * end for end in one) < -STEP_NATS for one in ends]
        against = [x for x, is_back in zip(table["x"][1:], back, strict=True) if is_back]
        toward = min(sign * low, sign * high) > NUMERICAL_ERROR
        if against or max(sign * low, sign * high) < -NUMERICAL_ERROR:
            where = f"up to x = {against[0]:.3g}" if against else "over the whole sweep"
            return Judgement(CONTRADICTED, low, high, f"it goes the other way {where}, by more than its error")
        reason = f"no step goes the other way by more than {STEP_NATS:g} nats and its error"
        if toward:
            return Judgement(SUPPORTED, low, high, reason)
        few = len(whole) < 2
        return Judgement(UNDECIDED, low, high, "needs at least two replicates" if few else "the interval spans 0")

    first, last = table["x"][0], table["x"][-1]
    numbers = (
        Number(f"at x = {first:.3g}", float(table["values"][:, 0].mean()), "nats"),
        Number(f"at x = {last:.3g}", float(table["values"][:, -1].mean()), "nats"),
        Number("levels left out", float(len(useless) - len(kept))),
    )
    return replace(like, value=float(whole.mean()), seeds=len(whole), numbers=numbers, judge=judge)


def _table(rows: pl.DataFrame) -> dict[str, Any]:
    """Return the swept values `x` and `values`, `(replicates, x)`, of the replicates that have all of them."""
    wide = rows.sort("x").pivot("x", index="replicate", values="value_nats").drop_nulls()
    return {"x": rows["x"].unique().sort().to_list(), "values": wide.drop("replicate").to_numpy()}


def _ends(replicates: Floats, alpha: float) -> tuple[float, float]:
    """Return the t interval over replicates."""
    return Paired(values=replicates.mean(keepdims=True), groups=replicates[None]).evidence().over_examples(alpha)
