"""Claim 4: normal training prefers texture, adversarial training shape.

Accuracy and the last layer's information are followed along each distortion, relative to the same network on
undistorted examples and above chance: r(level) = (v(level) - chance) / (v(undistorted) - chance). The slope is the
least-squares slope of r over the strength of the distortion, from 0 to 1; a network that falls from its undistorted
value to chance along a line has slope -1. Strength is log(level / identity); the level itself where the identity is 0;
and the inverse of the level where the identity is infinite.

Patch-shuffling destroys shape and saturation destroys texture. The contrast of a network is its slope under shuffling
minus its slope under saturation: below 0 if it needs shape more than texture. One training can be more fragile than the
other under every distortion, which says nothing about texture and shape. The contrast does not contain this. So the
statistic is the interaction: the contrast of normal training minus that of adversarial training, on original examples,
of accuracy, I(T;Y) and I(X;T). It must be above 0.

On attacked examples the contrast of adversarial training itself must be below 0. Normal training is not compared there,
because saturation can undo an attack on it, which is claim 5. I(T;Y) of attacked examples is that of decoders trained
on clean examples, because refitted decoders read the label that a white-box attack reveals.

The comparison of the trainings under each single distortion is shown beside these and decides nothing: high-pass
destroys coarse form and so shape; what low-pass, noise, grey and texture exchange destroy counts as texture.

Chance is exp(-H(Y)) for accuracy, which is one in the number of classes if they are balanced, the mean over permuted
labels for I(T;Y), and 0 for I(X;T). If no null was taken (`--measurement.decoder-permutations 0`) it is 0 as well, the
value of decoders without information, and the statement says so.

A network that is at chance on undistorted examples has no slope. Records of accuracy have no groups of examples:
networks and levels then count as independent samples, which overstates the error of their differences.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from infoplane.distortions import DISTORTIONS
from infoplane.findings.accuracies import ACCURACY, SATURATION, chance_of_accuracy
from infoplane.findings.claim import Claim
from infoplane.findings.curves import PRIMARY, QUANTITIES, rows_to_judge
from infoplane.findings.evidence import Evidence, normal_evidence
from infoplane.findings.finding import Number, Statement, against, undecidable
from infoplane.findings.layers import paired
from infoplane.findings.noise_range import ONE_NOISE
from infoplane.findings.responses import (
    Network,
    Response,
    no_slopes,
    relative_slope,
    responses_of_accuracy,
    responses_of_information,
)
from infoplane.records.tables import (
    ADVERSARIAL,
    ADVERSARIAL_TRAINING,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
)

SHUFFLING, HIGH_PASS = "shuffling", "high-pass"
DECISIVE = (SHUFFLING, SATURATION)  # what the claim is about
DESTROY_SHAPE = (SHUFFLING, HIGH_PASS)  # all others destroy texture
# The estimators that decide on original and on attacked examples.
DECIDING = {
    ORIGINAL: {ACCURACY: "", **PRIMARY},
    ADVERSARIAL: {ACCURACY: "", **PRIMARY, LABEL_INFORMATION: DECODED_TRANSFER},
}

Responses = Mapping[str, Mapping[Network, Response]]  # by distortion
Terms = Mapping[tuple[str, str], float]  # weight of a slope, by training and distortion

TEXTURE_AND_SHAPE = Claim(
    number="4",
    name="texture and shape",
    text="Normal training prefers texture, adversarial training shape.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    needs_several_seeds=True,
    statements=lambda at_hand: distortion_statements(at_hand.measurements, at_hand.performance, at_hand.adversarial),
)


def distortion_statements(
    measurements: pl.DataFrame, performance: pl.DataFrame, adversarial: str = ADVERSARIAL_TRAINING
) -> list[Statement]:
    """Return the contrasts between shuffling and saturation, which decide, and the slopes under each distortion."""
    rows = rows_to_judge(measurements).filter(pl.col("split") == "test", pl.col("distortion").is_not_null())
    rows = rows.filter(pl.col("layer_index") == pl.col("layer_index").max())
    performance = performance.filter(pl.col("split") == "test")
    chance = chance_of_accuracy(measurements)
    recorded = {*rows["distortion"], *performance["distortion"]}
    named = [*DECISIVE, *(one.name for one in DISTORTIONS if one.name in recorded and one.name not in DECISIVE)]
    last = rows["layer"][0] if len(rows) else "last layer"
    statements = []
    for examples in (ORIGINAL, ADVERSARIAL):
        own = rows.filter(pl.col("examples") == examples, pl.col("quantity").is_in(QUANTITIES))
        known = dict.fromkeys(
            [*DECIDING[examples].items(), *own.select("quantity", "estimator").unique().sort(pl.all()).iter_rows()]
        )
        for quantity, estimator in known:
            found = {}
            for name in named:
                if quantity == ACCURACY:
                    chosen = performance.filter(pl.col("distortion") == name, pl.col("examples") == examples)
                    found[name] = responses_of_accuracy(chosen, name, chance)
                else:
                    chosen = own.filter(distortion=name, quantity=quantity, estimator=estimator)
                    found[name] = responses_of_information(chosen, name)
            part = f"{quantity}, {examples} examples" if estimator == DECIDING[examples][quantity] else ""
            like = Statement(
                statement="",
                statistic="",
                quantity=quantity,
                estimator=estimator,
                layer="" if quantity == ACCURACY else last,
                judge=undecidable(""),
            )
            scope = ONE_NOISE if part and quantity == INPUT_INFORMATION else ""
            decisive = replace(like, part=part, scope=scope)
            if part or any(found[name] for name in DECISIVE):
                statements.append(_decisive(decisive, found, examples, adversarial))
            statements += [
                _single(like, found, name, examples, adversarial) for name in named if found[name] or name in DECISIVE
            ]
    return statements


def _decisive(like: Statement, found: Responses, examples: str, adversarial: str) -> Statement:
    """Compare shuffling with saturation: the interaction on original examples, adversarial training on attacked."""
    own = {(adversarial, SHUFFLING): 1.0, (adversarial, SATURATION): -1.0}
    if examples == ADVERSARIAL:
        text = f"{adversarial} training loses more under shuffling than under saturation"
        name = f"slope under shuffling - under saturation, {adversarial} training"
        return _combined(like, found, own, f"{text} ({examples} examples", name, above=False)
    text = f"shuffling rather than saturation hurts {adversarial} training more than normal training"
    name = f"slope under shuffling - under saturation, normal - {adversarial} training"
    both = {(NORMAL_TRAINING, distortion): weight for (_, distortion), weight in own.items()}
    both |= {key: -weight for key, weight in own.items()}
    return _combined(like, found, both, f"{text} ({examples} examples", name, above=True)


def _single(like: Statement, found: Responses, distortion: str, examples: str, adversarial: str) -> Statement:
    """Compare the trainings under one distortion, which decides nothing."""
    steeper = adversarial if distortion in DESTROY_SHAPE else NORMAL_TRAINING
    terms = {(NORMAL_TRAINING, distortion): 1.0, (adversarial, distortion): -1.0}
    text = f"{steeper} training loses more under {distortion} ({examples} examples"
    name = f"slope relative to undistorted, normal - {adversarial} training"
    return _combined(like, found, terms, text, name, above=steeper == adversarial)


def _combined(like: Statement, found: Responses, terms: Terms, text: str, statistic: str, *, above: bool) -> Statement:
    """Judge a sum of slopes of the same seed.

    Args:
        like: all that statements of this quantity share.
        found: by distortion and network.
        terms: the slopes of the sum.
        text: the statement, without its last bracket.
        statistic: its name.
        above: whether the claim wants the sum above 0.
    """
    seeds = sorted({seed for own in found.values() for seed, _ in own})
    seeds = [seed for seed in seeds if all((seed, training) in found[name] for training, name in terms)]
    used = {key: [found[key[1]][seed, key[0]] for seed in seeds] for key in terms}
    known = all(one.chance_known for own in used.values() for one in own)
    null = "" if known else "; null not taken, chance counts as 0"
    like = replace(like, statement=f"{text}{null})", statistic=statistic, seeds=len(seeds))
    if not seeds:
        trainings = " and ".join(dict.fromkeys(training for training, _ in terms))
        both = "both " if len({training for training, _ in terms}) > 1 else ""
        return replace(like, judge=undecidable(f"missing: no records of this for {both}{trainings} training"))
    if reason := next(filter(None, (no_slopes(own, name) for (_, name), own in used.items())), ""):
        return replace(like, judge=undecidable(reason))
    evidence = _sum_of_slopes(used, terms)
    slopes = {key: float(np.mean([relative_slope(one)[0] for one in own])) for key, own in used.items()}
    return replace(
        like,
        value=evidence.value,
        numbers=tuple(
            Number(f"slope under {name}, {training} training", one) for (training, name), one in slopes.items()
        ),
        judge=against(evidence, above=above),
    )


def _sum_of_slopes(used: Mapping[tuple[str, str], list[Response]], terms: Terms) -> Evidence:
    slopes = {key: [relative_slope(one) for one in own] for key, own in used.items()}
    by_seed = [
        [(terms[key], slope) for key, slope in zip(slopes, own, strict=True)]
        for own in zip(*slopes.values(), strict=True)
    ]
    values = [sum(weight * slope for weight, (slope, _, _) in own) for own in by_seed]
    sizes = {one.groups.shape[1] for own in used.values() for one in own}
    if len(sizes) == 1 and 0 not in sizes:
        groups = [np.sum([weight * means for weight, (_, means, _) in own], axis=0) for own in by_seed]
        return paired(list(zip(values, groups, strict=True))).evidence()
    errors = [math.hypot(*(error for _, (_, _, error) in own)) for own in by_seed]
    return normal_evidence(np.array(values), np.array(errors))
