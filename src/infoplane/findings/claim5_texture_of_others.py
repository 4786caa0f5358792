"""Claim 5: adversarial examples carry texture of other classes, so that strong saturation can raise accuracy on them.

The claim has three parts, and all need several seeds.

1. Saturation can raise the accuracy of normal training on adversarial examples. At some level the accuracy must be
   higher than without saturation, and it must change by more than the accuracy on the controls, original and randomly
   perturbed examples, does at that level. It must also be above chance: whatever destroys an image moves accuracy
   towards chance, and from below chance that is a rise. The part is contradicted only if accuracy falls at every level.
2. Misclassified adversarial examples carry more information about the wrong class than misclassified originals.
3. They carry more of it than misclassified examples under a random perturbation of the same size.

Parts 2 and 3 compare what decoders trained on clean examples read about the wrong class, the one that the network
predicts, in the last but one of the probed layers of normal training: texture of a class is what its clean examples
show. Any misclassified example looks like the wrong class in some way, without any attack. So the information in the
two controls is subtracted. If no more is read the part is undecided, because a lower bound does not exclude
information. A control that has too few misclassified examples to be measured leaves its part undecided; so does one
that only one of several seeds has.

Neither the last layer nor refitted decoders can decide. The examples are those that the network misclassifies, and the
wrong class is the largest of its own logits. A decoder that is refitted to the logits reads that choice back, from
logits of pure noise as well (2 of 2.3 nats), and one that is refitted to an earlier layer finds whatever the choice was
made from. A decoder trained on clean examples never saw these examples and depends only on what separates the classes
of clean examples. The other decoders and layers are shown beside the deciding one.

Records of accuracy have no groups of examples: two levels then count as independent samples, which overstates the error
of the gain. Chance is the share of the largest class, where predictions are recorded, and at least exp(-H(Y)).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from infoplane.distortions import distortion_named
from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.accuracies import ACCURACY, SATURATION, accuracy_error, chance_of_accuracy, largest_class
from infoplane.findings.claim import Claim
from infoplane.findings.curves import group_matrix, rows_to_judge
from infoplane.findings.evidence import Evidence, Floats, normal_evidence
from infoplane.findings.finding import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    Judge,
    Judgement,
    Number,
    Statement,
    against,
    all_of,
    needed,
    undecidable,
)
from infoplane.findings.layers import difference, paired
from infoplane.records.tables import (
    ADVERSARIAL,
    DECODED_TRANSFER,
    MISTAKEN_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
    RANDOM,
    TRUE_INFORMATION,
)

TEXTURE_OF_OTHERS = Claim(
    number="5",
    name="texture of others",
    text="Adversarial examples carry texture of other classes: strong saturation can raise normal training's accuracy.",
    trainings=(NORMAL_TRAINING,),
    needs_several_seeds=True,
    statements=lambda at_hand: texture_statements(at_hand.measurements, at_hand.performance),
)


CONTROLS = {ORIGINAL: "misclassified originals", RANDOM: "misclassified randomly perturbed examples"}


def texture_statements(measurements: pl.DataFrame, performance: pl.DataFrame) -> list[Statement]:
    """Return the gain at every level of saturation, and the information about the wrong class in every layer."""
    of_network = (pl.col("training") == NORMAL_TRAINING) & (pl.col("split") == "test")
    rows, performance = rows_to_judge(measurements).filter(of_network), performance.filter(of_network)
    attacked = rows.filter(pl.col("examples") == ADVERSARIAL)
    chance = max(chance_of_accuracy(measurements), largest_class(performance))
    return [*_gains(performance, chance), *_beyond_controls(rows), *_mistaken(attacked), *_contrasts(attacked)]


def _gains(performance: pl.DataFrame, chance: float) -> list[Statement]:
    rows = performance.filter(pl.col("distortion") == SATURATION)
    like = Statement(
        statement="saturation raises the accuracy of normal training on adversarial examples",
        statistic="accuracy, saturated - unsaturated",
        quantity=ACCURACY,
        part="accuracy under saturation",
        judge=undecidable("missing: no records of saturated adversarial examples"),
    )
    found = []
    for level in rows.filter(pl.col("level") > distortion_named(SATURATION).identity)["level"].unique().sort():
        changes = {examples: _change(rows, examples, level) for examples in (ADVERSARIAL, ORIGINAL, RANDOM)}
        gain = changes.pop(ADVERSARIAL)
        if gain is not None:
            found.append(_gain(replace(like, statement=f"{like.statement}, level {level:g}"), gain, changes, chance))
    return found or [like]


class _Change(NamedTuple):
    """Accuracies of each seed with their errors, `(seeds,)`, without and with saturation."""

    seeds: list[int]
    before: Floats
    after: Floats
    errors: Floats  # (2, seeds)

    def evidence(self) -> Evidence:
        return normal_evidence(self.after - self.before, np.hypot(*self.errors))


def _change(rows: pl.DataFrame, examples: str, level: float) -> _Change | None:
    own = rows.filter(pl.col("examples") == examples)
    plain, saturated = (own.filter(pl.col("level") == one) for one in (distortion_named(SATURATION).identity, level))
    both = plain.join(saturated, on="seed", suffix="_after").sort("seed")
    if both.is_empty():
        return None
    accuracies = [both[name].to_numpy() for name in ("accuracy", "accuracy_after")]
    sizes = [both[name].cast(pl.Float64).to_numpy() for name in ("n", "n_after")]
    errors = np.stack([accuracy_error(*one) for one in zip(accuracies, sizes, strict=True)])
    return _Change(both["seed"].to_list(), accuracies[0], accuracies[1], errors)


def _gain(like: Statement, gain: _Change, controls: Mapping[str, _Change | None], chance: float) -> Statement:
    above_chance = normal_evidence(gain.after - chance, gain.errors[1])
    judges = [
        against(gain.evidence(), above=True),
        _above_zero(above_chance, f"not certainly above chance, {chance:.1%}"),
    ]
    numbers = [Number("unsaturated", float(gain.before.mean())), Number("saturated", float(gain.after.mean()))]
    numbers.append(Number("chance", chance))
    for examples, control in controls.items():
        if control is not None and control.seeds == gain.seeds:
            own = control.evidence()
            numbers.append(Number(f"gain on {examples} examples", own.value))
            errors = np.sqrt((gain.errors**2).sum(axis=0) + (control.errors**2).sum(axis=0))
            more = normal_evidence(gain.evidence().values - own.values, errors)
            judges.append(_above_zero(more, f"not certainly more than on {examples} examples"))
    if chance <= 0:
        judges = [undecidable("missing: accuracy by chance is not known, neither H(Y) nor predictions are recorded")]
    return replace(
        like, value=gain.evidence().value, seeds=len(gain.seeds), numbers=tuple(numbers), judge=all_of(judges)
    )


def _above_zero(evidence: Evidence, otherwise: str) -> Judge:
    """Judge whether a condition is above 0, with a reason of its own where that is not certain."""
    judge_against = against(evidence, above=True)

    def judge(alpha: float) -> Judgement:
        found = judge_against(alpha)
        if found.verdict == SUPPORTED:
            return found
        return found._replace(reason=otherwise + (needed(evidence) if found.verdict == UNDECIDED else ""))

    return judge


def _beyond_controls(rows: pl.DataFrame) -> list[Statement]:
    """Compare the information about the wrong class in attacked examples with that in each control."""
    layers = rows.select("layer_index", "layer").unique().sort("layer_index")["layer"]
    deciding = str(layers[-2]) if len(layers) > 1 else ""  # the last is the classifier's own choice
    rows = rows.filter(pl.col("quantity") == MISTAKEN_INFORMATION)
    attacked = _undistorted(rows.filter(pl.col("examples") == ADVERSARIAL))
    statements = []
    for examples, name in CONTROLS.items():
        like = Statement(
            statement=f"misclassified adversarial examples carry more of the wrong class than {name} (normal training)",
            statistic=f"information about the wrong class, adversarial - {examples} examples",
            estimator=DECODED_TRANSFER,
            quantity=MISTAKEN_INFORMATION,
            layer="last but one",
            unit="nats",
            judge=undecidable(f"missing: too few {name}, or no decoder of the wrong class before the last layer"),
        )
        control = _undistorted(rows.filter(pl.col("examples") == examples))
        found = _differences(like, attacked, control, (ADVERSARIAL, examples), above=True)
        part = f"wrong class beyond {examples} examples"
        by_place = {(one.layer, one.estimator): one for one in found}
        one = by_place.pop((deciding, DECODED_TRANSFER), like)
        of_all = _of_all_seeds(one, attacked["seed"].n_unique(), name)
        statements += [replace(one, part=part, judge=_only_support(of_all)), *by_place.values()]
    return statements


def _of_all_seeds(one: Statement, seeds: int, name: str) -> Judge:
    """Leave it undecided if only one of several seeds has the control; of several seeds without all, say so."""

    def judge(alpha: float) -> Judgement:
        found, few = one.judge(alpha), f"measured for {one.seeds} of {seeds} seeds: the others have too few {name}"
        if one.seeds == 1:
            return found._replace(verdict=UNDECIDED, reason=f"{few}; {found.reason}")
        return found._replace(reason=f"{found.reason}; {few}")

    return judge if 0 < one.seeds < seeds else one.judge


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
    """Return the information about the wrong class itself, without a control, which decides nothing."""
    rows = _undistorted(rows.filter(pl.col("quantity") == MISTAKEN_INFORMATION))
    like = Statement(
        statement="layers encode the wrong class that adversarial examples are misclassified as (normal training)",
        statistic="information about the wrong class",
        quantity=MISTAKEN_INFORMATION,
        unit="nats",
        judge=undecidable("missing"),
    )
    layers = rows.sort("seed").group_by("layer_index", "layer", "estimator", maintain_order=True)
    return [_of_layer(replace(like, layer=layer, estimator=estimator), own) for (_, layer, estimator), own in layers]


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
        judge=against(evidence, above=True, margin=NUMERICAL_ERROR),
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
                reason="no more is read than in the control, and a lower bound does not exclude information",
            )
        return found

    return judge_one_way
