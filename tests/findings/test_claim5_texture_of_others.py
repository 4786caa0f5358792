"""Claim 5 on planted records: gains under saturation, and what is read about the wrong class."""

import polars as pl
import pytest
import torch
from tests.findings.constructed import accuracies, exact, measurement

from infoplane.config import MeasurementConfig
from infoplane.findings.claim5_texture_of_others import TEXTURE_OF_OTHERS, texture_statements
from infoplane.findings.verdict import claim_verdict
from infoplane.measuring.layer import measure_layer
from infoplane.measuring.layer_outputs import LayerOutputs, due, stratified_groups
from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    MEASUREMENT_SCHEMA,
    MISTAKEN_INFORMATION,
    TRUE_INFORMATION,
    measurement_table,
    performance_table,
)

SATURATION = (2.0, 8.0, 16.0, 64.0, 1024.0)
NOTHING = measurement_table([])
PART = "information about the wrong class"


def parts(measurements, performance):
    return {one.part: one.finding(5) for one in texture_statements(measurements, performance) if one.part}


def gaining(*gains):
    """Normal training has 20 % on adversarial examples, and so much more at each level of saturation."""

    def rule(*, training, examples, level, **_):
        if (training, examples) != ("normal", "adversarial"):
            return 0.9
        return 0.2 + (0.0, *gains)[SATURATION.index(level)]

    return accuracies(rule, distortion="saturation", levels=SATURATION)


def mistaken(values, *, estimator=DECODED_TRANSFER, null=None, quantity=MISTAKEN_INFORMATION, **facts):
    """What is read in one layer after the other; decoders of originals have no null."""
    rows = [
        measurement(
            value, quantity=quantity, estimator=estimator, examples="adversarial", epoch=10, layer_index=index,
            layer=f"fc{index}", null_quantile95_nats=null, **facts,
        )
        for index, value in enumerate(values)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


READ = mistaken([0.1, 0.5, 0.9])


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
    statements = texture_statements(READ, gaining(*gains))
    assert claim_verdict(TEXTURE_OF_OTHERS, statements).verdict == verdict
    found = [one.finding(5) for one in statements if one.part == "accuracy under saturation"]
    assert [one.value for one in found] == pytest.approx(list(gains))
    assert [number.value for number in found[2].numbers] == pytest.approx([0.2, 0.2 + gains[2]])


def test_any_of_several_levels_asks_for_more_evidence_than_one():
    # a gain of 0.04 of 1000 examples lies 2.2 standard errors above 0: enough for one level, not for one of four
    statements = texture_statements(READ, gaining(0.0, 0.0, 0.0, 0.04))
    found = [one.finding(5) for one in statements if one.part == "accuracy under saturation"]
    assert found[-1].verdict == "supported"
    assert claim_verdict(TEXTURE_OF_OTHERS, statements).verdict == "undecided"


def deciding(*tables):
    return parts(pl.concat(tables), gaining(0, 0, 0, 0))[PART]


def beside(*tables):
    statements = texture_statements(pl.concat(tables), gaining(0, 0, 0, 0))
    found = [one.finding(5) for one in statements if one.statistic.startswith("information about the wrong class")]
    return {(one.layer, one.estimator): one for one in found if not one.part and " - " not in one.statistic}


def test_decoders_of_originals_in_the_layer_before_the_last_decide():
    refitted = mistaken([1.5, 1.8, 2.0], estimator=DECODED, null=0.02)
    one = deciding(READ, refitted)
    assert (one.layer, one.estimator, one.verdict) == ("fc1", DECODED_TRANSFER, "supported")
    assert (one.value, [number.name for number in one.numbers]) == (0.5, ["information"])
    others = beside(READ, refitted)
    assert len(others) == 5
    assert others["fc2", DECODED].value == pytest.approx(1.98)


@pytest.mark.parametrize("value", [0.0, 0.0005, -1.5])
def test_layers_that_only_refitted_decoders_read_are_not_supported(value):
    refitted = mistaken([1.5, 1.8, 2.0], estimator=DECODED, null=0.02)
    table = pl.concat([mistaken([value, value, 1.9]), refitted])
    assert deciding(table).verdict == "undecided"
    found = claim_verdict(TEXTURE_OF_OTHERS, texture_statements(table, gaining(0.2, 0.2, 0.2, 0.2)))
    assert (found.verdict, "information about the wrong class" in found.reason) == ("undecided", True)


def test_attacked_layers_of_pure_noise_support_nothing_though_refitted_decoders_read_two_nats():
    """The class that noise is mistaken for is the largest of its logits, which a refitted decoder reads back."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(600) % 10
    logits = torch.randn(600, 10, generator=generator)
    attacked = {"hidden": torch.randn(600, 10, generator=generator), "logits": logits}
    rows = []
    for index, (layer, noise) in enumerate(attacked.items()):
        facts = {"study": "information-flow", "seed": 0, "training": "normal", "epoch": 10, "split": "test"}
        groups = stratified_groups(labels, generator)
        originals = 3 * torch.eye(10)[labels] + torch.randn(600, 10, generator=generator)
        outputs = LayerOutputs(
            versions={"original": originals, "adversarial": noise},
            labels=labels,
            groups=groups,
            settings=MeasurementConfig(permutations=0, decoder_permutations=1, noise_sweep=()),
            due=due(thorough=True, final=True),
            predicted={"adversarial": logits.argmax(dim=1)},
        )
        rows += measure_layer(outputs, {**facts, "layer_index": index, "layer": layer}).measurements
    table = measurement_table(rows)
    assert beside(table)["logits", DECODED].value > 1.8
    assert beside(table)["logits", DECODED].verdict == "supported"
    assert deciding(table).value < 0
    assert deciding(table).verdict == "undecided"


@pytest.mark.parametrize(("value", "verdict"), [(5e-4, "undecided"), (2e-3, "supported")])
def test_less_than_the_numerical_error_is_nothing_read(value, verdict):
    assert deciding(exact(mistaken([value, value, value]))).verdict == verdict


def test_a_null_is_named_where_there_is_one_and_only_there():
    with_null, without = mistaken([0.3, 0.5], estimator=DECODED, null=0.2), mistaken([0.3, 0.5], estimator=DECODED)
    known, unknown = beside(with_null)["fc0", DECODED], beside(without)["fc0", DECODED]
    assert (known.value, known.statistic) == (
        pytest.approx(0.1), "information about the wrong class, less that of permuted labels",
    )  # fmt: skip
    assert known.numbers[1].value == pytest.approx(0.2)
    assert (unknown.value, unknown.statistic) == (
        pytest.approx(0.3), "information about the wrong class; null not taken",
    )  # fmt: skip
    assert [number.name for number in unknown.numbers] == ["information"]


@pytest.mark.parametrize("other", ["shuffling", "high-pass", "low-pass", "texture-exchange"])
def test_level_two_of_other_distortions_is_not_undistorted(other):
    distorted = mistaken([0.0, -2.0, 0.0], distortion=other, level=2.0)
    assert (deciding(distorted, READ).value, deciding(distorted, READ).verdict) == (0.5, "supported")
    identity = mistaken([0.1, 0.4, 0.9], distortion="saturation", level=2.0)
    assert deciding(distorted, identity).value == 0.4
    assert deciding(identity, distorted, READ).value == 0.5  # study one before study two
    assert deciding(distorted).reason.startswith("missing")
    true = mistaken([0.1, 0.2, 0.1], quantity=TRUE_INFORMATION)
    assert contrasts(distorted, READ, true)["about the true one", "fc1"].value == pytest.approx(0.3)


def test_one_probed_layer_has_none_before_it():
    assert deciding(mistaken([0.5])).reason.startswith("missing: no layer before the last")


def contrasts(*tables):
    statements = texture_statements(pl.concat(tables), gaining(0, 0, 0, 0))
    return {(one.statistic.rpartition(" - ")[2], one.layer): one.finding(5) for one in statements if not one.part}


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
    found = contrasts(*levels)["unsaturated", "fc0"]
    assert (found.verdict, found.value) == ("supported", pytest.approx(-0.5))
    small = exact(mistaken([0.9 - 5e-4], distortion="saturation", level=1024))
    assert contrasts(exact(levels[0]), small)["unsaturated", "fc0"].verdict == "undecided"  # the numerical error
    kept = contrasts(levels[0], mistaken([0.9], distortion="saturation", level=1024))["unsaturated", "fc0"]
    assert kept.verdict == "undecided"
    assert ("unsaturated", "fc0") not in contrasts(levels[0])


def test_what_is_not_recorded_is_missing():
    found = parts(NOTHING, performance_table([]))
    assert set(found) == {"accuracy under saturation", PART}
    assert all((one.verdict, one.reason.partition(":")[0]) == ("undecided", "missing") for one in found.values())
    statements = texture_statements(NOTHING, gaining(0.2, 0.2, 0.2, 0.2))
    assert claim_verdict(TEXTURE_OF_OTHERS, statements).verdict == "undecided"
