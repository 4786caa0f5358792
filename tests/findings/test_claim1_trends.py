"""Claim 1 on planted curves: identical, crossed, unrelated, saturated."""

from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy import stats
from tests.findings import constructed
from tests.findings.constructed import EPOCHS, LAYERS, exact

from infoplane.findings.claim1_trends import (
    SAME_TRENDS,
    correlation,
    own_and_crossed,
    relative_error,
    residuals,
    trend_statements,
)
from infoplane.findings.curves import read_curves
from infoplane.findings.finding import ALL_LAYERS
from infoplane.findings.verdict import claim_verdict
from infoplane.records.tables import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, LABEL_INFORMATION

RESIDUALS, ERROR, LEVELS = "correlation of residuals", "range-normalised RMSE", "correlation of levels"
SEEDS = (0, 1, 2, 3)


def flow(rule, **facts):
    """Study one; attacked examples are decoded by decoders trained on clean examples too, with the same values."""
    table = constructed.flow(rule, **facts)
    attacked = table.filter(examples="adversarial", estimator=DECODED)
    return pl.concat([table, attacked.with_columns(estimator=pl.lit(DECODED_TRANSFER))])


def bends(*key):
    """A curve of its own for every key: ten steps of about 0.5 nats up or down."""
    generator = np.random.default_rng([ord(letter) for letter in repr(key)])
    return np.cumsum([1.0, *generator.normal(0.1, 0.5, len(EPOCHS) - 1)])


def shared(strength):
    """Adversarial curves follow the originals of their own seed by `strength`, from 0 to 1, and otherwise their own."""

    def rule(*, seed, training, examples, layer, epoch, quantity):
        own = bends(seed, training, layer, quantity)
        if examples == "original":
            return own[epoch]
        return strength * own[epoch] + (1 - strength) * bends(seed, training, layer, quantity, "apart")[epoch]

    return rule


def findings(table, statistic, **facts):
    found = [one.finding("1") for one in trend_statements(read_curves(table)) if one.statistic == statistic]
    return [one for one in found if all(getattr(one, name) == value for name, value in facts.items())]


def verdicts(table, statistic, **facts):
    return {one.verdict for one in findings(table, statistic, **facts)}


def test_correlations_and_errors_are_those_of_scipy_and_of_the_definition():
    first, second = np.random.default_rng(0).standard_normal((2, 9))
    assert correlation(first, second) == pytest.approx(stats.pearsonr(first, second).statistic)
    span = max(*first, *second) - min(*first, *second)
    assert relative_error(first, second) == pytest.approx(np.sqrt(np.mean((first - second) ** 2)) / span)


SPACED = (0, 1, 2, 3, 4, 6, 8, 12, 18, 28, 45, 70)


def test_residuals_are_distances_from_the_cubic_through_four_neighbours():
    place = np.log1p(np.array(SPACED, dtype=float))
    assert residuals(2 + place - 3 * place**2 + place**3, SPACED) == pytest.approx(np.zeros(8), abs=1e-9)
    values = np.random.default_rng(0).standard_normal(12)
    for row, found in enumerate(residuals(values, SPACED)):
        near = [row, row + 1, row + 3, row + 4]
        cubic = np.polynomial.Polynomial.fit(place[near], values[near], 3)
        assert found == pytest.approx(values[row + 2] - cubic(place[row + 2]))


@pytest.mark.parametrize("speed", [1.0, 2.0, 3.0])
def test_independent_jitter_on_one_trend_correlates_in_first_differences_and_not_in_residuals(speed):
    """5 % jitter on 1 - exp(-epoch / speed) at spaced epochs."""
    generator = np.random.default_rng(0)
    trend = 1 - np.exp(-np.array(SPACED) / speed)
    first, second = trend + 0.05 * generator.standard_normal((2, 500, 12))
    assert np.median(correlation(np.diff(first), np.diff(second))) > 0.6
    # the median of 500 correlations of spread .5 has a spread of .03
    assert abs(np.median(correlation(residuals(first, SPACED), residuals(second, SPACED)))) < 0.1


def test_independent_jitter_on_one_trend_does_not_support_the_claim():
    def rule(*, seed, training, examples, layer, epoch, quantity):
        generator = np.random.default_rng([seed, len(training), len(examples), layer, epoch, len(quantity)])
        return 1 - np.exp(-epoch / 3) + 0.05 * generator.standard_normal()

    table = flow(rule, seeds=SEEDS, epochs=SPACED)
    means = [one for one in findings(table, RESIDUALS) if one.part]
    assert len(means) == 4
    assert {one.verdict for one in means} == {"undecided"}
    assert all(abs(one.value) < 0.4 for one in means)
    assert claim_verdict(SAME_TRENDS, trend_statements(read_curves(table))).verdict == "undecided"


def leaking(leak):
    """Decoders of clean examples follow the originals; refitted ones read up to `leak` nats more."""
    table = flow(shared(1.0), seeds=SEEDS)
    refitted = (pl.col("examples") == "adversarial") & (pl.col("estimator") == DECODED)
    more = pl.when(refitted).then(leak * (1 - pl.col("epoch") / 20)).otherwise(0.0)
    return table.with_columns(value_nats=pl.col("value_nats") + more, group_means=pl.col("group_means") + more)


def test_decoders_trained_on_clean_examples_decide_and_the_leak_of_the_attack_is_shown_beside():
    table = leaking(1.2)
    found = findings(table, ERROR, quantity=LABEL_INFORMATION)
    assert {one.estimator for one in found if one.part} == {DECODED_TRANSFER}
    assert {one.verdict for one in found if one.part} == {"supported"}
    for when, leak in (("first", 1.2), ("last", 0.6)):
        shown = findings(table, f"label leak, refitted - trained on clean, {when} epoch", layer=ALL_LAYERS)
        assert [(one.value, one.verdict, one.part) for one in shown] == [(pytest.approx(leak), "supported", "")] * 2


def test_curves_that_only_refitted_decoders_bring_together_do_not_support_the_claim():
    sign = pl.when(pl.col("estimator") == DECODED_TRANSFER).then(-1.0).otherwise(1.0)
    table = flow(shared(1.0), seeds=SEEDS)
    table = table.with_columns(value_nats=pl.col("value_nats") * sign, group_means=pl.col("group_means") * sign)
    found = claim_verdict(SAME_TRENDS, trend_statements(read_curves(table)))
    assert found.verdict == "contradicted"
    assert set(found.rests_on) >= {f"{RESIDUALS} of I(T;Y), {name} training" for name in ("normal", "adversarial")}


def test_a_curve_without_changes_correlates_with_nothing():
    assert np.isnan(correlation(np.ones(5), np.arange(5.0)))
    assert np.isnan(relative_error(np.ones(5), np.ones(5)))


def test_identical_curves_are_supported():
    table = flow(shared(1.0), seeds=SEEDS)
    for statistic, value in ((RESIDUALS, 1.0), (ERROR, 0.0), (LEVELS, 1.0)):
        for one in findings(table, statistic):
            assert one.verdict == "supported", one
            assert one.value == pytest.approx(value, abs=0.01)
            assert one.seeds == 4
    assert claim_verdict(SAME_TRENDS, trend_statements(read_curves(table))).verdict == "supported"


def test_curves_no_closer_than_those_of_crossed_seeds_are_undecided():
    def same_for_every_seed(*, training, layer, epoch, quantity, **_):
        return bends(training, layer, quantity)[epoch]

    table = flow(same_for_every_seed, seeds=SEEDS)
    for statistic in (RESIDUALS, ERROR, LEVELS):
        assert verdicts(table, statistic) == {"undecided"}
    one = findings(table, RESIDUALS, layer="fc1")[0]
    assert "no closer than curves of different seeds" in one.reason
    assert one.value == pytest.approx(1.0, abs=0.01)  # though they coincide
    assert claim_verdict(SAME_TRENDS, trend_statements(read_curves(table))).verdict == "undecided"


def test_curves_that_rise_alike_whatever_the_seed_prove_nothing_by_their_levels():
    def rule(*, seed, examples, epoch, **facts):
        return 0.3 * epoch + 0.05 * bends(seed, examples, *map(str, facts.items()))[epoch]

    found = findings(flow(rule, seeds=SEEDS), LEVELS)
    assert all(one.value > 0.9 for one in found)
    # twelve findings, each of which chance alone supports in about one of twenty tries
    assert sum(one.verdict == "supported" for one in found) <= 3


def test_curves_of_one_trend_that_lie_far_apart_are_left_undecided_by_their_distance():
    def rule(*, examples, **place):
        return shared(1.0)(examples="original", **place) + (3.0 if examples == "adversarial" else 0.0)

    table = flow(rule, seeds=SEEDS)
    assert {one.verdict for one in findings(table, RESIDUALS) if one.part} == {"supported"}
    # 3 nats apart, of a range of 3 to 7: no farther apart than the curves of different seeds, which lie as far apart
    assert verdicts(table, ERROR) == {"undecided"}


def test_curves_that_mirror_each_other_are_contradicted():
    def rule(*, examples, **place):
        value = shared(1.0)(examples="original", **place)
        return value if examples == "original" else -value

    means = [one for one in findings(flow(rule, seeds=SEEDS), RESIDUALS) if one.part]
    assert {one.verdict for one in means} == {"contradicted"}
    assert all("move in opposite directions" in one.reason for one in means)


def test_a_trend_that_all_seeds_share_and_attacks_turn_round_is_contradicted_though_crossed_seeds_do_the_same():
    def rule(*, seed, examples, epoch, **facts):
        value = 0.5 * epoch + 0.4 * np.sin(2 * epoch) + 0.02 * bends(seed, examples, *map(str, facts.items()))[epoch]
        return value if examples == "original" else 6 - value

    means = [one for one in findings(flow(rule, seeds=SEEDS), RESIDUALS) if one.part]
    assert {one.verdict for one in means} == {"contradicted"}


def test_a_close_relation_that_is_not_near_enough_is_contradicted_where_its_interval_says_so():
    means = [one for one in findings(flow(shared(0.25), seeds=tuple(range(12))), RESIDUALS) if one.part]
    assert all(0 < one.value < 0.5 for one in means)
    assert all(one.verdict != "supported" for one in means)
    assert any(one.verdict == "contradicted" and "but not within the border" in one.reason for one in means)


def test_one_seed_has_no_baseline():
    for statistic in (RESIDUALS, ERROR, LEVELS):
        for one in findings(flow(shared(1.0)), statistic):
            assert one.verdict == "undecided"
            assert "needs at least two seeds: add `--seeds 3`" in one.reason
            assert one.low <= one.value <= one.high


def test_the_baseline_is_the_mean_over_crossed_seeds_either_way_round():
    table = flow(shared(0.5), seeds=(0, 1, 2), layers=("fc",), quantities=(LABEL_INFORMATION,))
    curves = {}
    for seed, examples in ((seed, examples) for seed in (0, 1, 2) for examples in ("original", "adversarial")):
        rows = table.filter(seed=seed, examples=examples, training="normal", estimator=DECODED).sort("epoch")
        curves[seed, examples] = residuals(rows["value_nats"].to_numpy(), EPOCHS)
    expected = [
        stats.pearsonr(curves[a, "original"], curves[b, "adversarial"]).statistic
        for a in (0, 1, 2)
        for b in (0, 1, 2)
        if a != b
    ]
    one = findings(table, RESIDUALS, layer="fc", estimator=DECODED)[0]
    numbers = {number.name: number.value for number in one.numbers}
    assert numbers["different seeds"] == pytest.approx(np.mean(expected))
    assert numbers["epochs"] == len(EPOCHS)


def test_an_unfinished_seed_leaves_the_finished_ones_as_they_are_and_is_named():
    whole = flow(shared(0.9), seeds=SEEDS)
    unfinished = flow(shared(0.0), seeds=(4,)).filter(pl.col("epoch") <= 2)
    for statistic in (RESIDUALS, ERROR, LEVELS):
        finished, found = findings(whole, statistic), findings(pl.concat([whole, unfinished]), statistic)
        assert [(one.value, one.low, one.high, one.seeds) for one in found] == [
            (one.value, one.low, one.high, 4) for one in finished
        ]
        assert all("epoch 10, without unfinished seed 4)" in one.statement for one in found)


def test_curves_that_move_by_less_than_the_numerical_error_do_not_move():
    table = exact(flow(lambda *, epoch, seed, **_: 1 + 1e-4 * bends(seed)[epoch], seeds=SEEDS))
    found = findings(table, RESIDUALS)
    assert all("changes by less than its error" in one.reason for one in found)


def test_each_seed_stands_against_all_crossed_pairs_that_it_is_in():
    generator = np.random.default_rng(0)
    original, attacked = generator.standard_normal((2, 4, 3, 9))  # seeds, resamples, epochs
    own, crossed = own_and_crossed(original, attacked, relative_error)
    for resample in range(3):
        for seed in range(4):
            pairs = [pair for pair in product(range(4), repeat=2) if seed in pair and pair != (seed, seed)]
            slow = [relative_error(original[a, resample], attacked[b, resample]) for a, b in pairs]
            assert crossed[resample, seed] == pytest.approx(np.mean(slow))
            assert own[resample, seed] == pytest.approx(
                relative_error(original[seed, resample], attacked[seed, resample])
            )


def test_saturated_epochs_are_left_out_and_saturated_curves_undecided():
    table = flow(shared(1.0), seeds=SEEDS)
    late = table.with_columns(saturated=pl.col("epoch") >= 9)
    one = findings(late, RESIDUALS, layer="fc1", quantity=INPUT_INFORMATION)[0]
    assert {number.name: number.value for number in one.numbers}["epochs"] == 9
    early = table.with_columns(saturated=pl.col("epoch") >= 6)
    found = findings(early, RESIDUALS, quantity=INPUT_INFORMATION)
    assert {(one.verdict, one.reason.partition(":")[0]) for one in found} == {("undecided", "saturated")}
    assert verdicts(early, RESIDUALS, quantity=LABEL_INFORMATION) == {"supported"}  # decoded


def test_null_like_curves_are_undecided():
    table = flow(shared(1.0), seeds=SEEDS).with_columns(null_quantile95_nats=pl.lit(99.0))
    found = [one for one in findings(table, ERROR) if one.estimator != DECODED_TRANSFER]
    assert {one.verdict for one in found} == {"undecided"}
    assert any("null-like" in one.reason for one in found)
    # what decoders of clean examples read from attacked ones is a result, however low it is
    assert verdicts(table, ERROR, estimator=DECODED_TRANSFER) == {"supported"}


def test_curves_that_do_not_move_beyond_their_error_are_undecided():
    table = flow(lambda *, epoch, **_: 1 + 0.001 * (epoch % 2), seeds=SEEDS)
    found = findings(table, RESIDUALS, layer="fc1")
    assert {one.verdict for one in found} == {"undecided"}
    assert "changes by less than its error" in found[0].reason


@pytest.mark.parametrize("epochs", [tuple(range(7)), (0,)])
def test_seven_epochs_are_too_few(epochs):
    found = findings(flow(shared(1.0), seeds=SEEDS, epochs=epochs), RESIDUALS)
    assert {one.verdict for one in found} == {"undecided"}
    assert "fewer than 8 epochs" in found[0].reason


def test_originals_alone_are_missing_the_others():
    found = findings(flow(shared(1.0), seeds=SEEDS, examples=("original",)), RESIDUALS)
    assert len([one for one in found if one.part]) == 4  # both trainings, both informations
    assert all("missing" in one.reason for one in found)


def test_decoders_trained_on_clean_examples_are_compared_with_what_they_read_from_originals():
    found = findings(flow(shared(1.0), seeds=SEEDS, quantities=(LABEL_INFORMATION,)), RESIDUALS)
    of_clean = [one for one in found if one.estimator == DECODED_TRANSFER]
    assert {one.layer for one in of_clean} == {*LAYERS, ALL_LAYERS}
    assert {one.verdict for one in of_clean} == {"supported"}


def test_no_interval_passes_what_a_statistic_can_be():
    found = [one for name in (RESIDUALS, ERROR, LEVELS) for one in findings(flow(shared(1.0), seeds=SEEDS[:2]), name)]
    ends = [(one.statistic, one.low, one.high) for one in found if one.low is not None]
    assert ends
    for name, low, high in ends:
        assert (0.0 if name == ERROR else -1.0) <= low <= high <= 1.0
