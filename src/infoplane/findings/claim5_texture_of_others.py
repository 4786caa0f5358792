"""Claim 5: adversarial examples carry texture of other classes, so that strong saturation can raise accuracy on them.

The claim has two parts. First, the accuracy of normal training on adversarial examples, saturated less unsaturated:
that it *can* rise is supported by any level, and contradicted only if it falls at every one. Second, what decoders
trained on clean examples read about the wrong class, the one that the network predicts for a misclassified adversarial
example, in the last but one of the probed layers of normal training: texture of a class is what its clean examples
show. If they read nothing the part is undecided, because a lower bound at 0 does not exclude information.

Neither the last layer nor refitted decoders can decide. The examples are those that the network misclassifies, and the
wrong class is the largest of its own logits. A decoder that is refitted to the logits reads that choice back, from
logits of pure noise as well (2 of 2.3 nats), and one that is refitted to an earlier layer finds whatever the choice was
made from. A decoder trained on clean examples never saw these examples and depends only on what separates the classes
of clean examples. The other decoders and layers are shown beside the deciding one.

Records of accuracy have no groups of examples: two levels then count as independent samples, which overstates the error
of the gain.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from infoplane.distortions import distortion_named
from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.accuracies import ACCURACY, SATURATION, accuracy_error
from infoplane.findings.claim import Claim
from infoplane.findings.curves import group_matrix, rows_to_judge
from infoplane.findings.evidence import normal_evidence
from infoplane.findings.finding import (
    CONTRADICTED,
    UNDECIDED,
    Judge,
    Judgement,
    Number,
    Statement,
    against,
    undecidable,
)
from infoplane.findings.layers import difference, paired
from infoplane.records.tables import (
    ADVERSARIAL,
    DECODED_TRANSFER,
    MISTAKEN_INFORMATION,
    NORMAL_TRAINING,
    TRUE_INFORMATION,
)

TEXTURE_OF_OTHERS = Claim(
    number=5,
    name="texture of others",
    text="Adversarial examples carry texture of other classes: strong saturation can raise normal training's accuracy.",
    trainings=(NORMAL_TRAINING,),
    statements=lambda at_hand: texture_statements(at_hand.measurements, at_hand.performance),
)


def texture_statements(measurements: pl.DataFrame, performance: pl.DataFrame) -> list[Statement]:
    """Return the gain at every level of saturation, and the information about the wrong class in every layer."""
    rows = rows_to_judge(measurements).filter(
        pl.col("examples") == ADVERSARIAL, pl.col("training") == NORMAL_TRAINING, pl.col("split") == "test"
    )
    return [*_gains(performance), *_mistaken(rows), *_contrasts(rows)]


def _gains(performance: pl.DataFrame) -> list[Statement]:
    rows = performance.filter(
        pl.col("distortion") == SATURATION,
        pl.col("examples") == ADVERSARIAL,
        pl.col("training") == NORMAL_TRAINING,
        pl.col("split") == "test",
    )
    like = Statement(
        statement="saturation raises the accuracy of normal training on adversarial examples",
        statistic="accuracy, saturated - unsaturated",
        quantity=ACCURACY,
        part="accuracy under saturation",
        judge=undecidable("missing: no records of saturated adversarial examples"),
    )
    plain = rows.filter(pl.col("level") == distortion_named(SATURATION).identity).sort("seed")
    statements = []
    for level in rows.filter(pl.col("level") > distortion_named(SATURATION).identity)["level"].unique().sort():
        both = plain.join(rows.filter(pl.col("level") == level), on="seed", suffix="_saturated").sort("seed")
        if both.is_empty():
            continue
        before, after = both["accuracy"].to_numpy(), both["accuracy_saturated"].to_numpy()
        errors = [
            accuracy_error(share, both[name].cast(pl.Float64).to_numpy())
            for share, name in ((before, "n"), (after, "n_saturated"))
        ]
        evidence = normal_evidence(after - before, np.hypot(*errors))
        statements.append(
            replace(
                like,
                statement=f"{like.statement}, level {level:g}",
                value=evidence.value,
                seeds=len(both),
                numbers=(Number("unsaturated", float(before.mean())), Number("saturated", float(after.mean()))),
                judge=against(evidence, above=True),
            )
        )
    return statements or [like]


def _undistorted(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of undistorted examples at the last epoch, once: those of study one where there are any.

    Study two measures the level that changes nothing again. Level 2 is that of saturation, and of no other distortion.
    """
    plain, identity = pl.col("distortion").is_null(), pl.col("level") == distortion_named(SATURATION).identity
    return (
        rows.filter(plain | ((pl.col("distortion") == SATURATION) & identity))
        .filter(pl.col("epoch") == pl.col("epoch").max().over("seed"))
        .sort(pl.col("distortion").is_not_null(), maintain_order=True)
        .unique(["quantity", "seed", "layer_index", "estimator"], keep="first", maintain_order=True)
    )


def _mistaken(rows: pl.DataFrame) -> list[Statement]:
    layers = rows["layer_index"].unique().sort()
    deciding = layers[-2] if len(layers) > 1 else None  # the last is the classifier's own choice
    rows = _undistorted(rows.filter(pl.col("quantity") == MISTAKEN_INFORMATION))
    like = Statement(
        statement="layers encode the wrong class that adversarial examples are misclassified as (normal training)",
        statistic="information about the wrong class",
        estimator=DECODED_TRANSFER,
        quantity=MISTAKEN_INFORMATION,
        layer="last but one",
        unit="nats",
        part="information about the wrong class",
        judge=undecidable("missing: no layer before the last, or no decoder of the wrong class in it"),
    )
    decided, others = [], []
    for (index, layer, estimator), own in rows.sort("seed").group_by(
        "layer_index", "layer", "estimator", maintain_order=True
    ):
        one = _of_layer(replace(like, layer=layer, estimator=estimator), own)
        if index == deciding and estimator == DECODED_TRANSFER:
            decided.append(one)
        else:
            others.append(replace(one, part=""))
    return [*(decided or [like]), *others]


def _of_layer(like: Statement, own: pl.DataFrame) -> Statement:
    """Judge the information in one layer, less the null if one was taken."""
    values, groups, nulls = own["value_nats"].to_numpy(), group_matrix(own), own["null_quantile95_nats"]
    known = nulls.null_count() == 0
    border = nulls.to_numpy() if known else np.zeros(len(own))
    evidence = paired(list(zip(values - border, groups - border[:, None], strict=True))).evidence()
    numbers = [Number("information", float(values.mean()), "nats")]
    if known:
        numbers.append(Number("95 % quantile of permuted labels", float(border.mean()), "nats"))
    return replace(
        like,
        statistic=f"{like.statistic}{', less that of permuted labels' if known else '; null not taken'}",
        value=evidence.value,
        seeds=len(own),
        numbers=tuple(numbers),
        judge=_only_support(against(evidence, above=True, margin=NUMERICAL_ERROR)),
    )


def _contrasts(rows: pl.DataFrame) -> list[Statement]:
    """Compare the wrong with the true class, and before with after saturation, in misclassified examples.

    Layer by layer, by refitted decoders and by those trained on clean examples. These findings decide nothing.
    """
    rows = rows.filter(pl.col("quantity").is_in([MISTAKEN_INFORMATION, TRUE_INFORMATION]))
    rows = rows.filter(pl.col("epoch") == pl.col("epoch").max().over("seed"))
    mistaken, true = (pl.col("quantity") == one for one in (MISTAKEN_INFORMATION, TRUE_INFORMATION))
    saturated = rows.filter(pl.col("distortion") == SATURATION)
    plain = _undistorted(rows)
    strongest = saturated.filter(pl.col("level") == pl.col("level").max())
    strongest = strongest.filter(pl.col("level") > distortion_named(SATURATION).identity)
    weakest = saturated.filter(pl.col("level") == distortion_named(SATURATION).identity)
    like = Statement(statement="", statistic="", quantity=MISTAKEN_INFORMATION, unit="nats", judge=_NEVER)
    more = replace(
        like,
        statement="in misclassified adversarial examples the wrong class is easier to decode than the true one",
        statistic="information about the wrong class - about the true one",
    )
    less = replace(
        like,
        statement="strong saturation lowers the information about the wrong class in them",
        statistic="information about the wrong class, saturated - unsaturated",
    )
    return [
        *_differences(more, plain.filter(mistaken), plain.filter(true), ("wrong", "true"), above=True),
        *_differences(
            less, strongest.filter(mistaken), weakest.filter(mistaken), ("saturated", "unsaturated"), above=False
        ),
    ]


_NEVER = undecidable("missing")


def _differences(
    like: Statement, first: pl.DataFrame, second: pl.DataFrame, names: tuple[str, str], *, above: bool
) -> list[Statement]:
    """Judge the differences of records of the same examples, by layer and estimator."""
    keys = ["seed", "layer_index", "layer", "estimator"]
    both = first.join(second.select(*keys, "value_nats", "group_means"), on=keys, suffix="_second").sort(keys)
    statements = []
    for (_, layer, estimator), own in both.group_by("layer_index", "layer", "estimator", maintain_order=True):
        seconds = own.select(value_nats="value_nats_second", group_means="group_means_second")
        pairs = zip(own["value_nats"], group_matrix(own), seconds["value_nats"], group_matrix(seconds), strict=True)
        evidence = paired([difference((one, groups), (other, less)) for one, groups, other, less in pairs]).evidence()
        statements.append(
            replace(
                like,
                layer=layer,
                estimator=estimator,
                value=evidence.value,
                seeds=len(own),
                numbers=(
                    Number(names[0], float(own["value_nats"].to_numpy().mean()), "nats"),
                    Number(names[1], float(seconds["value_nats"].to_numpy().mean()), "nats"),
                ),
                judge=against(evidence, above=above, margin=NUMERICAL_ERROR),
            )
        )
    return statements


def _only_support(judge: Judge) -> Judge:
    """Leave it undecided instead of contradicted: a small lower bound does not exclude information."""

    def judge_one_way(alpha: float) -> Judgement:
        found = judge(alpha)
        if found.verdict == CONTRADICTED:
            return found._replace(
                verdict=UNDECIDED,
                reason="the decoder reads nothing, and a lower bound at 0 does not exclude information",
            )
        return found

    return judge_one_way
