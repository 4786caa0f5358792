"""Sentences of the report stand only where planted records support them."""

import numpy as np
import polars as pl
import pytest
from tests.findings.constructed import measurement

from infoplane.findings.label_loss import label_loss
from infoplane.findings.label_profiles import LabelProfiles
from infoplane.findings.sentences import MOST, sentences
from infoplane.records.tables import MEASUREMENT_SCHEMA, Performance, performance_table

BIT = np.log(2)
LAYERS = ("conv1", "conv2", "fc1", "fc2")
KEPT = {"original": (3.0, 3.0, 3.0, 3.0), "adversarial": (2.9, 2.8, 2.8, 2.7)}
LOST = {"original": (3.0, 3.0, 3.0, 3.0), "adversarial": (2.9, 2.5, 0.4, 0.1)}
RIGHT = {"original": 0.97, "adversarial": 0.3}
SAFE = {"original": 0.95, "adversarial": 0.8}


def records(profiles, *, seeds=(0,), epochs=(0, 10), layers=LAYERS, stray=1, **facts):
    """Decoded I(T;Y) in bits: `profiles[training][examples]`, half of it at epoch 0; decoders of originals."""
    rows = [
        measurement(
            value * BIT * (1 if epoch else 0.5), quantity="I(T;Y)", seed=seed, training=training, epoch=epoch,
            examples=examples, layer=layers[index], layer_index=index,
            estimator="decoded" if examples == "original" else "decoded-transfer",
            **{"null_quantile95_nats": 0.01, **facts},
        )
        for seed in seeds
        for training, own in profiles.items()
        for examples, values in own.items()
        for epoch in epochs
        for index, value in enumerate(values)
    ]  # fmt: skip
    for row in rows:
        if row["group_means"]:
            row["group_means"] = [row["value_nats"] + stray * (mean - row["value_nats"]) for mean in row["group_means"]]
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


def performance(accuracies, *, seeds=(0,), epoch=10, at_chance=()):
    return performance_table(
        Performance(
            study="information-flow", seed=seed, training=training, epoch=epoch, split="test", examples=examples,
            accuracy=accuracy, loss=1.0, n=1000, gradient_evaluations=0, seconds=0.0, at_chance=training in at_chance,
        )
        for seed in seeds
        for training, own in accuracies.items()
        for examples, accuracy in own.items()
    )  # fmt: skip


def said(profiles, accuracies, *, at_chance=(), **facts):
    seeds = facts.get("seeds", (0,))
    return [
        one.text
        for one in sentences(records(profiles, **facts), performance(accuracies, seeds=seeds, at_chance=at_chance))
    ]


def about_layers(texts):
    return [text for text in texts if "decoders" in text]


BOTH = {"normal": LOST, "adversarial": KEPT}
RATES = {"normal": RIGHT, "adversarial": SAFE}


def test_a_planted_loss_is_named_between_its_layers_with_values_and_intervals():
    # The groups stray by 0.01 nats: 2.09 of these, in bits, are 0.03.
    assert said(BOTH, RATES)[1] == (
        "Under attack, the normally trained network loses the label between conv2 and fc1: decoders of originals read "
        "2.50 bits (2.47 to 2.53) at conv2, and 0.40 (0.37 to 0.43) at fc1."
    )


def test_the_training_that_keeps_the_label_is_compared_with_normal_training():
    (text,) = [text for text in said(BOTH, RATES) if "keeps" in text]
    assert "the adversarially trained network keeps 2.70 bits (2.67 to 2.73) of the 3.00 bits" in text
    assert "at fc2, 2.60 bits more (2.5" in text
    assert text.endswith(" than the normally trained network.")


def test_accuracies_are_given_with_intervals():
    # Those of Wilson for 1,000 images: 93.5 to 96.2, and 77.4 to 82.4.
    assert said(BOTH, RATES)[0] == (
        "After normal training 97 % (96 to 98) of the test images are classified correctly and 30 % (27 to 33) under "
        "attack; after adversarial training 95 % (93 to 96) and 80 % (77 to 82)."
    )


def test_each_sentence_has_the_number_that_it_rests_on():
    lost = sentences(records(BOTH), performance(RATES))[1]
    assert (lost.anchor, lost.unit) == ("label", "nats")
    assert lost.value == pytest.approx(2.1 * BIT)
    assert 0 < lost.low < lost.value < lost.high


def test_records_that_say_the_opposite_get_the_opposite_sentences():
    texts = about_layers(said({"normal": KEPT, "adversarial": LOST}, RATES))
    assert "the normally trained network keeps 2.70 bits" in texts[0]
    assert "more" not in texts[0]
    assert "the adversarially trained network loses the label between conv2 and fc1" in texts[1]


def test_a_loss_of_less_than_half_is_no_loss():
    little = {**LOST, "adversarial": (2.9, 2.5, 1.8, 1.6)}
    assert not any("loses" in text for text in said({"normal": little}, {"normal": RIGHT}))


def test_a_label_of_which_more_than_a_quarter_is_left_is_not_called_lost():
    # 0.9 of 3 bits are 30 %; the interval of 0.74 bits, 24.7 %, reaches beyond a quarter.
    for left in (0.9, 0.74):
        some = {**LOST, "adversarial": (2.9, 2.5, left, left)}
        (text,) = [text for text in said({"normal": some}, {"normal": RIGHT}) if "loses" in text]
        assert text.startswith("Under attack, the network loses more than half of the label between conv2 and fc1: ")


def test_a_gradual_loss_is_called_gradual():
    slope = {**LOST, "adversarial": (2.9, 2.2, 1.6, 0.7)}
    (text,) = [text for text in said({"normal": slope}, {"normal": RIGHT}) if "loses" in text]
    assert text.startswith("Under attack, the network loses the label gradually: ")
    assert "2.90 bits" in text
    assert "0.70" in text


def test_a_label_that_no_layer_encodes_under_attack_is_lost_before_the_first():
    gone = {**LOST, "adversarial": (0.2, 0.2, 0.1, 0.1)}
    (text,) = [text for text in said({"normal": gone}, {"normal": RIGHT}) if "loses" in text]
    assert "loses the label before conv1, the first layer" in text


def only_undersampled(*layers):
    table = records({"normal": LOST}).with_columns(undersampled=pl.col("layer").is_in(layers))
    return [one.text for one in sentences(table, performance({"normal": RIGHT})) if "loses" in one.text]


def test_a_loss_that_only_a_later_layer_shows_is_named_as_the_latest():
    # fc1 has too few examples to show it; fc2, which computes from it, shows it.
    (text,) = only_undersampled("conv1", "fc1")
    assert text.startswith("Under attack, the network loses the label at fc2 or before: ")
    assert "read 3.00 bits (2.97 to 3.03) from originals there, and 0.10 (0.07 to 0.13) from the attacked" in text
    assert not only_undersampled("fc1", "fc2")


def test_misled_decoders_are_said_to_be_misled():
    misled = {**LOST, "adversarial": (2.9, 2.5, -1.5, -2.0)}
    (text,) = [text for text in said({"normal": misled}, {"normal": RIGHT}) if "loses" in text]
    assert text.replace("\N{MINUS SIGN}", "-").endswith("and -1.50 (-1.53 to -1.47) at fc1, where they are misled.")


@pytest.mark.parametrize(
    "poor",
    [
        {"undersampled": True},  # more examples might find the label where it seems to be lost
        {"null_quantile95_nats": 5.0},  # no better than permuted labels
        {"group_means": None},  # no interval
        {"stray": 300},  # intervals that include 0
    ],
)
def test_unreliable_numbers_say_nothing_about_a_loss(poor):
    assert not any("loses" in text for text in said(BOTH, RATES, **poor))


def test_a_training_at_chance_is_not_spoken_of():
    texts = said(BOTH, RATES, at_chance=("normal",))
    assert not any("normal" in text for text in texts)


def test_without_an_attack_sentences_are_about_training():
    plain = {"normal": {"original": (2.0, 2.5, 3.0, 3.1)}}
    assert said(plain, {"normal": {"original": 0.97}}) == [
        "97 % (96 to 98) of the test images are classified correctly.",
        "Training raised what decoders read of the label at fc2 of the network from 1.55 bits (1.52 to 1.58), with "
        "random weights, to 3.10 (3.07 to 3.13).",
    ]


def test_one_epoch_has_no_rise():
    assert not any("raised" in text for text in said(BOTH, RATES, epochs=(10,)))
    assert any("loses" in text for text in said(BOTH, RATES, epochs=(10,)))


def test_with_several_attacks_the_examples_are_named():
    two = {"normal": {**LOST, "fgsm": (2.9, 2.9, 2.8, 2.8)}}
    rates = {"normal": {**RIGHT, "fgsm": 0.5}}
    texts = said(two, rates)
    assert "30 % (27 to 33) on adversarial examples" in texts[0]
    assert texts[1].startswith("On adversarial examples, the network loses the label between conv2 and fc1")


def test_an_attack_of_any_name_stands_for_the_only_one():
    only = {"normal": {"original": LOST["original"], "fgsm": LOST["adversarial"]}}
    texts = said(only, {"normal": {"original": 0.97, "fgsm": 0.3}})
    assert texts[1].startswith("Under attack, the network loses the label between conv2 and fc1")


def test_several_seeds_are_networks_and_their_spread_widens_the_interval():
    table = pl.concat(
        [
            records({"normal": {**LOST, "adversarial": (2.9, level, 0.4, 0.1)}}, seeds=(seed,))
            for seed, level in enumerate((2.3, 2.5, 2.7))
        ]
    )
    texts = [one.text for one in sentences(table, performance({"normal": RIGHT}, seeds=(0, 1, 2)))]
    # a t interval of 3 seeds that spread by 0.2: 4.303 * 0.2 / sqrt(3) = 0.50
    assert (
        "the networks lose the label between conv2 and fc1: decoders of originals read 2.5 bits (2.0 to 3.0)"
        in texts[1]
    )


def test_of_six_trainings_the_best_and_the_worst_are_named():
    names = ("normal", "adversarial", "trades", "mart", "free", "yopo")
    profiles = dict.fromkeys(names, KEPT) | {"normal": LOST, "mart": {**KEPT, "adversarial": (2.9, 2.9, 2.9, 2.9)}}
    rates = dict.fromkeys(names, SAFE) | {"normal": RIGHT, "mart": {"original": 0.9, "adversarial": 0.9}}
    texts = said(profiles, rates)
    best, worst = (
        "mart is the most accurate under attack, 90 % (88 to 92)",
        "normal is the least accurate, 30 % (27 to 33)",
    )
    assert texts[0] == f"Of 6 trainings, {best}, and {worst}."
    assert any("the network of mart training keeps 2.90 bits" in text for text in texts)
    assert len(texts) <= MOST


def test_equal_trainings_have_no_best():
    names = ("normal", "adversarial", "trades")
    assert not any("most accurate" in text for text in said(dict.fromkeys(names, KEPT), dict.fromkeys(names, SAFE)))
    rates = dict.fromkeys(names, SAFE) | {"normal": RIGHT}
    assert said(dict.fromkeys(names, KEPT), rates)[0] == (
        "Of 3 trainings, normal is the least accurate under attack, 30 % (27 to 33)."
    )


def mistakes(wrong, true, control=(0.0,) * 4, **facts):
    """Of misclassified examples: bits about the wrong and the true class, and of the wrong one after random changes."""
    read = {
        ("I(T;mistaken)", "adversarial"): wrong,
        ("I(T;Y|mistaken)", "adversarial"): true,
        ("I(T;mistaken)", "random"): control,
    }
    rows = [
        measurement(
            value * BIT, quantity=quantity, examples=examples, epoch=10, layer=layer, layer_index=index,
            estimator="decoded-transfer", **facts,
        )
        for (quantity, examples), values in read.items()
        for index, (layer, value) in enumerate(zip(LAYERS, values, strict=False))
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


def on_mistakes(*arguments, **facts):
    table = pl.concat([records({"normal": LOST}), mistakes(*arguments, **facts)])
    return [one for one in sentences(table, performance({"normal": RIGHT})) if one.anchor == "mistakes"]


WRONG, TRUE = (-1.0, 0.5, 1.0, 2.0), (1.0, -0.2, -0.5, -1.0)


def test_the_layer_is_named_from_which_on_mistakes_look_like_the_wrong_class():
    (one,) = on_mistakes(WRONG, TRUE)
    assert one.text.replace("\N{MINUS SIGN}", "-") == (
        "Attacked examples that the network misclassifies look like the wrong class from conv2 on: decoders of "
        "originals read 0.50 bits (0.47 to 0.53) about the wrong class there, and -0.20 (-0.23 to -0.17) about the "
        "true one. Of examples that are misclassified after random changes they read 0.50 bits less (0.46 to 0.54) "
        "about the wrong class."
    )
    assert one.value == pytest.approx(0.5 * BIT)


def test_what_random_changes_do_as_well_is_not_said_of_an_attack():
    (one,) = on_mistakes(WRONG, TRUE, (0.0, 0.6, 0.0, 0.0))
    assert "look like the wrong class at fc1:" in one.text
    assert not on_mistakes(WRONG, TRUE, (0.0, 0.6, 1.0, 0.0))
    assert not on_mistakes(WRONG, TRUE, ())  # too few examples were misclassified after random changes


def test_a_control_that_more_examples_would_raise_is_none():
    table = pl.concat([records({"normal": LOST}), mistakes(WRONG, TRUE)])
    table = table.with_columns(undersampled=(pl.col("examples") == "random") & (pl.col("layer") == "conv2"))
    (one,) = [one for one in sentences(table, performance({"normal": RIGHT})) if one.anchor == "mistakes"]
    assert "look like the wrong class at fc1:" in one.text


def test_the_last_layer_says_nothing_of_mistakes():
    """The class that an example is mistaken for is the largest of its own outputs."""
    assert not on_mistakes((0.0, 0.0, 0.0, 2.0), (1.0, 1.0, 1.0, -1.0))


def test_mistakes_that_look_like_the_true_class_are_not_spoken_of():
    assert not on_mistakes((0.5,) * 4, (1.0,) * 4)


def test_empty_records_say_nothing():
    assert sentences(pl.DataFrame(schema=MEASUREMENT_SCHEMA), performance_table([])) == []


def test_the_pixels_and_random_perturbations_are_no_layer_and_no_attack():
    table = records({"normal": {**LOST, "random": (3.0, 3.0, 3.0, 3.0)}})
    pixels = records({"normal": {"original": (3.3,), "adversarial": (-2.0,)}}, layers=("pixels",))
    profiles = LabelProfiles(pl.concat([table, pixels.with_columns(layer_index=pl.lit(-1, pl.Int64))]), performance({}))
    assert profiles.attacks("normal") == ["adversarial"]
    assert [one.layer[1] for one in profiles.points("normal", "adversarial")] == list(LAYERS)
    found = label_loss(profiles, "normal", "adversarial")
    assert (found.before, found.after) == ((1, "conv2"), (2, "fc1"))


def test_an_interval_that_passes_the_label_ends_at_its_ceiling():
    # H(Y) is 3 bits here. Groups that stray by 0.1 nats put the upper end of 2.9 bits at 3.2.
    whole = {"normal": {"original": (2.9, 2.9, 2.9, 2.9), "adversarial": (2.9, 2.9, 0.4, 0.1)}}
    (text,) = [text for text in said(whole, {"normal": RIGHT}, stray=10, ceiling_nats=3 * BIT) if "loses" in text]
    assert "decoders of originals read 2.9 bits (2.6 to the ceiling 3.0) at conv2, and 0.4 (0.1 to 0.7)" in text


def test_one_seed_has_the_interval_of_wilson_in_sentences():
    # 40 of 40 right: the interval of Wilson (1927) begins at 40 / (40 + 1.96^2) = 91.2 %.
    rows = performance({"normal": {"original": 1.0}}).with_columns(n=pl.lit(40, dtype=pl.Int64))
    (text,) = [one.text for one in sentences(records({}), rows)]
    assert text.startswith("100 % (91 to 100) of the test images")
