"""Verdicts on bottleneck networks follow from constructed images, and their intervals from closed forms."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from infoplane.findings.bottleneck import judged, paired_evidence, share_evidence
from infoplane.findings.finding import CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED
from infoplane.measuring.intervals import wilson_interval
from infoplane.records.bottleneck import BOTTLENECK_IMAGE_SCHEMA
from infoplane.records.evaluation import AVERAGED_DRAWS, MEAN_PATH

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


def study(gains, *, weak=None, seeds=3):
    """Networks that are right on 40 images under APGD, and on so many more with the penalty.

    Args:
        gains: by value; each seed has one image more than the last.
        weak: how many are right under a weak attack with the penalty; 40 without it. None: as under APGD.
        seeds: number of them.
    """
    parts = []
    for seed in range(seeds):
        for value, gain in {0.0: 0, **gains}.items():
            right = 40 + gain + (seed if value else 0)
            shown = right if weak is None or not value else weak + seed
            parts += [
                rows(value, seed, "clean", 95),
                rows(value, seed, "clean", 95, MEAN_PATH),
                rows(value, seed, "apgd-ce", right),
                rows(value, seed, "apgd-ce", 90, MEAN_PATH),
                rows(value, seed, "fgsm-one-draw", shown),
            ]
    return pl.concat(parts)


def verdicts(images):
    return {one.claim: one.verdict for one in judged(images).verdicts}


def test_a_gain_under_honest_attacks_supports_robustness_alone():
    found = judged(study({1e-3: 30}))
    assert {one.claim: one.verdict for one in found.verdicts} == {"robust": SUPPORTED, "obfuscated": UNDECIDED}
    (robust,) = (one for one in found.findings if one.claim == "robust")
    assert robust.value == pytest.approx(0.31)  # 30, 31 and 32 of 100
    assert robust.low > 0.2


def test_a_gain_under_weak_attacks_alone_is_obfuscation():
    assert verdicts(study({1e-3: 0}, weak=80)) == {"robust": UNDECIDED, "obfuscated": SUPPORTED}


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


def test_weak_attacks_do_not_count_as_honest():
    images = pl.concat([study({1e-3: 30}), *(rows(1e-3, seed, "pgd-20-one-draw", 0) for seed in range(3))])
    assert verdicts(images)["robust"] == SUPPORTED


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
    differences = generator.integers(-1, 2, size=(3, 50)).astype(float)
    found = paired_evidence(differences).interval(0.1)
    of_images = stats.ttest_1samp(differences.mean(axis=0), 0).confidence_interval(0.9)
    of_seeds = stats.ttest_1samp(differences.mean(axis=1), 0).confidence_interval(0.9)
    half = math.hypot((of_images.high - of_images.low) / 2, (of_seeds.high - of_seeds.low) / 2)
    assert found[:2] == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_shares_of_one_seed_have_the_interval_of_wilson():
    assert share_evidence([0.3], 200).interval()[:2] == pytest.approx(wilson_interval(60, 200))
    several = share_evidence([0.2, 0.3, 0.4], 200).interval()
    assert several.low < wilson_interval(60, 200).low
    assert several.basis == "seeds"
