"""Claim 4 on planted responses: slopes under distortion, and the interaction of training and distortion."""

import math

import numpy as np
import polars as pl
import pytest
from tests.findings.constructed import GROUPS, RELATIVE, accuracies, exact, measurement

from infoplane.distortions import distortion_named
from infoplane.findings.accuracies import ACCURACY, accuracy_error
from infoplane.findings.claim4_texture_and_shape import TEXTURE_AND_SHAPE, distortion_statements
from infoplane.findings.responses import Response, relative_slope, slope_weights, strengths
from infoplane.findings.verdict import claim_verdict
from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    MEASUREMENT_SCHEMA,
    measurement_table,
    performance_table,
)

SATURATION, SHUFFLING = (2.0, 8.0, 16.0, 64.0, 1024.0), (1.0, 2.0, 4.0, 8.0)
LEVELS = {"saturation": SATURATION, "shuffling": SHUFFLING}
NOTHING, NO_ACCURACY = measurement_table([]), performance_table([])


def strength(distortion, level):
    levels = LEVELS[distortion]
    return math.log(level / levels[0]) / math.log(levels[-1] / levels[0])


def planted(normal, adversarial, start=0.9, chance=0.1):
    """Accuracy falls along a line of these slopes, relative to `start` above chance."""

    def of(distortion):
        def rule(*, training, level, **_):
            slope = {"normal": normal, "adversarial": adversarial}[training][distortion]
            return chance + (start - chance) * (1 + slope * strength(distortion, level))

        return rule

    return of


def performance(rule, **facts):
    return pl.concat(
        accuracies(rule(distortion), distortion=distortion, levels=levels, **facts)
        for distortion, levels in LEVELS.items()
    )


def information(rule, *, seeds=(0,), layers=("fc1", "fc2"), null=0.0, levels=LEVELS):
    """I(T;Y) and I(X;T) of the last of two layers, with the same slopes; of the other something else."""
    rows = []
    for distortion, own in levels.items():
        for seed in seeds:
            for training in ("normal", "adversarial"):
                for examples in ("original", "adversarial"):
                    for level in own:
                        share = (rule(distortion)(training=training, level=level) - 0.1) / 0.8
                        for index, layer in enumerate(layers):
                            value = 2.0 * share if index == len(layers) - 1 else 1.0
                            common = {
                                "study": "distortion", "seed": seed, "epoch": 10, "training": training,
                                "examples": examples, "distortion": distortion, "level": level, "layer_index": index,
                                "layer": layer,
                            }  # fmt: skip
                            rows.append(measurement(value, quantity=INPUT_INFORMATION, **common))
                            rows += [
                                measurement(
                                    null + value, quantity=LABEL_INFORMATION, estimator=estimator,
                                    null_mean_nats=null, null_quantile95_nats=null + 0.01, **common,
                                )
                                for estimator in (DECODED, DECODED_TRANSFER)
                            ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


AS_CLAIMED = planted({"saturation": -0.6, "shuffling": -0.4}, {"saturation": -0.1, "shuffling": -0.9})


def parts(measurements, performance):
    return {one.part: one.finding("4") for one in distortion_statements(measurements, performance) if one.part}


def single(measurements, performance, distortion, quantity=ACCURACY, examples="original"):
    """The comparison of the trainings under one distortion."""
    (one,) = [
        one.finding("4")
        for one in distortion_statements(measurements, performance)
        if f"under {distortion} ({examples} examples" in one.statement
        and one.quantity == quantity
        and one.estimator in ("", DECODED if quantity == LABEL_INFORMATION else RELATIVE)
    ]
    return one


def verdict(rule, seeds=(0, 1, 2), **facts):
    tables = information(rule, seeds=seeds, **facts), performance(rule, seeds=seeds)
    return claim_verdict(TEXTURE_AND_SHAPE, distortion_statements(*tables))


def test_slope_weights_give_the_slope_of_least_squares():
    levels, values = SATURATION, np.array([1.0, 0.7, 0.8, 0.3, 0.2])
    strengths = np.log(np.array(levels) / 2) / np.log(512)
    assert slope_weights(levels) @ values == pytest.approx(np.polyfit(strengths, values, 1)[0])


PARTS = {
    f"{quantity}, {examples} examples"
    for quantity in (ACCURACY, LABEL_INFORMATION, INPUT_INFORMATION)
    for examples in ("original", "adversarial")
}


def test_planted_slopes_are_found_relative_to_undistorted_above_chance():
    tables = information(AS_CLAIMED), performance(AS_CLAIMED)
    for quantity in (ACCURACY, LABEL_INFORMATION, INPUT_INFORMATION):
        shuffling, saturation = (single(*tables, name, quantity) for name in ("shuffling", "saturation"))
        assert shuffling.value == pytest.approx(-0.4 + 0.9)
        assert saturation.value == pytest.approx(-0.6 + 0.1)
        assert {one.verdict for one in (shuffling, saturation)} == {"supported"}
        assert [number.value for number in shuffling.numbers] == pytest.approx([-0.4, -0.9])
    assert single(*tables, "saturation", LABEL_INFORMATION).layer == "fc2"  # the last


def test_the_interaction_and_the_contrast_on_attacked_examples_decide():
    found = parts(information(AS_CLAIMED), performance(AS_CLAIMED))
    assert set(found) == PARTS
    for name, one in found.items():
        # shuffling - saturation is .2 in normal and -.8 in adversarial training
        assert one.value == pytest.approx(0.2 + 0.8 if "original" in name else -0.8), name
        assert one.verdict == "supported"
    numbers = {number.name: number.value for number in found["accuracy, original examples"].numbers}
    assert numbers == {
        "slope under shuffling, normal training": pytest.approx(-0.4),
        "slope under saturation, normal training": pytest.approx(-0.6),
        "slope under shuffling, adversarial training": pytest.approx(-0.9),
        "slope under saturation, adversarial training": pytest.approx(-0.1),
    }
    assert found["I(T;Y), original examples"].estimator == DECODED
    assert found["I(T;Y), adversarial examples"].estimator == DECODED_TRANSFER


FRAGILE = planted({"saturation": -0.9, "shuffling": -1.0}, {"saturation": -0.1, "shuffling": -0.8})


def test_a_dissociation_is_supported_though_normal_training_is_more_fragile_under_both():
    """The planted slopes of a textbook dissociation: the comparison under each distortion alone contradicted it."""
    tables = information(FRAGILE, seeds=(0, 1, 2)), performance(FRAGILE, seeds=(0, 1, 2))
    assert single(*tables, "shuffling").verdict == "contradicted"
    assert parts(*tables)["accuracy, original examples"].value == pytest.approx(-0.1 + 0.7)
    assert verdict(FRAGILE).verdict == "supported"


def test_more_fragility_without_a_preference_is_no_preference():
    fragile = planted({"saturation": -0.9, "shuffling": -0.9}, {"saturation": -0.4, "shuffling": -0.4})
    tables = information(fragile, seeds=(0, 1, 2)), performance(fragile, seeds=(0, 1, 2))
    assert single(*tables, "saturation").verdict == "supported"
    found = parts(*tables)
    assert {found[name].verdict for name in found} == {"undecided"}
    assert verdict(fragile).verdict == "undecided"


OTHER = planted({"saturation": -0.1, "shuffling": -0.9}, {"saturation": -0.6, "shuffling": -0.4})


def test_the_claim_wants_several_seeds():
    assert verdict(AS_CLAIMED).verdict == "supported"
    assert verdict(OTHER).verdict == "contradicted"
    for rule in (AS_CLAIMED, OTHER):
        one = verdict(rule, (0,))
        assert (one.verdict, one.reason.partition(" (")[0]) == (
            "undecided", "needs at least two seeds: add `--seeds 3`",
        )  # fmt: skip


def test_input_information_is_one_of_the_parts():
    def other_inputs(rule):
        table = information(rule, seeds=(0, 1, 2))
        contrary = information(OTHER, seeds=(0, 1, 2)).filter(quantity=INPUT_INFORMATION)
        return pl.concat([table.filter(quantity=LABEL_INFORMATION), contrary])

    statements = distortion_statements(other_inputs(AS_CLAIMED), performance(AS_CLAIMED, seeds=(0, 1, 2)))
    found = claim_verdict(TEXTURE_AND_SHAPE, statements)
    assert found.verdict == "contradicted"
    assert found.rests_on == ("I(X;T), original examples", "I(X;T), adversarial examples")
    assert "at relative noise, the only one measured" in found.reason


def test_chance_is_taken_off_before_slopes_are_relative():
    # 2 nats above a null of 0.3: without taking it off, slopes would be 2 / 2.3 of these
    found = single(information(AS_CLAIMED, null=0.3), performance(AS_CLAIMED), "shuffling", LABEL_INFORMATION)
    assert found.value == pytest.approx(0.5)


def test_slopes_the_other_way_contradict_and_equal_ones_are_undecided():
    assert {one.verdict for one in parts(information(OTHER), performance(OTHER)).values()} == {"contradicted"}
    same = planted({"saturation": -0.5, "shuffling": -0.5}, {"saturation": -0.5, "shuffling": -0.5})
    assert {one.verdict for one in parts(information(same), performance(same)).values()} == {"undecided"}


def test_a_network_that_starts_lower_is_judged_by_what_it_has():
    def lower(distortion):
        def rule(*, training, level, **_):
            start = 0.9 if training == "normal" else 0.5
            return 0.1 + (start - 0.1) * (1 - 0.5 * strength(distortion, level))

        return rule

    found = parts(NOTHING, performance(lower))
    assert "missing" in found["I(T;Y), original examples"].reason
    one = single(information(lower), performance(lower), "saturation")
    assert (one.value, one.verdict) == (pytest.approx(0, abs=1e-9), "undecided")


def test_a_network_at_chance_has_no_slope():
    nothing = planted({"saturation": 0.0, "shuffling": 0.0}, {"saturation": 0.0, "shuffling": 0.0}, start=0.1)
    for one in parts(information(nothing), performance(nothing)).values():
        assert one.verdict == "undecided"
        assert "at chance on undistorted" in one.reason or "null-like" in one.reason


STRENGTHS = {
    "low-pass": ((0.0, 0.5, 1.0, 2.0, 4.0), (0, 0.125, 0.25, 0.5, 1)),
    "high-pass": ((math.inf, 4.0, 2.0, 1.0, 0.5), (0, 0.125, 0.25, 0.5, 1)),
    "grey": ((0.0, 0.5, 1.0), (0, 0.5, 1)),
    "noise": ((0.0, 0.05, 0.1, 0.2, 0.4), (0, 0.125, 0.25, 0.5, 1)),
    "texture-exchange": ((0.0, 0.5, 1.0, 2.0, 4.0), (0, 0.125, 0.25, 0.5, 1)),
    "shuffling": ((1.0, 2.0, 4.0, 8.0), (0, 1 / 3, 2 / 3, 1)),
    "saturation": ((2.0, 8.0, 32.0), (0, 0.5, 1)),
}


@pytest.mark.parametrize("name", STRENGTHS)
def test_strength_goes_from_the_identity_to_the_strongest_level(name):
    levels, expected = STRENGTHS[name]
    assert levels[0] == distortion_named(name).identity
    assert strengths(levels) == pytest.approx(expected)


@pytest.mark.parametrize("name", [name for name in STRENGTHS if name not in LEVELS])
def test_every_recorded_distortion_has_slopes_that_decide_nothing(name):
    levels, strength = STRENGTHS[name]

    def rule(*, training, level, **_):
        slope = -0.2 if training == "normal" else -0.7
        return 0.1 + 0.8 * (1 + slope * strength[levels.index(level)])

    def of(distortion):
        return rule if distortion == name else AS_CLAIMED(distortion)

    table = pl.concat([performance(AS_CLAIMED), accuracies(rule, distortion=name, levels=levels)])
    measured = pl.concat([information(AS_CLAIMED), information(of, levels={name: levels})])
    found = [one.finding("4") for one in distortion_statements(measured, table) if f"under {name}" in one.statement]
    assert not any(one.part for one in found)
    originals = {one.quantity: one for one in found if "original examples" in one.statement}
    assert set(originals) == {"accuracy", LABEL_INFORMATION, INPUT_INFORMATION}
    for one in originals.values():
        assert one.value == pytest.approx(0.5)
        assert [number.value for number in one.numbers] == pytest.approx([-0.2, -0.7])
        # what destroys shape should hurt adversarial training more, all else normal training
        assert one.verdict == ("supported" if name == "high-pass" else "contradicted")
    assert set(parts(measured, table)) == set(parts(information(AS_CLAIMED), performance(AS_CLAIMED)))


def test_chance_is_the_null_of_the_same_level_and_where_none_was_taken_the_statement_says_so():
    table = information(AS_CLAIMED, null=0.3)
    known = single(table, performance(AS_CLAIMED), "shuffling", LABEL_INFORMATION)
    assert (known.value, "null" in known.statement) == (pytest.approx(0.5), False)
    without = table.with_columns(null_mean_nats=pl.lit(None, dtype=pl.Float64()))
    unknown = single(without, performance(AS_CLAIMED), "shuffling", LABEL_INFORMATION)
    assert unknown.value == pytest.approx(0.5 * 2 / 2.3)
    assert "original examples; null not taken, chance counts as 0)" in unknown.statement


def test_information_within_the_numerical_error_of_chance_has_no_slope():
    table = exact(information(AS_CLAIMED).with_columns(value_nats=pl.col("value_nats") / 3000))
    table = table.with_columns(standard_error=pl.lit(1e-6), null_quantile95_nats=pl.lit(None, dtype=pl.Float64()))
    assert "at chance on undistorted" in parts(table, NO_ACCURACY)["I(T;Y), original examples"].reason


def test_saturated_information_has_no_slope():
    table = information(AS_CLAIMED).filter(estimator=DECODED)
    table = table.with_columns(estimator=pl.lit("kde-kl"), saturated=pl.lit(value=True))
    found = [one.finding("4") for one in distortion_statements(table, performance(AS_CLAIMED))]
    assert {(one.verdict, one.reason) for one in found if one.estimator == "kde-kl"} == {("undecided", "saturated")}


def test_one_training_or_no_records_are_missing():
    alone = performance(AS_CLAIMED).filter(training="normal")
    for found in (parts(NOTHING, alone), parts(NOTHING, NO_ACCURACY)):
        assert {one.verdict for one in found.values()} == {"undecided"}
        assert all("missing" in one.reason for one in found.values())


def test_slopes_need_the_undistorted_level():
    table = performance(AS_CLAIMED).filter(pl.col("level") > 2)
    assert "undistorted level" in parts(NOTHING, table)["accuracy, original examples"].reason


def test_seeds_decide_where_there_are_several():
    def rule(distortion):
        def of(*, seed, training, level, **_):
            slope = {"normal": -0.4, "adversarial": -0.9}[training] if seed else -0.4
            return 0.1 + 0.8 * (1 + slope * strength(distortion, level))

        return of

    one = single(information(AS_CLAIMED), performance(rule, seeds=(0, 1, 2)), "shuffling")
    assert (one.seeds, one.verdict) == (3, "undecided")
    assert one.value == pytest.approx(1 / 3)


def test_errors_of_relative_slopes_are_those_of_simulation():
    generator = np.random.default_rng(0)
    values, errors = np.array([2.0, 1.4, 1.1, 0.6]), np.array([0.05, 0.08, 0.02, 0.1])

    def response(values, groups=np.empty((4, 0))):  # noqa: B008 - an empty constant
        return Response(SHUFFLING, values, groups, errors, 0.2)

    draws = values + errors * generator.standard_normal((4000, 4))
    slopes = [relative_slope(response(draw))[0] for draw in draws]
    slope, _, error = relative_slope(response(values))
    assert slope == pytest.approx(np.mean(slopes), abs=0.005)
    assert error == pytest.approx(np.std(slopes), rel=0.05)  # three spreads of 4000 draws: 3.4 %
    # and the groups' way: 20 group means whose spread is that of the errors
    groups = values[:, None] + errors[:, None] * math.sqrt(GROUPS) * generator.standard_normal((4, GROUPS))
    groups += (values - groups.mean(axis=1))[:, None]
    _, by_group, _ = relative_slope(response(values, groups))
    left_out = [relative_slope(response(np.delete(groups, one, axis=1).mean(axis=1)))[0] for one in range(GROUPS)]
    jackknife = math.sqrt((GROUPS - 1) / GROUPS * ((left_out - np.mean(left_out)) ** 2).sum())
    assert by_group.std(ddof=1) / math.sqrt(GROUPS) == pytest.approx(jackknife, rel=0.1)


def test_errors_of_accuracies_are_binomial_and_never_zero():
    found = accuracy_error(np.array([0.5, 1.0]), np.array([1000.0, 1000.0]))
    assert found[0] == pytest.approx(math.sqrt(0.25 / 1000), rel=0.01)
    assert 0 < found[1] < 0.003
