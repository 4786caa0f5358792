"""Claim 3b on planted layers: the order of depth."""

import numpy as np
import polars as pl
import pytest
from tests.findings import constructed
from tests.findings.constructed import RELATIVE, exact, swept

from infoplane.findings.claim3_depth import NOT_ALWAYS_FALLING, reversal_statements
from infoplane.findings.curves import read_curves
from infoplane.findings.noise_range import read_profiles
from infoplane.findings.verdict import claim_verdict
from infoplane.records.tables import measurement_table


def flow(rule, **facts):
    return swept(constructed.flow(rule, **facts))


def statements(table):
    return reversal_statements(read_curves(table), profiles=read_profiles(table))


def deep(*slopes):
    return lambda *, layer, **_: 3.0 + float(np.cumsum([0, *slopes])[layer])


def reversals(table, **facts):
    found = [one.finding("3b") for one in statements(table)]
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
    assert len(one.numbers) == 4 * 3  # two trainings, two steps; with the lowest and the highest over the noise
    assert one.numbers[0].value == pytest.approx(slopes[0])
    assert one.numbers[0].name == "fc1 - conv1, normal"


def test_saturated_layers_are_not_compared_by_depth():
    table = flow(deep(0.5, 0.5), epochs=(10,))
    assert main_reversal(table.with_columns(saturated=pl.col("layer") == "conv1")).value == 2
    nothing = main_reversal(table.with_columns(saturated=pl.lit(value=True)))
    assert (nothing.verdict, "saturated" in nothing.reason) == ("undecided", True)


def test_pairs_that_cannot_be_compared_may_be_reversals():
    table = flow(deep(-0.5, -0.5), epochs=(10,)).with_columns(saturated=pl.col("layer") == "conv1")
    one = main_reversal(table)
    assert (one.verdict, one.low, one.high) == ("undecided", 0, 2)
    assert one.reason.startswith("every layer that can be compared has less than the one before it, and not all can")
    assert "2 of 4 pairs of layers could be compared, not fc1 - conv1, normal; fc1 - conv1, adversarial" in one.reason


def test_a_pair_that_was_compared_at_hardly_any_other_noise_is_named():
    high = (pl.col("noise_mode") == "sweep") & (pl.col("noise_ratio") < 0.02 * pl.col("features"))
    full = (high & (pl.col("layer") == "conv1")).fill_null(value=False)
    table = flow(deep(-0.5, -0.5), epochs=(10,)).with_columns(saturated=full)
    # a share of 0.1 is left out too: 3 nats are more than the lower bound can give there
    assert (
        "fc1 - conv1, normal at relative noise and noise share 0.03 alone; fc1 - conv1" in main_reversal(table).reason
    )
    without = constructed.flow(deep(-0.5, -0.5), epochs=(10,))
    assert "fc1 - conv1, normal at relative noise alone" in main_reversal(without).reason


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


def test_an_order_that_changes_with_the_noise_is_undecided():
    # the second layer has .5 nats more than the first at relative noise, and .3 less at a share of .1
    table = swept(
        constructed.flow(lambda *, layer, **_: (1.0, 1.5, 1.0)[layer], seeds=(0, 1, 2), epochs=(0, 10)),
        lambda *, share, layer, **_: -0.8 if share > 0.05 and layer == 1 else 0.0,
    )
    one = main_reversal(table)
    assert (one.verdict, one.value) == ("undecided", 0)
    assert one.reason.startswith("depends on the noise: a reversal is certain at relative noise, not at every noise")
    assert [(number.name, number.value) for number in one.numbers[:3]] == [
        ("fc1 - conv1, normal", pytest.approx(0.5)),
        ("lowest over the noise range", pytest.approx(-0.3)),
        ("highest over the noise range", pytest.approx(0.5)),
    ]
    without = constructed.flow(deep(0.5, 0.5), seeds=(0, 1, 2), epochs=(0, 10))
    assert main_reversal(without).verdict == "undecided"


def test_the_noise_range_of_the_information_about_the_input_does_not_judge_that_about_the_label():
    table = constructed.flow(lambda *, layer, **_: 0.5 + 0.5 * layer, epochs=(0, 10), estimators=(RELATIVE,))
    statement = "I(T;Y) does not always fall from layer to layer (normal training)"
    (one,) = reversals(table, estimator=RELATIVE, quantity="I(T;Y)", statement=statement)
    assert (one.verdict, one.value) == ("supported", 2)


def test_seeds_that_disagree_show_no_reversal():
    def rule(*, seed, layer, **_):
        return 3.0 + (0.5 if seed else -0.6) * layer

    assert main_reversal(flow(rule, epochs=(0, 10))).verdict == "contradicted"
    assert main_reversal(flow(rule, seeds=(0, 1, 2), epochs=(0, 10))).verdict == "undecided"
    assert main_reversal(flow(deep(0.5, 0.5), seeds=(0, 1, 2), epochs=(0, 10))).verdict == "supported"


def test_the_claim_follows_its_one_part_and_names_the_epoch():
    def verdict(table):
        return claim_verdict(NOT_ALWAYS_FALLING, statements(table))

    whole = verdict(flow(deep(0.3, 0.3), seeds=(0, 1, 2)))
    assert (whole.verdict, "at epoch 10" in whole.reason) == ("supported", True)
    falling = verdict(flow(deep(-0.3, -0.3)))
    assert falling.verdict == "contradicted"
    assert falling.reason.startswith("the records contradict: the estimates do not always fall with depth; ")
    assert verdict(measurement_table([])).verdict == "undecided"
    assert reversals(flow(deep(0.3, 0.3)), estimator=RELATIVE, part="")


def test_pairs_that_more_examples_would_change_are_named():
    table = flow(deep(-0.3, -0.3)).with_columns(undersampled=pl.col("layer") == "fc2")
    few = "undersampled: fc2 - fc1, normal; fc2 - fc1, adversarial"
    assert few in main_reversal(table).reason
    everywhere = main_reversal(table.with_columns(undersampled=pl.lit(value=True))).reason
    assert "undersampled: all pairs" in everywhere
    assert "undersampled" not in main_reversal(flow(deep(-0.3, -0.3))).reason
