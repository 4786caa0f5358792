"""Claim 5 on planted records: gains under saturation, and what is read about the wrong class."""

import numpy as np
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
    LABEL_INFORMATION,
    MEASUREMENT_SCHEMA,
    MISTAKEN_INFORMATION,
    TRUE_INFORMATION,
    measurement_table,
    performance_table,
)

SATURATION = (2.0, 8.0, 16.0, 64.0, 1024.0)
NOTHING = measurement_table([])
GAIN, ORIGINALS, RANDOMS = (
    "accuracy under saturation", "wrong class beyond original examples", "wrong class beyond random examples",
)  # fmt: skip
SEEDS = (0, 1, 2)


def parts(measurements, performance):
    return {one.part: one.finding("5") for one in texture_statements(measurements, performance) if one.part}


def verdict(measurements, performance):
    return claim_verdict(TEXTURE_OF_OTHERS, texture_statements(measurements, performance))


def gaining(*gains, start=0.2, seeds=(0,), n=1000, controls=0.0):
    """Normal training has 20 % on adversarial examples, and so much more at each level of saturation."""

    def rule(*, training, examples, level, **_):
        if training == "normal" and examples == "adversarial":
            return start + (0.0, *gains)[SATURATION.index(level)]
        return 0.6 + (controls if level > 2 else 0.0)

    attacks = ("adversarial", "random")
    return accuracies(rule, distortion="saturation", levels=SATURATION, seeds=seeds, attacks=attacks, n=n)


def mistaken(
    values, *, estimator=DECODED_TRANSFER, null=None, quantity=MISTAKEN_INFORMATION, examples="adversarial",
    seeds=(0,), **facts,
):  # fmt: skip
    """What is read in one layer after the other; decoders of originals have no null."""
    rows = [
        measurement(
            value, quantity=quantity, estimator=estimator, examples=examples, epoch=10, layer_index=index,
            layer=f"fc{index}", null_quantile95_nats=null, seed=seed, **facts,
        )
        for seed in seeds
        for index, value in enumerate(values)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


def read(attacked, originals, randoms, seeds=SEEDS):
    """What decoders of originals read about the wrong class in the last layer but one, of misclassified examples.

    One row of I(T;Y) says what H(Y) is, ln 10.
    """
    values = {"adversarial": attacked, "original": originals, "random": randoms}
    tables = [mistaken([0.1, value, 0.9], examples=name, seeds=seeds) for name, value in values.items()]
    return pl.concat([*tables, LABELS])


LABELS = pl.DataFrame([measurement(1.0, quantity=LABEL_INFORMATION, training="adversarial")], schema=MEASUREMENT_SCHEMA)
READ = pl.concat([mistaken([0.1, 0.5, 0.9]), LABELS])
MORE = read(1.5, 0.5, 0.6)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((0.0, 0.05, 0.2, 0.1), "supported"),
        ((0.0, 0.0, 0.0, 0.0), "undecided"),
        ((-0.1, -0.1, -0.15, -0.15), "contradicted"),
        ((-0.1, -0.1, -0.1, 0.0), "undecided"),
    ],
)
def test_a_gain_at_any_level_supports_and_losses_at_all_contradict(gains, expected):
    table = gaining(*gains, seeds=SEEDS)
    assert verdict(MORE, table).verdict == expected
    found = [one.finding("5") for one in texture_statements(MORE, table) if one.part == GAIN]
    assert [one.value for one in found] == pytest.approx(list(gains))
    assert [number.value for number in found[2].numbers[:2]] == pytest.approx([0.2, 0.2 + gains[2]])


def test_any_of_several_levels_asks_for_more_evidence_than_one():
    # a gain of 0.04 of 1000 examples lies 2.2 standard errors above 0: enough for one level, not for one of four
    table = gaining(0.0, 0.0, 0.0, 0.04, seeds=SEEDS, controls=-0.2)
    found = [one.finding("5") for one in texture_statements(MORE, table) if one.part == GAIN]
    assert found[-1].verdict == "supported"
    assert verdict(MORE, table).verdict == "undecided"


def test_one_seed_does_not_decide():
    one = verdict(read(1.5, 0.5, 0.6, seeds=(0,)), gaining(0.2, 0.2, 0.2, 0.2))
    assert (one.verdict, "needs at least two seeds: add `--seeds 3`" in one.reason) == ("undecided", True)


@pytest.mark.parametrize(("start", "end", "n"), [(0.086, 0.108, 5000), (0.0, 0.012, 5000)])
def test_a_rise_to_chance_is_no_support(start, end, n):
    """Pure noise in place of saturation moves accuracy towards the 10 % of chance."""
    table = gaining(0.0, 0.0, 0.0, end - start, start=start, seeds=SEEDS, n=n)
    one = [one.finding("5") for one in texture_statements(MORE, table) if one.part == GAIN][-1]
    assert one.value == pytest.approx(end - start)
    assert one.low > 0  # a rise that is certain
    assert one.verdict == "undecided"
    assert one.reason.startswith("not certainly above chance, 10.0%")
    assert verdict(MORE, table).verdict == "undecided"


def test_a_linear_classifier_of_gaussian_features_under_noise_supports_nothing():
    """Accuracy on attacked Gaussian features, of noise that replaces the image step by step: it ends at chance."""
    generator = np.random.default_rng(0)
    weights, labels = generator.standard_normal((10, 50)), np.repeat(np.arange(10), 300)
    rows = {}
    for seed in SEEDS:
        images = weights[labels] + 2 * generator.standard_normal((3000, 50))
        wrong = (labels + 1) % 10
        attacked = images - 1.5 * np.sign(weights[labels] - weights[wrong])
        for level, share in zip(SATURATION, (0.0, 0.9, 0.97, 0.99, 1.0), strict=True):
            noisy = (1 - share) * attacked + share * 10 * generator.standard_normal(attacked.shape)
            predicted = (noisy @ weights.T - 0.5 * (weights**2).sum(axis=1)).argmax(axis=1)
            rows[seed, level] = float((predicted == labels).mean())

    def rule(*, seed, training, examples, level):
        return rows[seed, level] if (training, examples) == ("normal", "adversarial") else 0.9

    table = accuracies(rule, distortion="saturation", levels=SATURATION, seeds=SEEDS, n=3000)
    assert rows[0, 2.0] < 0.1
    assert 0.08 < rows[0, 1024.0] < 0.12
    assert verdict(MORE, table).verdict == "undecided"


def test_a_gain_no_larger_than_on_the_controls_is_no_support():
    table = gaining(0.2, 0.2, 0.2, 0.2, seeds=SEEDS, controls=0.25)
    one = [one.finding("5") for one in texture_statements(MORE, table) if one.part == GAIN][-1]
    assert one.verdict == "undecided"
    assert one.reason.startswith("not certainly more than on original examples, ")
    assert verdict(MORE, gaining(0.2, 0.2, 0.2, 0.2, seeds=SEEDS, controls=0.1)).verdict == "supported"


def test_chance_is_the_share_of_the_largest_class_where_predictions_tell_it():
    predictions = [
        {"label": label, "predicted": predicted, "n": n, "confidence": 0.5}
        for label, predicted, n in ((0, 0, 300), (0, 1, 300), (1, 1, 400))
    ]
    table = gaining(0.35, 0.35, 0.35, 0.35, seeds=SEEDS)
    told = table.with_columns(predictions=pl.Series([predictions] * len(table), dtype=table.schema["predictions"]))
    for rows, chance, verdict_of_gain in ((table, 0.1, "supported"), (told, 0.6, "undecided")):
        one = [one.finding("5") for one in texture_statements(MORE, rows) if one.part == GAIN][-1]
        assert {number.name: number.value for number in one.numbers}["chance"] == pytest.approx(chance)
        assert one.verdict == verdict_of_gain


GAINS = gaining(0.2, 0.2, 0.2, 0.2, seeds=SEEDS)


@pytest.mark.parametrize(
    ("originals", "randoms", "decided"),
    [(0.5, 0.6, True), (1.5, 0.6, False), (0.5, 1.5, False), (1.8, 1.8, False)],
)
def test_both_controls_are_subtracted(originals, randoms, decided):
    """Decoders of originals read 1.5 nats about the mistaken class of merely misclassified clean examples."""
    found = parts(read(1.5, originals, randoms), GAINS)
    assert found[ORIGINALS].value == pytest.approx(1.5 - originals)
    assert found[RANDOMS].value == pytest.approx(1.5 - randoms)
    assert [(number.name, number.value) for number in found[RANDOMS].numbers] == [
        ("adversarial", 1.5), ("random", randoms),
    ]  # fmt: skip
    assert "contradicted" not in {one.verdict for one in found.values()}  # a lower bound cannot contradict
    assert verdict(read(1.5, originals, randoms), GAINS).verdict == ("supported" if decided else "undecided")


def test_a_control_with_too_few_mistakes_leaves_the_claim_undecided():
    table = MORE.filter((pl.col("examples") != "original") | (pl.col("quantity") != MISTAKEN_INFORMATION))
    one = verdict(table, GAINS)
    assert (one.verdict, one.rests_on) == ("undecided", (ORIGINALS,))
    assert one.reason.startswith("missing: too few misclassified originals")


@pytest.mark.parametrize(("kept", "verdicts"), [((1,), "undecided"), ((0, 2), "supported")])
def test_a_control_that_not_all_seeds_have_says_so_and_that_of_one_seed_decides_nothing(kept, verdicts):
    control = (pl.col("examples") == "original") & ~pl.col("seed").is_in(kept)
    found = parts(MORE.filter(~control), gaining(0.2, 0.2, 0.2, 0.2, seeds=SEEDS))
    assert (found[ORIGINALS].verdict, found[RANDOMS].verdict) == (verdicts, "supported")
    assert f"measured for {len(kept)} of 3 seeds: the others have too few misclassified originals" in (
        found[ORIGINALS].reason
    )
    assert "measured for" not in found[RANDOMS].reason


def beside(*tables):
    statements = texture_statements(pl.concat(tables), gaining(0, 0, 0, 0))
    found = [one.finding("5") for one in statements if one.statistic.startswith("information about the wrong class")]
    return {(one.layer, one.estimator): one for one in found if not one.part and " - " not in one.statistic}


def deciding(*tables):
    """What decoders of originals read in the layer before the last, less the misclassified originals."""
    controls = [exact(mistaken([0.0, 0.0, 0.0], examples=name)) for name in ("original", "random")]
    return parts(pl.concat([*tables, *controls]), gaining(0, 0, 0, 0))[ORIGINALS]


def test_decoders_of_originals_in_the_layer_before_the_last_decide():
    refitted = mistaken([1.5, 1.8, 2.0], estimator=DECODED, null=0.02)
    one = deciding(READ, refitted)
    assert (one.layer, one.estimator, one.verdict) == ("fc1", DECODED_TRANSFER, "supported")
    assert (one.value, [number.name for number in one.numbers]) == (0.5, ["adversarial", "original"])
    others = beside(READ, refitted)
    assert len(others) == 6
    assert others["fc2", DECODED].value == pytest.approx(1.98)


@pytest.mark.parametrize("value", [0.0, 0.0005, -1.5])
def test_layers_that_only_refitted_decoders_read_are_not_supported(value):
    refitted = mistaken([1.5, 1.8, 2.0], estimator=DECODED, null=0.02)
    assert deciding(mistaken([value, value, 1.9]), refitted).verdict == "undecided"


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
    assert beside(table)["hidden", DECODED_TRANSFER].value < 0


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
    one = parts(mistaken([0.5]), gaining(0, 0, 0, 0))[ORIGINALS]
    assert (one.layer, one.reason.partition(":")[0]) == ("last but one", "missing")


def contrasts(*tables):
    statements = texture_statements(pl.concat(tables), gaining(0, 0, 0, 0))
    return {(one.statistic.rpartition(" - ")[2], one.layer): one.finding("5") for one in statements if not one.part}


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
    assert set(found) == {GAIN, ORIGINALS, RANDOMS}
    assert all((one.verdict, one.reason.partition(":")[0]) == ("undecided", "missing") for one in found.values())
    assert verdict(NOTHING, GAINS).verdict == "undecided"
