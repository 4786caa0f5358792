"""One layer's records carry the estimators' numbers, and what is needed to judge them."""

import math

import polars as pl
import pytest
import torch

from infoplane.config import MeasurementConfig
from infoplane.estimators import (
    activation_norm,
    class_clustering_index,
    decoded_information,
    kde_information,
    linear_cka,
    noisy_information,
)
from infoplane.measuring import layer
from infoplane.measuring.layer import LayerFacts
from infoplane.measuring.layer_outputs import LayerOutputs, due, stratified_groups
from infoplane.randomness import seeded_generator
from infoplane.records.tables import (
    CLASS_ENTROPY,
    FEWER_INFORMATION,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    geometry_table,
    measurement_table,
)

FACTS = LayerFacts(study="test", seed=3, training="normal", epoch=7, split="test", layer_index=2, layer="fc1")
SETTINGS = MeasurementConfig(permutations=20, noise_variance=0.3, noise_ratio=0.2, noise_sweep=(0.01, 1.0))


def measure_layer(versions, labels, groups, settings, *, thorough=False, final=False):
    when = due(thorough=thorough, final=final)
    outputs = LayerOutputs(versions=versions, labels=labels, groups=groups, settings=settings, due=when)
    return layer.measure_layer(outputs, FACTS)


@pytest.fixture(scope="module")
def labels():
    return torch.arange(120) % 3


@pytest.fixture(scope="module")
def activations(labels):
    return torch.randn(120, 4, generator=torch.Generator().manual_seed(0)) + 2 * labels[:, None]


@pytest.fixture(scope="module")
def groups(labels):
    return stratified_groups(labels, seeded_generator(3, "groups"))


@pytest.fixture(scope="module")
def attacked(activations, labels):
    """Moved a class further, halfway."""
    return activations + torch.where(labels == 2, -4.0, 2.0)[:, None] / 2


@pytest.fixture(scope="module")
def everything(activations, attacked, labels, groups):
    versions = {"original": activations, "adversarial": attacked}
    return measure_layer(versions, labels, groups, SETTINGS, thorough=True, final=True)


@pytest.fixture(scope="module")
def table(activations, labels, groups):
    """The pairwise estimators at the study's noise."""
    rows = measurement_table(measure_layer({"original": activations}, labels, groups, SETTINGS).measurements)
    return rows.filter((pl.col("noise_mode") == "fixed") | pl.col("noise_mode").is_null())


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


def test_a_thorough_and_final_measurement_has_every_estimator_at_its_noise(everything):
    counted = measurement_table(everything.measurements).group_by("examples", "noise_mode", "estimator").len()
    kde = {"kde-kl": 2, "kde-bd": 2, "kde-mixed": 2}
    both = {("relative", name): number for name, number in kde.items()}
    both |= {("sweep", name): 2 * number for name, number in kde.items()}
    both |= {("fixed", "kde-kl"): 5, ("fixed", "kde-bd"): 5, ("fixed", "kde-mixed"): 2, ("fixed", "noisy"): 2}
    both |= {("relative", "noisy"): 2}
    both |= {(None, "binning"): 2, (None, "decoded"): 1}
    expected = {(examples, *key): number for examples in ("original", "adversarial") for key, number in both.items()}
    expected["adversarial", None, "decoded-transfer"] = 1
    expected["original", None, "decoded"] += 2  # the learning curve
    expected["adversarial", None, "decoded"] += 3  # what attacked examples add, lack and share
    assert {row[:3]: row[3] for row in counted.rows()} == expected


def test_each_record_says_which_distribution_it_is_about_and_whether_samples_were_too_few(everything):
    rows = {(row.estimator, row.distribution) for row in everything.measurements}
    decoders = {(name, "population") for name in ("decoded", "decoded-transfer")}
    assert rows == decoders | {("binning", "binned")} | {
        (name, "mixture") for name in ("kde-kl", "kde-bd", "kde-mixed", "noisy")
    }
    for row in everything.measurements:
        unknown = row.quantity == FEWER_INFORMATION or row.estimator.startswith("kde")
        assert (row.undersampled is None) == unknown


def test_bias_is_recorded_by_the_estimators_own_account(labels, groups):
    def biased(points):
        found = measure_layer({"original": points}, labels, groups, SETTINGS, thorough=True).measurements
        stated = [row for row in found if row.undersampled is not None and at_fixed(row)]
        return {(row.estimator, row.quantity): row.undersampled for row in stated}

    def at_fixed(row):
        return row.noise_mode in (None, "fixed")

    assert set(biased(torch.zeros(len(labels), 3)).values()) == {False}
    far_apart = biased(100 * torch.randn(len(labels), 30, generator=torch.Generator().manual_seed(1)))
    assert all(far_apart["binning", quantity] for quantity in (INPUT_INFORMATION, LABEL_INFORMATION))
    assert far_apart["noisy", INPUT_INFORMATION]


def test_decoders_near_the_entropy_of_the_labels_are_not_saturated(labels, groups):
    known = 10 * torch.eye(int(labels.max()) + 1)[labels]
    rows = measure_layer({"original": known}, labels, groups, SETTINGS, thorough=True).measurements
    decoded = [row for row in rows if row.estimator == "decoded"]
    assert all(row.value_nats > 0.95 * row.ceiling_nats and not row.saturated for row in decoded)
    assert any(row.saturated for row in rows if row.estimator == "kde-kl" and row.quantity == LABEL_INFORMATION)


def test_relative_noise_goes_by_the_mean_variance_of_the_units(everything, activations, labels):
    unit_variance = activations.double().var(dim=0, correction=0).mean().item()
    rows = measurement_table(everything.measurements).filter(
        (pl.col("examples") == "original") & (pl.col("estimator") == "kde-kl") & (pl.col("kind") == "upper")
    )
    for mode, ratio in (("relative", 0.2), ("sweep", 0.01), ("sweep", 1.0)):
        row = rows.filter((pl.col("noise_mode") == mode) & (pl.col("noise_ratio") == ratio)).row(0, named=True)
        assert row["noise_variance"] == pytest.approx(ratio * unit_variance)
        alone = kde_information(activations, labels, noise_variance=row["noise_variance"])
        assert row["value_nats"] == pytest.approx(alone.input_upper.value, abs=1e-6)


def test_by_default_relative_noise_is_a_share_of_the_total_variance(labels, groups):
    share = 1 / (2 * max(math.log(len(labels)) - 4, 0.5))
    for width in (3, 96):
        points = 5 * torch.randn(len(labels), width, generator=torch.Generator().manual_seed(1))
        rows = measure_layer({"original": points}, labels, groups, MeasurementConfig(permutations=0))
        (found,) = {row.noise_variance for row in rows.measurements if row.noise_mode == "relative"}
        assert found == pytest.approx(points.double().var(dim=0, correction=0).sum().item() * share)


def test_noisy_and_decoded_values_are_the_estimators_own_with_paired_draws(everything, activations, attacked, labels):
    found = {
        (row.examples, row.estimator, row.quantity): row
        for row in everything.measurements
        if row.estimator in ("noisy", "decoded", "decoded-transfer") and row.noise_mode != "relative"
    }
    for examples, points in (("original", activations), ("adversarial", attacked)):
        noisy = noisy_information(
            points, labels, noise_variance=0.3, generator=seeded_generator(0, "permutations"), permutations=20
        )
        assert found[examples, "noisy", INPUT_INFORMATION].value_nats == noisy.input.value
        assert found[examples, "noisy", LABEL_INFORMATION].value_nats == noisy.label.value
        assert found[examples, "noisy", LABEL_INFORMATION].null_mean_nats == noisy.label.null.mean
        decoded = decoded_information(points, labels, generator=seeded_generator(0, "decoder"))
        assert found[examples, "decoded", LABEL_INFORMATION].value_nats == decoded.value
        assert found[examples, "decoded", LABEL_INFORMATION].kind == "lower"
    original = decoded_information(activations, labels, generator=seeded_generator(0, "decoder"))
    transfer = found["adversarial", "decoded-transfer", LABEL_INFORMATION]
    assert transfer.value_nats == original.transferred(attacked, labels).value
    assert transfer.value_nats < found["adversarial", "decoded", LABEL_INFORMATION].value_nats - 0.2


def test_decoders_of_permuted_labels_find_nothing(everything):
    decoded = [
        row
        for row in everything.measurements
        if row.estimator.startswith("decoded") and row.quantity == LABEL_INFORMATION
    ]
    assert [row.permutations for row in decoded] == [5] * 3
    assert all(abs(row.null_mean_nats) < 0.1 < row.value_nats for row in decoded if row.estimator == "decoded")


def test_geometry_says_how_far_the_attack_moved_the_layer(everything, activations, attacked, labels):
    first, second = geometry_table(everything.geometry).to_dicts()
    for row, points in ((first, activations), (second, attacked)):
        assert row["activation_norm"] == activation_norm(points)
        assert row["mean_unit_variance"] == pytest.approx(points.double().var(dim=0, correction=0).mean().item())
        assert row["class_clustering_index"] == class_clustering_index(points, labels)
    assert [row["examples"] for row in (first, second)] == ["original", "adversarial"]
    assert first["cka_with_original"] is None
    assert second["cka_with_original"] == linear_cka(activations, attacked).debiased


def test_a_layer_without_variance_has_no_relative_noise(labels, groups):
    dead = {"original": torch.full((120, 3), 0.25)}
    records = measure_layer(dead, labels, groups, SETTINGS, thorough=True, final=True)
    assert {row.noise_mode for row in records.measurements} == {"fixed", None}
    inputs = [row.value_nats for row in records.measurements if row.quantity == INPUT_INFORMATION]
    assert inputs == pytest.approx([0.0] * 4, abs=1e-12)
    assert records.geometry[0].mean_unit_variance == 0.0


def test_too_few_examples_are_not_decoded():
    labels = torch.tensor([0, 0, 0, 1, 1])
    groups = stratified_groups(labels, torch.Generator().manual_seed(0))
    points = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    rows = measure_layer({"original": points}, labels, groups, SETTINGS, thorough=True).measurements
    assert "decoded" not in {row.estimator for row in rows}


def test_values_are_the_estimators_own(table, activations, labels):
    kde = kde_information(activations, labels, noise_variance=0.3)
    found = {
        (row["estimator"], row["quantity"], row["kind"], row["class_index"]): row["value_nats"]
        for row in table.to_dicts()
    }
    for key, value in {
        ("kde-kl", INPUT_INFORMATION, "upper", None): kde.input_upper.value,
        ("kde-bd", INPUT_INFORMATION, "lower", None): kde.input_lower.value,
        ("kde-kl", LABEL_INFORMATION, "estimate", None): kde.label_upper.value,
        ("kde-bd", LABEL_INFORMATION, "estimate", None): kde.label_lower.value,
        ("kde-mixed", LABEL_INFORMATION, "upper", None): kde.label_upper_bound.value,
        ("kde-mixed", LABEL_INFORMATION, "lower", None): kde.label_lower_bound.value,
        ("kde-kl", CLASS_ENTROPY, "upper", 1): kde.class_entropies[1].upper.value,
        ("kde-bd", CLASS_ENTROPY, "lower", 2): kde.class_entropies[2].lower.value,
    }.items():
        assert found[key] == pytest.approx(value, abs=1e-6), key


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
    points = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    rows = measure_layer({"original": points}, labels, groups, settings).measurements
    of_one_class = next(row for row in rows if row.class_index == 1)
    assert len(of_one_class.group_means) == 5  # as many for a class as for all
    assert of_one_class.group_means.count(None) == 3
    assert all(row.permutations is None for row in rows)
