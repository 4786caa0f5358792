"""Shares of lost labels: intervals cover, copies and seeds count once, and sentences say what was planted."""

import itertools
import math

import numpy as np
import polars as pl
import pytest

from infoplane.findings.where_sentences import where_sentences
from infoplane.findings.where_shares import (
    ALL,
    MISCLASSIFIED,
    difference_of,
    effective_number,
    loss_shares,
    pair_shares,
    share_of,
)
from infoplane.measuring.intervals import wilson_interval
from infoplane.records.where import POINTWISE_LAYER_SCHEMA, POINTWISE_SCHEMA

LAYERS = ("conv", "<fc> & “1”", "out")


def planted(
    lost: dict[str, list[int]], *, seed: int = 0, training: str = "normal", copy_of: list[int] | None = None
) -> pl.DataFrame:
    """Records in which example i of a kind loses its label at layer `lost[kind][i]`, -1 for never, 3 for kept.

    Lost examples are misclassified as the next of three classes.
    """
    rows = []
    for kind, places in lost.items():
        for example, place in enumerate(places):
            label = example % 3
            for index, layer in enumerate(LAYERS):
                encoded = index < place
                rows.append(
                    {
                        "seed": seed, "training": training, "epoch": 1, "examples": kind, "example": example,
                        "copy_of": example if copy_of is None else copy_of[example], "label": label,
                        "predicted": label if place == 3 else (label + 1) % 3, "layer_index": index, "layer": layer,
                        "information_nats": 1.0 if encoded else -1.0, "encoded": encoded,
                    }
                )  # fmt: skip
    return pl.DataFrame(rows, schema=POINTWISE_SCHEMA)


def layers_of(pointwise: pl.DataFrame, *, permutations: int = 5, undersampled: bool = False) -> pl.DataFrame:
    rows = pointwise.select("seed", "training", "epoch", "examples", "layer_index", "layer").unique(maintain_order=True)
    permuted = {"permuted_nats": 0.0, "permuted_encoded_share": 0.01, "permuted_lost_share": 0.0}
    added = {
        "attack": pl.when(pl.col("examples") != "original").then(pl.lit("pgd")), "n": pl.lit(1),
        "information_nats": pl.lit(0.0), "undersampled": pl.lit(undersampled), "permutations": pl.lit(permutations),
        **{name: pl.lit(value if permutations else None, pl.Float64) for name, value in permuted.items()},
    }  # fmt: skip
    return rows.with_columns(**added).select(pl.col(name).cast(kind) for name, kind in POINTWISE_LAYER_SCHEMA.items())


def booleans(*counts: tuple[bool, int]) -> np.ndarray:
    return np.repeat([value for value, _ in counts], [count for _, count in counts])


def test_an_interval_of_one_network_is_that_of_wilson():
    hits = booleans((True, 30), (False, 70))
    share = share_of(hits, np.arange(100), np.zeros(100, np.int64))
    assert share == pytest.approx((0.3, *wilson_interval(30, 100)))


def test_copies_and_further_networks_of_the_same_images_make_no_interval_shorter():
    hits, images = booleans((True, 30), (False, 70)), np.arange(100)
    once = share_of(hits, images, np.zeros(100, np.int64))
    twice, both = np.tile(hits, 2), np.tile(images, 2)
    assert effective_number(both) == pytest.approx(100)
    assert share_of(twice, both, np.zeros(200, np.int64)) == pytest.approx(once)
    assert share_of(twice, both, np.repeat([0, 1], 100)) == pytest.approx(once)  # seeds that agree add no error


def test_seeds_that_differ_widen_the_interval_by_their_t_interval():
    """Shares .2 and .4: a standard error of the mean of .1, times 12.706, Student's quantile with one degree."""
    hits = np.concatenate([booleans((True, 200), (False, 800)), booleans((True, 400), (False, 600))])
    found = share_of(hits, np.tile(np.arange(1000), 2), np.repeat([0, 1], 1000))
    assert (found.value, found.low, found.high) == (pytest.approx(0.3), 0.0, 1.0)
    three = np.concatenate([booleans((True, count), (False, 1000 - count)) for count in (290, 300, 310)])
    found = share_of(three, np.tile(np.arange(1000), 3), np.repeat([0, 1, 2], 1000))
    over_images = found.value - wilson_interval(300, 1000).low
    over_seeds = 4.302653 * 0.01 / math.sqrt(3)
    assert found.value - found.low == pytest.approx(math.hypot(over_images, over_seeds), abs=1e-6)


def test_a_seed_with_few_examples_widens_the_interval_of_the_pooled_share_little():
    """Of 9,000 and 1,000 examples 30 % and 32 % are hits, 30.2 % of all.

    The seeds have 18 hits less and 18 more than 30.2 %: a standard deviation of 18 sqrt(2) hits, over 5,000 examples
    per seed on average, and a standard error of 18 / 5,000. The unweighted shares would have one of 1 %.
    """
    hits = booleans((True, 2700), (False, 6300), (True, 320), (False, 680))
    found = share_of(hits, np.arange(10_000), np.repeat([0, 1], [9000, 1000]))
    over_images = 0.302 - wilson_interval(3020, 10_000).low
    assert found.value == pytest.approx(0.302)
    assert found.value - found.low == pytest.approx(math.hypot(over_images, 12.7062 * 18 / 5000), abs=1e-5)


def test_the_interval_of_a_difference_covers_the_difference():
    """All outcomes of 20 pairs, weighed by their probability: at least 94 % of the intervals cover."""
    number, chances = 20, np.array([0.5, 0.25, 0.05, 0.2])  # both, only the first, only the second, neither
    covered = 0.0
    for both, first, second in itertools.product(range(number + 1), repeat=3):
        counts = np.array([both, first, second, number - both - first - second])
        if counts[3] < 0:
            continue
        ways = math.factorial(number) / math.prod(math.factorial(count) for count in counts)
        hits = np.repeat([True, True, False, False], counts)
        others = np.repeat([True, False, True, False], counts)
        found = difference_of(hits, others, np.arange(number), np.zeros(number, np.int64))
        covered += ways * float(np.prod(chances**counts)) * (found.low <= 0.2 <= found.high)
    assert covered > 0.94


def test_a_difference_has_the_other_sign_the_other_way_round():
    hits, others = booleans((True, 12), (False, 28)), booleans((False, 5), (True, 2), (False, 33))
    places = np.arange(40), np.zeros(40, np.int64)
    one, back = difference_of(hits, others, *places), difference_of(others, hits, *places)
    assert one == pytest.approx((-back.value, -back.high, -back.low))
    assert difference_of(hits, hits, *places).value == 0


def test_planted_losses_are_counted_at_their_layer_against_those_of_the_originals():
    table = planted({"original": [3] * 60 + [0] * 10, "adversarial": [1] * 40 + [3] * 20 + [0] * 10})
    shares = loss_shares(table, layers_of(table))
    row = shares.row(by_predicate=_at("adversarial", ALL, 1), named=True)
    assert (row["place"], row["n"], row["images"], row["seeds"], row["count"]) == (LAYERS[1], 70, 70, 1, 40)
    assert (row["share"], row["original_share"], row["difference"]) == pytest.approx((4 / 7, 0, 4 / 7))
    assert row["difference_low"] > 0.4
    never = shares.row(by_predicate=_at("adversarial", ALL, -1), named=True)
    assert (never["count"], never["difference"], never["permuted_share"]) == (10, 0, pytest.approx(0.99))
    wrong = shares.row(by_predicate=_at("adversarial", MISCLASSIFIED, 1), named=True)
    assert (wrong["n"], wrong["count"]) == (40, 40)  # the other ten are misclassified without the attack too
    counted = shares.group_by("training", "examples", "among").agg(pl.col("count").sum(), pl.col("n").first())
    assert counted["count"].to_list() == counted["n"].to_list()


def test_pairs_of_class_and_mistaken_class_come_most_frequent_first():
    table = planted({"original": [3] * 30, "adversarial": [1 if example % 3 < 2 else 3 for example in range(30)]})
    pairs = pair_shares(table)
    assert pairs.select("label", "predicted", "place", "n", "count").rows() == [
        (0, 1, LAYERS[1], 10, 10),
        (1, 2, LAYERS[1], 10, 10),
    ]


def test_sentences_name_the_planted_layer_with_its_interval_and_the_originals():
    table = planted({"original": [3] * 100, "adversarial": [1] * 71 + [2] * 9 + [3] * 20})
    said = where_sentences(table, layers_of(table))
    low, high = (100 * end for end in wilson_interval(71, 80))
    assert said[0] == (
        "After normal training, of 80 examples that pgd makes misclassified, "
        f"89 % ({low:.0f} to {high:.0f}) lose the label at {LAYERS[1]}, and 0 % (0 to 5) keep it to the last layer."
    )
    assert said[1].startswith("After normal training, 80 % (71 to 87) of all 100 examples lose the label at some layer")
    assert "a difference of +80 points" in said[1]
    assert said[2].startswith("Chance: of permuted labels, the same decoders count 1.0 % as encoded")
    assert len(said) == 3


def test_sentences_name_all_layers_that_the_intervals_cannot_order():
    table = planted({"original": [3] * 100, "adversarial": [0] * 30 + [1] * 34 + [2] * 36})
    first = where_sentences(table, layers_of(table))[0]
    assert [first.index(words) for words in ("at out", f"at {LAYERS[1]}", "at conv")] == sorted(
        first.index(words) for words in ("at out", f"at {LAYERS[1]}", "at conv")
    )


def test_an_attack_that_changes_nothing_shows_no_effect():
    places = [3] * 95 + [1] * 5
    table = planted({"original": places, "adversarial": places})
    said = where_sentences(table, layers_of(table, permutations=0, undersampled=True))
    assert said[0] == "After normal training, pgd makes none of the examples misclassified."
    assert "a difference of +0 points" in said[1]
    assert "no effect of the attack is shown" in said[1]
    assert said[2] == "Permuted labels were not measured, so chance is not known."
    assert said[3].startswith(f"Undersampled at {', '.join(LAYERS)} (normal training): ")


def test_the_first_attack_of_all_trainings_comes_first_then_chance_then_other_attacks():
    kinds = {"original": [3] * 20, "adversarial": [1] * 20, "fgsm": [2] * 20}
    table = pl.concat([planted(kinds, training=training) for training in ("normal", "adversarial")])
    layers = layers_of(table).with_columns(attack=pl.col("examples").replace("adversarial", "pgd"))
    said = where_sentences(table, layers)
    assert [("pgd" in one, "fgsm" in one, "Chance" in one) for one in said] == [
        *[(True, False, False)] * 4,
        (False, False, True),
        *[(False, True, False)] * 4,
    ]


def test_few_misclassified_examples_name_no_layer():
    table = planted({"original": [3] * 50, "adversarial": [1] * 9 + [3] * 41})
    assert "makes only 9 examples misclassified" in where_sentences(table, layers_of(table))[0]


def test_copies_among_the_misclassified_are_few_images():
    table = planted({"original": [3] * 50, "adversarial": [1] * 40 + [3] * 10}, copy_of=[0] * 40 + list(range(40, 50)))
    assert "(effective number of images 1)" in where_sentences(table, layers_of(table))[0]


def test_without_an_attack_the_originals_are_described():
    table = planted({"original": [3] * 90 + [2] * 10})
    said = where_sentences(table, layers_of(table))
    assert said[0].startswith(
        "After normal training, of 100 examples without an attack, 10 % (6 to 17) lose the label at"
    )


def test_empty_tables_give_empty_tables_and_no_sentence():
    empty = pl.DataFrame(schema=POINTWISE_SCHEMA), pl.DataFrame(schema=POINTWISE_LAYER_SCHEMA)
    assert loss_shares(*empty).is_empty()
    assert pair_shares(empty[0]).is_empty()
    assert where_sentences(*empty) == []


def test_seeds_and_trainings_are_kept_apart():
    parts = [planted({"original": [3] * 20, "adversarial": [1] * 20}, seed=seed) for seed in (0, 1)]
    parts.append(planted({"original": [3] * 20, "adversarial": [2] * 20}, training="adversarial"))
    table = pl.concat(parts)
    shares = loss_shares(table, layers_of(table)).filter(examples="adversarial", among=ALL, share=1.0)
    assert shares.select("training", "place", "n", "images", "seeds").rows() == [
        ("normal", LAYERS[1], 40, 20, 2),
        ("adversarial", "out", 20, 20, 1),
    ]


def _at(examples: str, among: str, place: int) -> pl.Expr:
    return (pl.col("examples") == examples) & (pl.col("among") == among) & (pl.col("place_index") == place)
