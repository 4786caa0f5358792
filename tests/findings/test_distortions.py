"""Claims 4 and 5 on planted responses: slopes under distortion, and gains under saturation."""

import math

import numpy as np
import polars as pl
import pytest
from tests.findings.constructed import GROUPS, accuracies, measurement

from infoplane.findings.distortions import (
    Response,
    accuracy_error,
    distortion_statements,
    relative_slope,
    slope_weights,
)
from infoplane.findings.finding import claim_verdict
from infoplane.findings.textures import texture_statements
from infoplane.records import (
    DECODED,
    LABEL_INFORMATION,
    MEASUREMENT_SCHEMA,
    MISTAKEN_INFORMATION,
    TRUE_INFORMATION,
    measurement_table,
    performance_table,
)

SATURATION, SHUFFLING = (2.0, 8.0, 16.0, 64.0, 1024.0), (1.0, 2.0, 4.0, 8.0)
LEVELS = {"saturation": SATURATION, "shuffling": SHUFFLING}
NOTHING = measurement_table([])


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


def information(rule, *, seeds=(0,), layers=("fc1", "fc2"), null=0.0):
    """Decoded I(T;Y) of the last of two layers, with the same slopes; of the other something else."""
    rows = []
    for distortion, levels in LEVELS.items():
        for seed in seeds:
            for training in ("normal", "adversarial"):
                for examples in ("original", "adversarial"):
                    for level in levels:
                        share = (rule(distortion)(training=training, level=level) - 0.1) / 0.8
                        for index, layer in enumerate(layers):
                            value = null + 2.0 * share if index == len(layers) - 1 else 1.0
                            rows.append(
                                measurement(
                                    value, quantity=LABEL_INFORMATION, study="distortion", seed=seed, epoch=10,
                                    training=training, examples=examples, distortion=distortion, level=level,
                                    layer_index=index, layer=layer, null_mean_nats=null,
                                    null_quantile95_nats=null + 0.01,
                                )
                            )  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


AS_CLAIMED = planted({"saturation": -0.6, "shuffling": -0.4}, {"saturation": -0.1, "shuffling": -0.9})


def parts(measurements, performance, statements=distortion_statements):
    return {one.part: one.finding() for one in statements(measurements, performance) if one.part}


def test_slope_weights_give_the_slope_of_least_squares():
    levels, values = SATURATION, np.array([1.0, 0.7, 0.8, 0.3, 0.2])
    strengths = np.log(np.array(levels) / 2) / np.log(512)
    assert slope_weights(levels) @ values == pytest.approx(np.polyfit(strengths, values, 1)[0])


def test_planted_slopes_are_found_relative_to_undistorted_above_chance():
    found = parts(information(AS_CLAIMED), performance(AS_CLAIMED))
    assert set(found) == {
        f"{quantity} under {distortion}" for quantity in ("accuracy", "I(T;Y)") for distortion in LEVELS
    }
    for quantity in ("accuracy", "I(T;Y)"):
        shuffling, saturation = (found[f"{quantity} under {name}"] for name in ("shuffling", "saturation"))
        assert shuffling.value == pytest.approx(-0.4 + 0.9)
        assert saturation.value == pytest.approx(-0.6 + 0.1)
        assert {one.verdict for one in (shuffling, saturation)} == {"supported"}
        assert [number.value for number in shuffling.numbers] == pytest.approx([-0.4, -0.9])
    assert found["I(T;Y) under saturation"].layer == "fc2"  # the last
    assert (
        claim_verdict(4, distortion_statements(information(AS_CLAIMED), performance(AS_CLAIMED))).verdict == "supported"
    )


def test_chance_is_taken_off_before_slopes_are_relative():
    # 2 nats above a null of 0.3: without taking it off, slopes would be 2 / 2.3 of these
    found = parts(information(AS_CLAIMED, null=0.3), performance(AS_CLAIMED))
    assert found["I(T;Y) under shuffling"].value == pytest.approx(0.5)


def test_slopes_the_other_way_contradict_and_equal_ones_are_undecided():
    other = planted({"saturation": -0.1, "shuffling": -0.9}, {"saturation": -0.6, "shuffling": -0.4})
    assert {one.verdict for one in parts(information(other), performance(other)).values()} == {"contradicted"}
    same = planted({"saturation": -0.5, "shuffling": -0.5}, {"saturation": -0.5, "shuffling": -0.5})
    assert {one.verdict for one in parts(information(same), performance(same)).values()} == {"undecided"}


def test_a_network_that_starts_lower_is_judged_by_what_it_has():
    def lower(distortion):
        def rule(*, training, level, **_):
            start = 0.9 if training == "normal" else 0.5
            return 0.1 + (start - 0.1) * (1 - 0.5 * strength(distortion, level))

        return rule

    found = parts(NOTHING, performance(lower))
    assert "missing" in found["I(T;Y) under saturation"].reason
    one = parts(information(lower), performance(lower))["accuracy under saturation"]
    assert (one.value, one.verdict) == (pytest.approx(0, abs=1e-9), "undecided")


def test_a_network_at_chance_has_no_slope():
    nothing = planted({"saturation": 0.0, "shuffling": 0.0}, {"saturation": 0.0, "shuffling": 0.0}, start=0.1)
    for one in parts(information(nothing), performance(nothing)).values():
        assert one.verdict == "undecided"
        assert "not above chance" in one.reason or "null-like" in one.reason


def test_saturated_information_has_no_slope():
    table = information(AS_CLAIMED).with_columns(estimator=pl.lit("kde-kl"), saturated=pl.lit(value=True))
    found = [one.finding() for one in distortion_statements(table, performance(AS_CLAIMED))]
    assert {(one.verdict, one.reason) for one in found if one.estimator == "kde-kl"} == {("undecided", "saturated")}


def test_one_training_or_no_records_are_missing():
    alone = performance(AS_CLAIMED).filter(training="normal")
    for found in (parts(NOTHING, alone), parts(NOTHING, performance_table([]))):
        assert {one.verdict for one in found.values()} == {"undecided"}
        assert all("missing" in one.reason for one in found.values())


def test_slopes_need_the_undistorted_level():
    table = performance(AS_CLAIMED).filter(pl.col("level") > 2)
    assert "undistorted level" in parts(NOTHING, table)["accuracy under saturation"].reason


def test_seeds_decide_where_there_are_several():
    def rule(distortion):
        def of(*, seed, training, level, **_):
            slope = {"normal": -0.4, "adversarial": -0.9}[training] if seed else -0.4
            return 0.1 + 0.8 * (1 + slope * strength(distortion, level))

        return of

    one = parts(information(AS_CLAIMED), performance(rule, seeds=(0, 1, 2)))["accuracy under shuffling"]
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


# Claim 5


def gaining(*gains):
    """Normal training has 20 % on adversarial examples, and so much more at each level of saturation."""

    def rule(*, training, examples, level, **_):
        if (training, examples) != ("normal", "adversarial"):
            return 0.9
        return 0.2 + (0.0, *gains)[SATURATION.index(level)]

    return accuracies(rule, distortion="saturation", levels=SATURATION)


def mistaken(values, nulls=0.02, quantity=MISTAKEN_INFORMATION, **facts):
    rows = [
        measurement(
            value, quantity=quantity, estimator=DECODED, examples="adversarial", epoch=10, layer_index=index,
            layer=f"fc{index}", null_quantile95_nats=nulls, **facts,
        )
        for index, value in enumerate(values)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.0, 0.05, 0.2, 0.1), "supported"),
        ((0.0, 0.0, 0.0, 0.0), "undecided"),
        ((-0.1, -0.1, -0.15, -0.15), "contradicted"),
        ((-0.1, -0.1, -0.1, 0.0), "undecided"),
    ],
)
def test_a_gain_at_any_level_supports_and_losses_at_all_contradict(gains, verdict):
    statements = texture_statements(mistaken([0.5]), gaining(*gains))
    assert claim_verdict(5, statements).verdict == verdict
    found = [one.finding() for one in statements if one.part == "accuracy under saturation"]
    assert [one.value for one in found] == pytest.approx(list(gains))
    assert [number.value for number in found[2].numbers] == pytest.approx([0.2, 0.2 + gains[2]])


def test_any_of_several_levels_asks_for_more_evidence_than_one():
    # a gain of 0.04 of 1000 examples lies 2.2 standard errors above 0: enough for one level, not for one of four
    statements = texture_statements(mistaken([0.5]), gaining(0.0, 0.0, 0.0, 0.04))
    found = [one.finding() for one in statements if one.part == "accuracy under saturation"]
    assert found[-1].verdict == "supported"
    assert claim_verdict(5, statements).verdict == "undecided"


def test_information_about_the_mistaken_class_is_held_against_permuted_labels():

    def of(values, **facts):
        found = parts(mistaken(values, **facts), gaining(0, 0, 0, 0), texture_statements)
        return found["information about the mistaken class"]

    assert (of([0.0, 0.5]).verdict, of([0.0, 0.5]).layer) == ("supported", "fc1")
    assert of([0.5, 0.02]).verdict == "undecided"
    # a lower bound below chance says nothing
    assert (of([0.5, -1.0]).verdict, of([0.5, -1.0]).reason) == ("undecided", "null-like")
    assert of([0.5, 0.3], nulls=None).verdict == "supported"


def contrasts(*tables):
    statements = texture_statements(pl.concat(tables), gaining(0, 0, 0, 0))
    return {(one.statistic.rpartition(" - ")[2], one.layer): one.finding() for one in statements if not one.part}


def test_the_mistaken_class_is_held_against_the_true_one_layer_by_layer():
    found = contrasts(mistaken([0.2, 0.9]), mistaken([0.6, 0.1], quantity=TRUE_INFORMATION))
    assert found["about the true one", "fc0"].verdict == "contradicted"
    assert found["about the true one", "fc1"].verdict == "supported"
    assert found["about the true one", "fc1"].value == pytest.approx(0.8)
    assert [number.value for number in found["about the true one", "fc1"].numbers] == pytest.approx([0.9, 0.1])


def test_what_saturation_takes_is_the_strongest_level_less_the_weakest():
    levels = [
        mistaken([value], distortion="saturation", level=level) for level, value in ((2, 0.9), (8, 0.1), (1024, 0.4))
    ]
    found = contrasts(*levels)["as it is", "fc0"]
    assert (found.verdict, found.value) == ("supported", pytest.approx(-0.5))
    kept = contrasts(levels[0], mistaken([0.9], distortion="saturation", level=1024))["as it is", "fc0"]
    assert kept.verdict == "undecided"
    assert ("as it is", "fc0") not in contrasts(levels[0])


def test_what_is_not_recorded_is_missing():
    found = parts(NOTHING, performance_table([]), texture_statements)
    assert set(found) == {"accuracy under saturation", "information about the mistaken class"}
    assert all((one.verdict, one.reason.partition(":")[0]) == ("undecided", "missing") for one in found.values())
    statements = texture_statements(NOTHING, gaining(0.2, 0.2, 0.2, 0.2))
    assert claim_verdict(5, statements).verdict == "undecided"
