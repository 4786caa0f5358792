"""Verdicts on bottleneck networks follow from constructed images, and their intervals from closed forms."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from infoplane.findings.bottleneck import judged, paired_evidence, share_evidence
from infoplane.findings.finding import CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED
from infoplane.measuring.intervals import paired_score_interval, wilson_interval
from infoplane.records.bottleneck import BOTTLENECK_IMAGE_SCHEMA
from infoplane.records.evaluation import AVERAGED_DRAWS, MEAN_PATH, ONE_PATH

IMAGES = 100


def rows(value, seed, attack, right, path=AVERAGED_DRAWS, epsilon=0.1):
    """The first `right` images are right."""
    return pl.DataFrame(
        {
            "value": [value] * IMAGES,
            "seed": [seed] * IMAGES,
            "epsilon": [epsilon] * IMAGES,
            "path": [path] * IMAGES,
            "attack": [attack] * IMAGES,
            "index": range(IMAGES),
            "robust": [place < right for place in range(IMAGES)],
        },
        schema=BOTTLENECK_IMAGE_SCHEMA,
    )


def study(gains, *, weak=None, averaged=35, seeds=3, path=AVERAGED_DRAWS):
    """Networks that are right on 40 images under APGD, and on so many more with the penalty.

    Args:
        gains: by value; each seed has one image more than the last.
        weak: how many are right under PGD along one draw with the penalty. None: one more than through all draws.
        averaged: how many are right under PGD through all draws, with each seed two more than with the last.
        seeds: number of them.
        path: on which attacks run.
    """
    parts = []
    for seed in range(seeds):
        for value, gain in {0.0: 0, **gains}.items():
            right = 40 + gain + (seed if value else 0)
            honest = max(averaged, right) + 2 * seed
            parts += [
                rows(value, seed, "clean", 95, path),
                rows(value, seed, "apgd-ce", right, path),
                rows(value, seed, "fgsm-one-draw", 95, path),
                rows(value, seed, "pgd-20", honest, path),
                rows(value, seed, "pgd-20-one-draw", weak if weak and value else honest + 1, path),
            ]
    return pl.concat(parts)


def verdicts(images):
    return {one.claim: one.verdict for one in judged(images).verdicts}


def test_a_gain_in_the_worst_case_supports_robustness_alone():
    """With the penalty both kinds of PGD leave more images right, and one draw as many as 20 but for one image."""
    found = judged(study({1e-3: 30}))
    assert {one.claim: one.verdict for one in found.verdicts} == {"robust": SUPPORTED, "obfuscated": UNDECIDED}
    (robust,) = (one for one in found.findings if one.claim == "robust")
    assert robust.value == pytest.approx(0.31)  # 30, 31 and 32 of 100
    assert robust.low > 0.2


def test_a_network_that_is_really_more_robust_near_the_floor_does_not_hide_gradients():
    """The gain over value 0 is 36 images under PGD, and 0 under APGD, which breaks all of both networks."""
    parts = []
    for seed in range(3):
        for value, right in {0.0: 4, 1e-3: 40}.items():
            parts += [
                rows(value, seed, "apgd-ce", 0),
                *(rows(value, seed, attack, right + seed) for attack in ("pgd-20", "pgd-20-one-draw")),
            ]
    assert verdicts(pl.concat(parts))["obfuscated"] == UNDECIDED


def test_more_images_right_along_one_draw_than_through_all_is_obfuscation():
    found = judged(study({1e-3: 0}, weak=80))
    assert {one.claim: one.verdict for one in found.verdicts} == {"robust": UNDECIDED, "obfuscated": SUPPORTED}
    normal, penalised = (one for one in found.findings if one.claim == "obfuscated")
    # 40, 43 and 46 through all draws with the penalty; without it, one more along one draw in every seed
    assert penalised.value == pytest.approx(0.80 - 0.43)
    assert normal.value == pytest.approx(0.01)
    assert normal.part == ""


def test_what_hides_at_value_zero_alone_decides_nothing():
    images = study({1e-3: 0})
    shown = (pl.col("value") == 0) & (pl.col("attack") == "pgd-20-one-draw")
    images = images.with_columns(robust=pl.col("robust") | (shown & (pl.col("index") < 90)))
    assert verdicts(images)["obfuscated"] == UNDECIDED


def test_networks_without_noise_cannot_hide_behind_it():
    found = judged(study({1e-3: 30}, weak=95, path=ONE_PATH))
    assert found.verdicts[1].verdict == UNDECIDED
    assert found.verdicts[1].reason == "no network of a value above 0 draws random numbers"
    assert {one.claim for one in found.findings} == {"robust"}


def test_without_a_network_of_value_zero_robustness_is_undecided():
    found = judged(study({1e-3: 30}).filter(pl.col("value") > 0))
    assert found.verdicts[0].verdict == UNDECIDED
    assert "no network of value 0" in found.verdicts[0].reason


def test_losses_at_every_value_contradict_robustness():
    assert verdicts(study({1e-3: -30, 1e-2: -25}))["robust"] == CONTRADICTED
    assert verdicts(study({1e-3: -30, 1e-2: 0}))["robust"] == UNDECIDED


def test_one_seed_decides_nothing():
    found = judged(study({1e-3: 30}, weak=90, seeds=1))
    assert [one.verdict for one in found.verdicts] == [UNDECIDED, UNDECIDED]
    assert NEEDS_SEEDS in found.verdicts[0].reason


def test_an_image_that_one_path_loses_is_lost():
    """All 90 images are right on the draws with the penalty, and 20 on the mean path."""
    images = pl.concat(
        [
            *(rows(0.0, seed, "apgd-ce", 40 + seed, path) for seed in range(3) for path in (MEAN_PATH, AVERAGED_DRAWS)),
            *(rows(0.1, seed, "apgd-ce", 90, AVERAGED_DRAWS) for seed in range(3)),
            *(rows(0.1, seed, "apgd-ce", 20, MEAN_PATH) for seed in range(3)),
        ]
    )
    found = judged(images)
    assert found.verdicts[0].verdict == CONTRADICTED
    assert found.findings[0].value == pytest.approx(-0.21)


def test_an_image_that_a_weak_attack_breaks_is_broken():
    """As in the worst case of the tables."""
    images = study({1e-3: 30}).filter(pl.col("attack") != "fgsm-one-draw")
    assert verdicts(images)["robust"] == SUPPORTED
    weak = pl.concat(rows(1e-3, seed, "fgsm-one-draw", 0) for seed in range(3))
    found = judged(pl.concat([images, weak]))
    assert found.verdicts[0].verdict == CONTRADICTED
    assert found.findings[0].value == pytest.approx(-0.40)


def test_a_seed_without_a_partner_is_left_out():
    images = study({1e-3: 30}).filter(~((pl.col("value") == 0) & (pl.col("seed") == 2)))
    assert {one.seeds for one in judged(images).findings if one.claim == "robust"} == {2}


def test_with_more_values_each_must_clear_a_stricter_level():
    """Differences whose 95 % interval barely leaves out 0 support the claim alone, and not among ten."""
    alone = {1e-3: 4}
    assert verdicts(study(alone))["robust"] == SUPPORTED
    assert verdicts(study({**alone, **{0.01 * place: 0 for place in range(1, 10)}}))["robust"] == UNDECIDED


def test_the_interval_adds_that_over_images_and_that_over_seeds():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 2, size=(2, 3, 50)).astype(bool)
    found = paired_evidence(first, second).interval(0.1)
    only_first, only_second = ((one.sum() / 3) for one in (first & ~second, second & ~first))
    of_images = paired_score_interval(only_first, only_second, 50, alpha=0.1)
    differences = first.mean(axis=1) - second.mean(axis=1)
    of_seeds = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    half, value = (of_seeds.high - of_seeds.low) / 2, differences.mean()
    expected = (value - math.hypot(value - of_images.low, half), value + math.hypot(of_images.high - value, half))
    assert found[:2] == pytest.approx(expected)


@pytest.mark.parametrize("images", [20, 200])
def test_no_image_that_differs_leaves_an_interval(images):
    same = np.zeros((3, images), dtype=bool)
    end = 1.959964**2 / (images + 1.959964**2)
    assert paired_evidence(same, same).interval()[:2] == pytest.approx((-end, end), abs=1e-6)


@pytest.mark.parametrize("seeds", [1, 3])
def test_paired_intervals_cover_a_true_gain(seeds):
    """Of all images 3 % are gained, each in two of three trainings, and 0.8 % lost in all: a gain of 1.2 points."""
    generator, held = np.random.default_rng(1), []
    for _ in range(1000):
        kind = generator.random(200)
        gained = (kind < 0.03) & (generator.random((seeds, 200)) < 2 / 3)
        lost = np.broadcast_to(kind > 0.992, gained.shape)
        low, high, _ = paired_evidence(~lost, ~gained).interval()
        held.append(low <= 0.012 <= high)
    assert np.mean(held) > 0.95 - 0.021  # three binomial errors of 1,000 draws


def test_shares_of_one_seed_have_the_interval_of_wilson():
    assert share_evidence([0.3], 200).interval()[:2] == pytest.approx(wilson_interval(60, 200))
    several = share_evidence([0.2, 0.3, 0.4], 200).interval()
    assert several.low < wilson_interval(60, 200).low
    assert several.basis == "seeds"
