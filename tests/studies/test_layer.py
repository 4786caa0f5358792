"""One layer's records carry the estimators' numbers, and what is needed to judge them."""

import math

import polars as pl
import pytest
import torch

from infoplane.config import MeasurementConfig
from infoplane.estimators import kde_information
from infoplane.randomness import seeded_generator
from infoplane.records import CLASS_ENTROPY, INPUT_INFORMATION, LABEL_INFORMATION, measurement_table
from infoplane.studies.layer import LayerFacts, measure_layer, stratified_groups

FACTS = LayerFacts(
    study="test",
    seed=3,
    training="normal",
    epoch=7,
    split="test",
    examples="original",
    layer_index=2,
    layer="fc1",
)


@pytest.fixture(scope="module")
def labels():
    return torch.arange(120) % 3


@pytest.fixture(scope="module")
def activations(labels):
    return torch.randn(120, 4, generator=torch.Generator().manual_seed(0)) + 2 * labels[:, None]


@pytest.fixture(scope="module")
def table(activations, labels):
    groups = stratified_groups(labels, seeded_generator(3, "groups"))
    settings = MeasurementConfig(permutations=20, noise_variance=0.3)
    return measurement_table(measure_layer(activations, labels, groups, settings, FACTS))


def test_every_estimator_and_quantity_has_its_rows(table):
    counted = {row[:2]: row[2] for row in table.group_by("estimator", "quantity").len().rows()}
    assert counted == {
        ("kde-kl", INPUT_INFORMATION): 1,
        ("kde-bd", INPUT_INFORMATION): 1,
        ("kde-kl", LABEL_INFORMATION): 1,
        ("kde-bd", LABEL_INFORMATION): 1,
        ("kde-mixed", LABEL_INFORMATION): 2,
        ("kde-kl", CLASS_ENTROPY): 3,
        ("kde-bd", CLASS_ENTROPY): 3,
        ("binning", INPUT_INFORMATION): 1,
        ("binning", LABEL_INFORMATION): 1,
    }


def test_values_are_the_estimators_own(table, activations, labels):
    kde = kde_information(activations, labels, noise_variance=0.3)
    found = {
        (row["estimator"], row["quantity"], row["kind"], row["class_index"]): row["value_nats"]
        for row in table.to_dicts()
    }
    assert found["kde-kl", INPUT_INFORMATION, "upper", None] == kde.input_upper
    assert found["kde-bd", INPUT_INFORMATION, "lower", None] == kde.input_lower
    assert found["kde-kl", LABEL_INFORMATION, "estimate", None] == kde.label_upper
    assert found["kde-bd", LABEL_INFORMATION, "estimate", None] == kde.label_lower
    assert found["kde-mixed", LABEL_INFORMATION, "upper", None] == kde.label_upper_bound
    assert found["kde-mixed", LABEL_INFORMATION, "lower", None] == kde.label_lower_bound
    assert found["kde-kl", CLASS_ENTROPY, "upper", 1] == kde.class_entropies[1].upper
    assert found["kde-bd", CLASS_ENTROPY, "lower", 2] == kde.class_entropies[2].lower


def test_ceilings_are_log_n_the_label_entropy_and_log_of_the_class(table):
    def ceilings(quantity):
        rows = table.filter((pl.col("quantity") == quantity) & (pl.col("estimator") != "kde-mixed"))
        return rows["ceiling_nats"].to_list()

    assert ceilings(INPUT_INFORMATION) == pytest.approx([math.log(120)] * 3)
    assert ceilings(LABEL_INFORMATION) == pytest.approx([math.log(3)] * 3)
    assert ceilings(CLASS_ENTROPY) == pytest.approx([math.log(40)] * 6)
    assert table.filter(pl.col("estimator") == "kde-mixed")["ceiling_nats"].to_list() == [None, None]


def test_label_information_has_a_null_and_input_information_has_none(table):
    labelled = table.filter(pl.col("quantity") == LABEL_INFORMATION)
    assert labelled["null_mean_nats"].is_not_null().all()
    assert (labelled["null_quantile95_nats"] > labelled["null_mean_nats"] - 1e-9).all()  # equal where all reach H(Y)
    assert labelled["permutations"].to_list() == [20] * 5
    others = table.filter(pl.col("quantity") != LABEL_INFORMATION)
    assert others["null_mean_nats"].is_null().all()


def test_group_means_average_to_the_value_and_spread_like_its_error(table):
    for row in table.filter(pl.col("class_index").is_null()).to_dicts():
        assert len(row["group_means"]) == 20
        assert sum(row["group_means"]) / 20 == pytest.approx(row["value_nats"])  # groups of equal size


def test_intervals_hold_the_value_and_grow_with_the_error(table):
    width = table["interval_high"] - table["interval_low"]
    assert width.to_list() == pytest.approx((3.919928 * table["standard_error"]).to_list())


def test_groups_have_the_proportions_of_the_whole():
    labels = torch.cat([torch.zeros(200), torch.ones(100), torch.full((7,), 2.0)]).long()
    groups = stratified_groups(labels, torch.Generator().manual_seed(0))
    assert set(torch.bincount(groups, minlength=20).tolist()) <= {15, 16}
    assert set(torch.bincount(groups[labels == 0], minlength=20).tolist()) == {10}
    assert torch.bincount(groups[labels == 2], minlength=20).max() == 1


def test_few_samples_get_fewer_groups_and_empty_ones_are_missing_values():
    labels = torch.tensor([0, 0, 0, 1, 1])
    groups = stratified_groups(labels, torch.Generator().manual_seed(0))
    assert sorted(groups.tolist()) == [0, 1, 2, 3, 4]
    settings = MeasurementConfig(permutations=0)
    rows = measure_layer(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), labels, groups, settings, FACTS)
    of_one_class = next(row for row in rows if row.class_index == 1)
    assert len(of_one_class.group_means) == 5  # as many for a class as for all
    assert of_one_class.group_means.count(None) == 3
    assert all(row.permutations is None for row in rows)
