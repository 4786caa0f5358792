"""Claim 3 on planted curves: compression, and the order of depth."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.findings.constructed import GROUPS, RELATIVE, exact, flow

from infoplane.findings.claim3_compression import (
    HARDLY_COMPRESSION,
    compression_episodes,
    compression_statements,
    training_jitter,
)
from infoplane.findings.claim3_depth import reversal_statements
from infoplane.findings.curves import Curve, read_curves
from infoplane.findings.verdict import claim_verdict
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION, measurement_table

SHARE = "share of curves with a compression episode"


def curve(values, error=0.0, seed=0, **flags):
    """Values whose 20 groups stray by a known error of each value."""
    values = np.array(values, dtype=float)
    noise = np.random.default_rng(seed).standard_normal((len(values), GROUPS))
    noise -= noise.mean(axis=1, keepdims=True)
    noise *= error * np.sqrt(GROUPS) / noise.std(axis=1, ddof=1, keepdims=True)
    no = np.zeros(len(values), bool)
    return Curve(
        epochs=tuple(range(len(values))), values=values, groups=values[:, None] + noise,
        saturated=flags.get("saturated", no), null_like=flags.get("null_like", no),
    )  # fmt: skip


FLAT, RISING = [1.0] * 6, [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]


@pytest.mark.parametrize(
    ("inputs", "labels", "count"),
    [
        (RISING, RISING, (0, 0)),
        ([1, 2, 3, 2.5, 2.0, 1.5], RISING, (1, 1)),  # one long fall is one episode
        ([1, 2, 1, 2, 1, 2], FLAT, (0, 2)),  # recovers at once, twice
        ([3, 2, 1, 1, 1, 1], FLAT, (1, 1)),
        ([1, 2, 3, 2.5, 2.0, 1.5], [1, 1, 1, 0.9, 0.8, 0.7], (0, 0)),  # I(T;Y) falls with it
        ([1, 2, 3, 2.92, 3, 3], FLAT, (0, 0)),  # 4 % of the range: jitter
        ([1, 2, 3, 2.88, 3, 3], FLAT, (0, 1)),  # 6 %, and recovers at once
        ([1, 2, 3, 2.88, 2.9, 2.9], FLAT, (1, 1)),  # 6 %, and stays below
        ([1, 2, 3, 2.97, 2.94, 2.88], FLAT, (1, 1)),  # 6 % in three steps
        ([1, 2, 2.5, 2.8, 3, 2], FLAT, (0, 1)),  # at the last epoch alone
        ([3, 2, 1], FLAT[:3], (0, 1)),  # three epochs
        ([3, 2, 1.1, 0.2], FLAT[:4], (1, 1)),  # four
        ([3, 3 - 8e-4, 3 - 9e-4, 3 - 9e-4], FLAT[:4], (0, 0)),  # less than the estimators promise
    ],
)
def test_falls_of_the_one_while_the_other_holds_are_counted(inputs, labels, count):
    assert compression_episodes(curve(inputs), curve(labels), 0.05) == count


def test_falls_within_their_error_are_possible_and_not_certain():
    fall = [1, 2, 3, 2.7, 2.6, 2.6]
    assert compression_episodes(curve(fall, error=0.02), curve(FLAT), 0.05) == (1, 1)
    # an error of 0.2 in each of six values leaves room for a fall in several steps, and makes none certain
    certain, possible = compression_episodes(curve(fall, error=0.2), curve(FLAT), 0.05)
    assert certain == 0
    assert possible >= 1


def test_more_comparisons_ask_for_more_evidence():
    fall = curve([1, 2, 3, 2.6, 2.6, 2.6], error=0.06)
    assert compression_episodes(fall, curve(FLAT), 0.05).certain == 1
    assert compression_episodes(fall, curve(FLAT), 1e-6).certain == 0


@pytest.mark.parametrize("flag", ["saturated", "null_like"])
def test_labels_that_cannot_speak_leave_a_fall_possible(flag):
    labels = curve(FLAT, **{flag: np.ones(6, bool)})
    assert compression_episodes(curve([1, 2, 3, 2, 1, 1]), labels, 0.05) == (0, 1)


# I(T;Y) loses 3, 6 or 40 % of its range of 2 nats while I(X;T) falls
@pytest.mark.parametrize(("loss", "count"), [(0.06, (1, 1)), (0.12, (0, 0)), (0.8, (0, 0))])
def test_labels_hold_that_keep_within_five_percent_of_their_range(loss, count):
    labels = curve([0, 1, 2, 2 - loss / 2, 2 - loss, 2 - loss])
    assert compression_episodes(curve([1, 2, 3, 2, 1, 1]), labels, 0.05) == count


@pytest.mark.parametrize("error", [0.1, 0.3, 1.0])
def test_labels_that_are_too_noisy_to_be_seen_to_fall_do_not_hold_for_certain(error):
    """I(T;Y) loses two fifths, beyond the error or not: at no error does I(X;T) certainly compress."""
    labels = curve([2.0, 2.0, 2.0, 1.6, 1.2, 1.2], error=error)
    certain, possible = compression_episodes(curve([1, 2, 3, 2, 1, 1]), labels, 0.05)
    assert (certain, possible) == (0, 0 if error == 0.1 else 1)


def test_labels_without_errors_leave_a_fall_possible():
    labels = replace(curve(FLAT), groups=np.empty((6, 0)))
    assert compression_episodes(curve([1, 2, 3, 2, 1, 1]), labels, 0.05) == (0, 1)


TWELVE = np.array([0, 1, 2, 3, 4, 6, 8, 12, 18, 28, 45, 70])  # epochs
RISES = {"to a plateau": 3 - 3 * np.exp(-TWELVE / 3), "to the end": 3 * np.log1p(TWELVE) / np.log(71)}


@pytest.mark.parametrize("rise", RISES)
@pytest.mark.parametrize("jitter", [0.03, 0.05])
def test_jitter_of_training_around_a_rising_curve_is_no_compression(rise, jitter):
    generator = np.random.default_rng(0)
    labels = curve(2 - 2 * np.exp(-TWELVE / 3), error=0.01)
    certain = 0
    for seed in range(200):
        inputs = curve(3 + RISES[rise] + 3 * jitter * generator.standard_normal(12), error=0.01, seed=seed)
        certain += compression_episodes(inputs, labels, 0.05 / 6).certain > 0
    assert certain <= 4  # of 200: some 0.5 % of curves, by 1,000 others


def test_a_fall_well_beyond_the_jitter_is_found():
    generator = np.random.default_rng(0)
    labels = curve(2 - 2 * np.exp(-TWELVE / 3), error=0.01)
    fall = np.array([3, 3.5, 4, 4.5, 5, 5.5, 6, 5.5, 5, 4.5, 4.2, 4])
    found = [
        compression_episodes(curve(fall + 0.03 * generator.standard_normal(12), error=0.01), labels, 0.05).certain
        for _ in range(50)
    ]
    assert found.count(1) >= 48


def test_jitter_is_told_from_the_shape_of_a_curve():
    generator = np.random.default_rng(0)
    found = [training_jitter(0.3 * np.arange(100) + 0.1 * generator.standard_normal(100), 0) for _ in range(50)]
    assert np.mean(found) == pytest.approx(0.1, rel=0.05)
    assert training_jitter(np.array([1.0, 2, 3, 2, 1, 0]), 2) == pytest.approx(0)  # the peak itself is left out


def compressing(share_of_layers):
    """I(X;T) rises by 3 nats, and falls by one again in this many of three layers under normal training."""

    def rule(*, training, layer, epoch, quantity, **_):
        if quantity == LABEL_INFORMATION:
            return 0.2 * epoch
        falls = training == "normal" and layer < share_of_layers
        return 1 + 0.3 * epoch - (0.8 * (epoch - 6) if falls and epoch > 6 else 0)

    return rule


def findings(table, **facts):
    found = [one.finding(3) for one in compression_statements(read_curves(table))]
    return [one for one in found if all(getattr(one, name) == value for name, value in facts.items())]


def share(table):
    """The finding that the verdict rests on."""
    (one,) = [one for one in findings(table, statistic=SHARE) if one.part]
    return one


def test_curves_without_a_fall_support_the_claim():
    main = share(flow(compressing(0)))
    assert (main.verdict, main.low, main.high, main.value) == ("supported", 0, 0, 0)
    assert [one.value for one in main.numbers] == [6, 6]  # curves, all judged: two trainings, three layers
    assert "6 of 6 curves could be judged" in main.reason
    assert {one.verdict for one in findings(flow(compressing(0)))} == {"supported"}


def test_planted_compression_contradicts_it_and_is_found_where_it_is():
    table = flow(compressing(2), seeds=(0, 1))
    main = share(table)
    assert (main.verdict, main.seeds) == ("contradicted", 2)
    assert main.value == pytest.approx(4 / 12)
    layers = findings(table, statistic="compression episodes")
    found = {(one.statement, one.layer): (one.verdict, one.value) for one in layers}
    for examples in ("original", "adversarial"):
        name = f"no compression (normal training, {examples} examples)"
        assert [found[name, layer][0] for layer in ("conv1", "fc1", "fc2")] == [
            "contradicted", "contradicted", "supported",
        ]  # fmt: skip
        assert found[name, "fc1"][1] == 2  # one in either seed


def test_saturated_curves_decide_nothing():
    table = flow(compressing(2)).with_columns(saturated=pl.lit(value=True))
    found = findings(table)
    assert {one.verdict for one in found} == {"undecided"}
    assert all("saturated" in one.reason for one in found)


def test_saturated_stretches_may_hide_what_happened_in_them():
    table = flow(compressing(3)).with_columns(saturated=pl.col("epoch") > 6)
    main = share(table)
    assert (main.verdict, main.value, main.low, main.high) == ("undecided", None, 0, 1)
    assert "0 of 6 curves could be judged, the others not: 6 saturated" in main.reason


def test_curves_that_cannot_be_judged_are_counted_as_possible_of_all():
    most = (pl.col("layer") != "fc2") | (pl.col("training") == "adversarial")
    main = share(flow(compressing(0)).with_columns(saturated=most))
    assert (main.verdict, main.low, main.high, main.value) == ("undecided", 0, pytest.approx(5 / 6), 0)
    assert [one.value for one in main.numbers] == [6, 1]
    # one saturated curve in thirty leaves room for one
    rare = share(
        flow(compressing(0), seeds=range(5)).with_columns(
            saturated=(pl.col("layer") == "fc1") & (pl.col("training") == "normal") & (pl.col("seed") == 0)
        )
    )
    assert (rare.verdict, rare.high) == ("supported", pytest.approx(1 / 30))
    # and a fall that is certain counts, whatever the same curve may hide later on
    late = share(flow(compressing(3)).with_columns(saturated=pl.col("epoch") == 10))
    assert (late.verdict, late.low, late.high) == ("contradicted", 0.5, 1)
    assert "3 of 6 curves could be judged, the others not: 3 saturated" in late.reason


@pytest.mark.parametrize("epochs", [(0, 10), (0, 6, 10)])
def test_too_few_epochs_judge_nothing(epochs):
    main = share(flow(compressing(3), epochs=epochs))
    assert (main.verdict, main.low, main.high) == ("undecided", 0, 1)
    assert "0 of 6 curves could be judged, the others not: 6 with fewer than 4 epochs" in main.reason
    layers = findings(flow(compressing(0), epochs=epochs), statistic="compression episodes")
    assert {one.verdict for one in layers} == {"undecided"}


def test_missing_records_are_named():
    main = share(flow(compressing(1), quantities=(INPUT_INFORMATION,)))
    assert (main.verdict, "missing" in main.reason) == ("undecided", True)


# Depth


def deep(*slopes):
    return lambda *, layer, **_: 3.0 + float(np.cumsum([0, *slopes])[layer])


def reversals(table, **facts):
    found = [one.finding(3) for one in reversal_statements(read_curves(table))]
    return [one for one in found if all(getattr(one, name) == value for name, value in facts.items())]


def main_reversal(table):
    (one,) = [one for one in reversals(table) if one.part]
    return one


@pytest.mark.parametrize(
    ("slopes", "verdict", "counts"),
    [
        ((-0.5, -0.5), "contradicted", (0, 0)),
        ((-0.5, 0.5), "supported", (2, 2)),  # in both trainings
        ((0.5, 0.5), "supported", (4, 4)),
        ((-0.5, 0.0), "undecided", (0, 2)),
    ],
)
def test_reversals_beyond_their_error_are_counted(slopes, verdict, counts):
    one = main_reversal(flow(deep(*slopes), epochs=(0, 10)))
    assert (one.verdict, (one.low, one.high), one.value) == (verdict, counts, counts[0])
    assert len(one.numbers) == 4
    assert one.numbers[0].value == pytest.approx(slopes[0])
    assert one.numbers[0].name == "fc1 - conv1, normal, seed 0"


def test_saturated_layers_are_not_compared_by_depth():
    table = flow(deep(0.5, 0.5), epochs=(10,))
    assert main_reversal(table.with_columns(saturated=pl.col("layer") == "conv1")).value == 2
    nothing = main_reversal(table.with_columns(saturated=pl.lit(value=True)))
    assert (nothing.verdict, "saturated" in nothing.reason) == ("undecided", True)


@pytest.mark.parametrize(
    ("slope", "verdict", "counts"),
    [
        (0.0, "undecided", (0, 4)),
        (1e-6, "undecided", (0, 4)),
        (-5e-4, "undecided", (0, 4)),
        (2e-3, "supported", (4, 4)),
        (-2e-3, "contradicted", (0, 0)),
    ],
)
def test_layers_within_the_numerical_error_of_each_other_are_in_no_order(slope, verdict, counts):
    one = main_reversal(exact(flow(deep(slope, slope), epochs=(0, 10))))
    assert (one.verdict, (one.low, one.high)) == (verdict, counts)


def test_an_unfinished_seed_has_no_last_epoch():
    falling, rising = flow(deep(-0.5, -0.5), epochs=(0, 10)), flow(deep(0.5, 0.5), seeds=(1,), epochs=(0,))
    assert (main_reversal(pl.concat([falling, rising])).verdict, main_reversal(rising).value) == ("contradicted", 4)


def test_only_the_last_epoch_counts():
    def rule(*, layer, epoch, **_):
        return 3.0 + (0.5 * layer if epoch < 10 else -0.5 * layer)

    assert main_reversal(flow(rule, epochs=(0, 5, 10))).verdict == "contradicted"


def test_the_claim_wants_both_halves():
    def verdict(table):
        curves = read_curves(table)
        return claim_verdict(HARDLY_COMPRESSION, [*compression_statements(curves), *reversal_statements(curves)])

    def rule(slope, planted):
        return lambda **place: compressing(planted)(**place) + slope * place["layer"]

    whole = verdict(flow(rule(0.3, 0)))
    assert whole.verdict == "supported"
    assert "compression is almost never seen: 6 of 6 curves could be judged" in whole.reason
    falling = verdict(flow(rule(-0.3, 0)))
    assert falling.verdict == "contradicted"
    assert falling.reason.startswith("the records contradict: the estimates do not always fall with depth; one seed")
    assert "compression" in verdict(flow(rule(0.3, 3))).reason
    half = verdict(flow(rule(0.3, 0)).with_columns(saturated=(pl.col("layer") == "conv1") & (pl.col("epoch") > 4)))
    assert half.verdict == "undecided"
    assert "4 of 6 curves could be judged, the others not: 2 saturated" in half.reason
    assert verdict(measurement_table([])).verdict == "undecided"
    assert reversals(flow(rule(0.3, 0)), estimator=RELATIVE, part="")
