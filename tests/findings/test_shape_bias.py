"""Shape bias, its intervals and its null, and whether adversarial training raises it."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from infoplane.findings.finding import CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED
from infoplane.findings.shape_bias import adversarial_of, bias_difference, shape_bias
from infoplane.findings.shape_claim import judged, shape_sentences
from infoplane.findings.shape_layers import cue_changes, cue_layers
from infoplane.records.shape import CUE_ANSWER_SCHEMA, CUE_LAYER_SCHEMA

GROUPS = 20


def answers(shape, texture, other, *, training="normal", seed=0, kind="high-pass", width=2.0, draw=0) -> pl.DataFrame:
    """Return so many answers of each sort, spread over groups at random; classes are 0 and 1, a third one is 2."""
    number = shape + texture + other
    predicted = np.repeat([0, 1, 2], [shape, texture, other])
    order = np.random.default_rng(draw).permutation(number)
    return pl.DataFrame(
        {
            "seed": seed,
            "training": training,
            "epoch": 1,
            "kind": kind,
            "width": width,
            "fingerprint": "same",
            "conflict": range(number),
            "image": None,
            "shape_example": range(number),
            "texture_example": range(number),
            "shape": 0,
            "texture": 1,
            "group": np.arange(number) % GROUPS,
            "predicted": predicted[order],
        },
        schema=CUE_ANSWER_SCHEMA,
    )


def of_seeds(normal, adversarial) -> pl.DataFrame:
    """Return answers of both trainings, given by (shape, texture, other) of each seed."""
    parts = []
    for seed, (one, other) in enumerate(zip(normal, adversarial, strict=True)):
        parts += [
            answers(*one, seed=seed, draw=seed),
            answers(*other, training="adversarial", seed=seed, draw=10 + seed),
        ]
    return pl.concat(parts)


def test_bias_counts_only_answers_that_name_one_of_the_two_classes():
    (row,) = shape_bias(answers(30, 10, 60)).to_dicts()
    assert (row["n"], row["shape"], row["texture"]) == (100, 30, 10)
    assert row["bias"] == pytest.approx(0.75)
    assert row["answered_share"] == pytest.approx(0.4)
    z = stats.norm.ppf(0.975)  # Wilson's interval of 30 of 40, written out
    half = z * math.sqrt(0.75 * 0.25 / 40 + z * z / (4 * 40**2))
    ends = [(0.75 + z * z / 80 - half) / (1 + z * z / 40), (0.75 + z * z / 80 + half) / (1 + z * z / 40)]
    assert [row["bias_low"], row["bias_high"]] == pytest.approx(ends)


def test_several_seeds_count_a_conflict_once_and_add_their_spread():
    one = shape_bias(answers(40, 40, 20)).row(0, named=True)
    same = shape_bias(pl.concat([answers(40, 40, 20, seed=seed) for seed in range(3)])).row(0, named=True)
    assert (same["seeds"], same["n"]) == (3, 300)
    assert [same["bias_low"], same["bias_high"]] == pytest.approx([one["bias_low"], one["bias_high"]])
    apart = [answers(40 + 20 * step, 40 - 20 * step, 20, seed=1 + step) for step in (-1, 0, 1)]
    wide = shape_bias(pl.concat(apart)).row(0, named=True)
    assert wide["bias_high"] - wide["bias_low"] > 1.5 * (one["bias_high"] - one["bias_low"])


def test_without_answers_there_is_no_bias():
    (row,) = shape_bias(answers(0, 0, 25)).to_dicts()
    assert row["bias"] is None
    assert row["answered_share"] == 0
    assert "none of 25 conflicts" in " ".join(shape_sentences(answers(0, 0, 25), pl.DataFrame(schema=CUE_LAYER_SCHEMA)))


def test_permuted_pairs_have_a_bias_of_one_half_and_answers_at_chance():
    # All pairs of four classes equally often, and every answer names the shape: dealt anew, an answer meets the shape
    # in 1/4 of cases and the texture in 1/4. One permutation meets either in 0.5 +- 0.035 of 240, the mean of 200 in
    # 0.5 +- 0.0025, and the mean bias is 0.5 +- 0.003; tolerances are four of these.
    pairs = [pair for pair in itertools.product(range(4), repeat=2) if pair[0] != pair[1]] * 20
    table = answers(len(pairs), 0, 0).with_columns(
        shape=pl.Series([one for one, _ in pairs]),
        texture=pl.Series([other for _, other in pairs]),
        predicted=pl.Series([one for one, _ in pairs]),
    )
    (row,) = shape_bias(table).to_dicts()
    assert row["bias"] == 1
    assert row["permuted_bias"] == pytest.approx(0.5, abs=0.012)
    assert row["permuted_answered"] == pytest.approx(0.5, abs=0.01)
    assert 0.35 < row["permuted_low"] < 0.46
    assert 0.54 < row["permuted_high"] < 0.65


def test_the_difference_has_the_error_of_a_jackknife_over_groups():
    table = of_seeds([(60, 90, 50), (50, 90, 60)], [(90, 60, 50), (100, 50, 50)])
    found = bias_difference(table, "adversarial")
    assert found.evidence.values.tolist() == pytest.approx([0.6 - 0.4, 100 / 150 - 50 / 140])
    assert found.biases == pytest.approx([(0.4 + 50 / 140) / 2, (0.6 + 100 / 150) / 2])

    def difference(rows):  # slow and simple
        ratios = {}
        for seed, training in itertools.product((0, 1), ("normal", "adversarial")):
            own = rows.filter(seed=seed, training=training)
            hits = own.filter(pl.col("predicted") == pl.col("shape")).height
            ratios[seed, training] = hits / own.filter(pl.col("predicted") != 2).height
        return np.mean([ratios[seed, "adversarial"] - ratios[seed, "normal"] for seed in (0, 1)])

    whole = difference(table)
    pseudo = [
        GROUPS * whole - (GROUPS - 1) * difference(table.filter(pl.col("group") != group)) for group in range(GROUPS)
    ]
    half = stats.t.ppf(0.975, GROUPS - 1) * np.std(pseudo, ddof=1) / math.sqrt(GROUPS)
    assert found.evidence.over_examples(0.05) == pytest.approx([whole - half, whole + half])


def test_one_training_or_none_that_answers_has_no_difference():
    assert bias_difference(answers(5, 5, 5), "adversarial") is None
    assert bias_difference(of_seeds([(5, 5, 30)], [(0, 0, 40)]), "adversarial") is None


LITTLE, MUCH = [(60, 140, 100), (64, 136, 100), (56, 144, 100)], [(120, 80, 100), (124, 76, 100), (116, 84, 100)]


@pytest.mark.parametrize(
    ("normal", "adversarial", "verdict"),
    [(LITTLE, MUCH, SUPPORTED), (MUCH, LITTLE, CONTRADICTED), (LITTLE, LITTLE, UNDECIDED)],
)
def test_the_claim_follows_the_paired_interval(normal, adversarial, verdict):
    found, findings = judged(of_seeds(normal, adversarial))
    assert found.verdict == verdict
    assert [one.part for one in findings] == ["shape bias"]
    assert findings[0].seeds == 3


def test_one_seed_leaves_the_claim_undecided():
    table = of_seeds(LITTLE[:1], MUCH[:1])
    found, findings = judged(table)
    assert (found.verdict, findings[0].verdict) == (UNDECIDED, SUPPORTED)
    assert NEEDS_SEEDS in found.reason
    (claim, *_) = shape_sentences(table, pl.DataFrame(schema=CUE_LAYER_SCHEMA))
    assert "Verdict: undecided" in claim
    assert "+30 points" in claim


def test_other_kinds_of_conflicts_decide_nothing():
    wide = pl.concat([of_seeds(MUCH, LITTLE), of_seeds(LITTLE, MUCH).with_columns(width=pl.lit(4.0))])
    found, findings = judged(wide)
    assert found.verdict == CONTRADICTED
    assert [(one.part, one.verdict) for one in findings] == [("shape bias", CONTRADICTED), ("", SUPPORTED)]
    found, _ = judged(wide.filter(width=4.0))
    assert (found.verdict, "missing" in found.reason) == (UNDECIDED, True)


def test_the_training_that_is_compared_is_adversarial_or_else_the_first_other():
    def named(*trainings):
        return pl.concat([answers(1, 1, 1, training=one) for one in trainings])

    assert adversarial_of(named("untrained", "normal", "trades", "adversarial")) == "adversarial"
    assert adversarial_of(named("untrained", "normal", "fgsm-rs", "trades")) == "fgsm-rs"
    assert adversarial_of(named("untrained", "normal")) is None


def layer_rows(values, *, training="normal", seed=0, layer="fc") -> pl.DataFrame:
    """Return decoded values, with group means that spread by 0.1 around them and sum to the same."""
    spread = 0.1 * np.resize([1, -1], GROUPS)
    rows = []
    for cue, value in values.items():
        facts = {"seed": seed, "training": training, "epoch": 1, "kind": "high-pass", "width": 2.0, "cue": cue}
        numbers = {"value_nats": value, "standard_error": 0.02, "interval_low": value, "interval_high": value}
        more = {"ceiling_nats": 2.3, "n": 100, "permutations": 0, "group_means": (value + spread).tolist()}
        place = {"layer_index": 0, "layer": layer, "estimator": "decoded-transfer", "fingerprint": "same"}
        rows.append(facts | numbers | more | place)
    return pl.DataFrame(rows, schema=CUE_LAYER_SCHEMA)


def test_cues_are_compared_on_the_same_conflicts():
    row = cue_layers(layer_rows({"shape": 1.0, "texture": 0.4})).row(0, named=True)
    half = stats.t.ppf(0.975, GROUPS - 1) * np.std(0.1 * np.resize([1, -1], GROUPS), ddof=1) / math.sqrt(GROUPS)
    assert [row["shape_low"], row["shape_high"]] == pytest.approx([1 - half, 1 + half])
    # Both cues err together here, so that their difference has no error.
    assert [row["difference_low"], row["difference_nats"], row["difference_high"]] == pytest.approx([0.6] * 3)


def test_the_change_from_normal_to_adversarial_training_is_paired_by_seed():
    parts = [
        layer_rows({"shape": 1.0 + step, "texture": 0.5}, training=training, seed=seed)
        for seed in (0, 1)
        for training, step in (("normal", 0.0), ("adversarial", 0.25 + 0.1 * seed))
    ]
    alone = layer_rows({"shape": 9.0, "texture": 0.0}, seed=2)  # no adversarial training of this seed
    (row,) = cue_changes(pl.concat([*parts, alone])).to_dicts()
    assert (row["training"], row["seeds"]) == ("adversarial", 2)
    assert row["change_nats"] == pytest.approx(0.3)
    half = stats.t.ppf(0.975, 1) * np.std([0.25, 0.35], ddof=1) / math.sqrt(2)
    assert [row["change_low"], row["change_high"]] == pytest.approx([0.3 - half, 0.3 + half])


def test_the_sentences_name_the_layers():
    layers = pl.concat(
        [
            layer_rows({"shape": 1.0, "texture": 0.2}, layer="conv"),
            layer_rows({"shape": 0.0, "texture": 0.2}, layer="fc").with_columns(layer_index=pl.lit(1, pl.Int64)),
        ]
    )
    said = " ".join(shape_sentences(answers(20, 10, 10), layers))
    assert "read the shape at 1 of 2 layers (conv) and the texture at 2 of 2 layers (conv, fc)." in said
    assert "The value of the shape is the larger one at 1 of 2 layers (conv), that of the texture at 1 of 2" in said
