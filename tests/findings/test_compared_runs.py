import numpy as np
import polars as pl
import pytest
from tests.findings.constructed import GROUPS, flow, measurement

from infoplane.findings.compared_runs import RunRecords, compare_runs
from infoplane.records.tables import (
    DECODED,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    MEASUREMENT_SCHEMA,
    PERFORMANCE_SCHEMA,
    Performance,
    performance_table,
)

SAME = "the same examples"


def run(name, measurements, *, examples=SAME, performance=None):
    nothing = pl.DataFrame(schema=PERFORMANCE_SCHEMA)
    return RunRecords(
        name=name,
        measurements=measurements,
        performance=nothing if performance is None else performance,
        examples=examples,
    )


def level(value):
    return lambda **_: value


def compared(first, *others, **facts):
    return compare_runs([run("A", first, **facts), *(run(f"B{i}", other, **facts) for i, other in enumerate(others))])


def planted(seeds, *, layers, examples, shift=0.0, generator):
    """One epoch of many layers: seeds stray, the examples move all runs alike, each network responds on its own."""
    between, within = 0.05, 0.02
    common = {"seed": 0, "epoch": 3, "quantity": LABEL_INFORMATION}
    rows = []
    for index in range(layers):
        for seed in seeds:
            own = 1 + shift + between * generator.standard_normal() + examples[index]
            groups = own + within * np.sqrt(GROUPS) * generator.standard_normal(GROUPS)
            row = measurement(
                float(groups.mean()), **{**common, "seed": seed}, layer_index=index, layer=f"layer{index}"
            )
            rows.append({**row, "group_means": groups.tolist(), "null_quantile95_nats": None})
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


@pytest.fixture(scope="module")
def examples():
    return np.random.default_rng(1).standard_normal((300, GROUPS)) * 0.2


def test_random_weights_are_not_compared_where_both_runs_went_on(examples):
    generator = np.random.default_rng(3)
    one = planted(range(2), layers=2, examples=examples, generator=generator)

    def at(*epochs):
        return pl.concat([one.with_columns(epoch=pl.lit(epoch, pl.Int64)) for epoch in epochs]).select(one.columns)

    found = compared(at(0, 4), at(0, 10))
    assert found.differences == []
    assert any("no epoch after 0 in common (measured at 0, 4; 0, 10)" in note for note in found.notes)
    assert {one.epoch for one in compared(at(0), at(0, 10)).differences} == {0}
    assert {one.epoch for one in compared(at(0, 4), at(0, 4, 10)).differences} == {4}


def test_records_of_the_same_settings_under_other_seeds_differ_by_nothing_at_the_stated_rate(examples):
    generator = np.random.default_rng(2)
    first, second = (
        planted(seeds, layers=300, examples=examples, generator=generator) for seeds in (range(5), range(10, 15))
    )
    found = compared(first, second).differences
    assert len(found) == 300
    assert all(one.paired and one.covers_seeds for one in found)
    share = np.mean([one.low <= 0 <= one.high for one in found])
    assert share == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 300))  # binomial limits
    assert not any(one.is_clear for one in found)  # together they err in one of 20 such pages


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_a_planted_difference_of_records_is_clear_with_its_sign(examples, shift):
    generator = np.random.default_rng(3)
    first = planted(range(5), layers=20, examples=examples, generator=generator)
    second = planted(range(10, 15), layers=20, examples=examples, shift=shift, generator=generator)
    found = compared(first, second).differences
    assert {np.sign(one.value) for one in found if one.is_clear} == {np.sign(shift)}
    assert np.mean([one.is_clear for one in found]) > 0.9


def test_the_difference_is_the_other_run_minus_the_first():
    found = compared(flow(level(1.0)), flow(level(1.3)), flow(level(0.9)))
    assert {one.run: round(one.value, 9) for one in found.differences} == {"B0": 0.3, "B1": -0.1}


def test_runs_with_different_or_unknown_examples_are_not_paired():
    first, second = flow(level(1.0)), flow(level(1.3))
    assert all(one.paired for one in compared(first, second).differences)
    assert not any(one.paired for one in compared(first, second, examples=None).differences)
    other = compare_runs([run("A", first), run("B", second, examples="others")])
    assert not any(one.paired for one in other.differences)


def test_runs_are_compared_at_the_largest_epoch_that_both_have():
    found = compared(
        flow(lambda epoch, **_: epoch / 10, epochs=range(0, 9, 2)), flow(level(1.0), epochs=range(0, 7, 3))
    )
    assert {one.epoch for one in found.differences} == {6}
    assert {round(one.value, 9) for one in found.differences} == {0.4}


def test_a_seed_that_did_not_come_as_far_is_left_out_and_named():
    first = pl.concat([flow(level(1.0)), flow(level(9.0), seeds=(1,), epochs=(0, 1))])
    found = compared(first, flow(level(1.0)))
    assert {one.value for one in found.differences} == {0.0}
    assert "A: normal training of seed 1 was not measured at the compared epoch" in found.notes


def test_layers_are_matched_by_name_whatever_their_place():
    first, second = flow(level(1.0), layers=("a", "b")), flow(lambda layer, **_: 1.0 + layer, layers=("new", "b", "a"))
    found = compared(first, second)
    assert {one.place.layer[1]: round(one.value, 9) for one in found.differences} == {"a": 2.0, "b": 1.0}
    assert "B0 against A: layers without a counterpart: new" in found.notes


def test_layers_of_models_without_a_name_in_common_are_matched_by_position():
    first, second = flow(level(1.0), layers=("a", "b")), flow(lambda layer, **_: 1.0 + layer, layers=("x", "y", "z"))
    found = compared(first, second)
    assert {one.place.layer[1]: round(one.value, 9) for one in found.differences} == {"a": 0.0, "b": 1.0}
    assert any("by position: x with a, y with b" in note for note in found.notes)


def test_the_one_training_that_is_left_on_each_side_is_compared():
    first = flow(level(1.0))
    second = flow(lambda training, **_: 2.0 if training == "trades" else 1.0, trainings=("normal", "trades"))
    found = compared(first, second)
    assert {(one.place.training, one.value) for one in found.differences} == {("normal", 0.0), ("adversarial", 1.0)}
    assert "B0 against A: training 'trades' is compared with 'adversarial'" in found.notes


def test_trainings_in_one_run_alone_are_named():
    found = compared(flow(level(1.0)), flow(level(1.0), trainings=("normal", "trades", "mart")))
    assert {one.place.training for one in found.differences} == {"normal"}
    assert sum("is in one of the two only" in note for note in found.notes) == 3


def test_a_training_at_chance_is_left_out():
    dead = performance_table(
        Performance(
            study="information-flow", seed=0, training=training, epoch=10, split="test", examples="original",
            accuracy=0.1, loss=1.0, n=10, gradient_evaluations=0, seconds=0.0, at_chance=training == "adversarial",
        )
        for training in ("normal", "adversarial")
    )  # fmt: skip
    found = compare_runs([run("A", flow(level(1.0))), run("B", flow(level(1.0)), performance=dead)])
    assert {one.place.training for one in found.differences} == {"normal"}
    assert "B: adversarial training of seed 0 is at chance and left out" in found.notes


def test_a_saturated_value_is_not_compared():
    found = compared(flow(level(np.log(1000)), quantities=(INPUT_INFORMATION,)), flow(level(1.0)))
    assert {one.note for one in found.differences} == {"saturated"}
    assert not any(one.is_clear for one in found.differences)


def test_values_at_another_noise_are_not_compared():
    ratio = {"noise_ratio": 0.4, "noise_variance": 0.4}
    first = flow(level(1.0), quantities=(INPUT_INFORMATION,), **ratio)
    second = flow(level(0.5), quantities=(INPUT_INFORMATION,), **{**ratio, "noise_ratio": 0.8})
    assert {one.note for one in compared(first, second).differences} == {"other noise"}
    assert {one.note for one in compared(first, first).differences} == {""}


def test_without_a_common_estimator_of_any_quantity_there_is_nothing_to_read():
    first = flow(level(1.0), quantities=(LABEL_INFORMATION,), estimators=(DECODED,))
    second = flow(level(1.0), quantities=(INPUT_INFORMATION,))
    found = compared(first, second)
    assert (found.readings, found.differences) == ([], [])


def test_an_estimator_that_all_runs_have_stands_in_for_the_preferred_one():
    first = flow(level(1.0), quantities=(LABEL_INFORMATION,), estimators=(DECODED, "kde-bd"))
    second = flow(level(1.0), quantities=(LABEL_INFORMATION,), estimators=("kde-bd",))
    assert [one.estimator for one in compared(first, second).readings] == ["kde-bd"]


def test_infinite_and_missing_values_do_not_stop_a_comparison():
    broken = flow(level(1.0)).with_columns(
        value_nats=pl.when(pl.col("layer") == "fc1").then(float("nan")).otherwise(pl.col("value_nats")),
        group_means=pl.when(pl.col("layer") == "fc2").then(None).otherwise(pl.col("group_means")),
        standard_error=pl.when(pl.col("layer") == "fc2").then(None).otherwise(pl.col("standard_error")),
    )
    found = compared(flow(level(1.0)), broken)
    assert {one.place.layer[1] for one in found.differences} == {"conv1", "fc2"}
    assert {one.place.layer[1] for one in found.differences if one.low is None} == {"fc2"}


def test_one_layer_of_one_epoch_is_enough():
    one = flow(level(1.0), layers=("only",), epochs=(0,), trainings=("normal",), examples=("original",))
    assert len(compared(one, one).differences) == 2
