"""Claim 3 on planted curves: compression, and the order of depth."""

import numpy as np
import polars as pl
import pytest
from tests.findings.constructed import GROUPS, RELATIVE, flow

from infoplane.findings.curves import Curve, read_curves
from infoplane.findings.episodes import compression_episodes, compression_statements
from infoplane.findings.finding import claim_verdict
from infoplane.findings.reversals import reversal_statements
from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION, measurement_table

SHARE = "share of curves with a compression episode"


def curve(values, error=0.0, seed=0, **flags):
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
        ([1, 2, 1, 2, 1, 2], FLAT, (2, 2)),
        ([3, 2, 1, 1, 1, 1], FLAT, (1, 1)),
        ([1, 2, 3, 2.5, 2.0, 1.5], [1, 1, 1, 0.9, 0.8, 0.7], (0, 0)),  # I(T;Y) falls with it
        ([1, 2, 3, 2.92, 3, 3], FLAT, (0, 0)),  # 4 % of the range: jitter
        ([1, 2, 3, 2.88, 3, 3], FLAT, (1, 1)),  # 6 %
        ([1, 2, 3, 2.97, 2.94, 2.88], FLAT, (1, 1)),  # 6 % in three steps
    ],
)
def test_falls_of_the_one_while_the_other_holds_are_counted(inputs, labels, count):
    assert compression_episodes(curve(inputs), curve(labels), 0.05) == count


def test_falls_within_their_error_are_possible_and_not_certain():
    fall = [1, 2, 3, 2.7, 3.1, 3.2]
    assert compression_episodes(curve(fall, error=0.02), curve(FLAT), 0.05) == (1, 1)
    # an error of 0.2 in each of six values leaves room for a fall in several steps, and makes none certain
    certain, possible = compression_episodes(curve(fall, error=0.2), curve(FLAT), 0.05)
    assert certain == 0
    assert possible >= 1


def test_more_comparisons_ask_for_more_evidence():
    fall = curve([1, 2, 3, 2.7, 3.1, 3.2], error=0.06)
    assert compression_episodes(fall, curve(FLAT), 0.05).certain == 1
    assert compression_episodes(fall, curve(FLAT), 1e-6).certain == 0


@pytest.mark.parametrize("flag", ["saturated", "null_like"])
def test_labels_that_cannot_speak_leave_a_fall_possible(flag):
    labels = curve(FLAT, **{flag: np.ones(6, bool)})
    assert compression_episodes(curve([1, 2, 3, 2, 1, 1]), labels, 0.05) == (0, 1)


def compressing(share_of_layers):
    """I(X;T) rises by 3 nats, and falls by one again in this many of three layers under normal training."""

    def rule(*, training, layer, epoch, quantity, **_):
        if quantity == LABEL_INFORMATION:
            return 0.2 * epoch
        falls = training == "normal" and layer < share_of_layers
        return 1 + 0.3 * epoch - (0.8 * (epoch - 6) if falls and epoch > 6 else 0)

    return rule


def findings(table, **facts):
    found = [one.finding() for one in compression_statements(read_curves(table))]
    return [one for one in found if all(getattr(one, name) == value for name, value in facts.items())]


def share(table):
    """The finding that the verdict rests on."""
    (one,) = [one for one in findings(table, statistic=SHARE) if one.part]
    return one


def test_curves_without_a_fall_support_the_claim():
    main = share(flow(compressing(0)))
    assert (main.verdict, main.low, main.high, main.value) == ("supported", 0, 0, 0)
    assert main.numbers[0].value == 6  # curves: two trainings, three layers
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


def test_saturated_stretches_are_not_compared():
    table = flow(compressing(3)).with_columns(saturated=pl.col("epoch") > 6)
    main = share(table)
    assert main.verdict == "supported"


def test_missing_records_are_named():
    main = share(flow(compressing(1), quantities=(INPUT_INFORMATION,)))
    assert (main.verdict, "missing" in main.reason) == ("undecided", True)


# Depth


def deep(*slopes):
    return lambda *, layer, **_: 3.0 + float(np.cumsum([0, *slopes])[layer])


def reversals(table, **facts):
    found = [one.finding() for one in reversal_statements(read_curves(table))]
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


def test_only_the_last_epoch_counts():
    def rule(*, layer, epoch, **_):
        return 3.0 + (0.5 * layer if epoch < 10 else -0.5 * layer)

    assert main_reversal(flow(rule, epochs=(0, 5, 10))).verdict == "contradicted"


def test_the_claim_wants_both_halves():
    def verdict(table):
        curves = read_curves(table)
        return claim_verdict(3, [*compression_statements(curves), *reversal_statements(curves)])

    def rule(slope, planted):
        return lambda **place: compressing(planted)(**place) + slope * place["layer"]

    assert verdict(flow(rule(0.3, 0))).verdict == "supported"
    falling = verdict(flow(rule(-0.3, 0)))
    assert falling.verdict == "contradicted"
    assert falling.reason.startswith("the records contradict: the estimates do not always fall with depth; by one seed")
    assert "compression" in verdict(flow(rule(0.3, 3))).reason
    assert verdict(measurement_table([])).verdict == "undecided"
    assert reversals(flow(rule(0.3, 0)), estimator=RELATIVE, part="")
