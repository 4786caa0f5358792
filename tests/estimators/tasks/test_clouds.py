import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal, norm

from infoplane.estimators import mean_unit_variance
from infoplane.estimators.tasks.clouds import Cloud, binned_cloud_information, cloud_information, labelled_cloud
from infoplane.estimators.tasks.labels import symmetric_channel_information

spreads = st.floats(0.05, 50)
shares = st.floats(0, 0.99)


@given(spreads, shares, st.integers(2, 9), st.integers(0, 10**6))
def test_the_overall_spread_is_exact_at_any_tightness(spread, tightness, classes, seed):
    cloud = Cloud(spread=spread, tightness=tightness, classes=classes)
    task = labelled_cloud(60, cloud, origin=(3.0, -1.0), generator=torch.Generator().manual_seed(seed))
    assert mean_unit_variance(task.activations) == pytest.approx(spread**2, rel=1e-9)
    assert task.activations.mean(dim=0).tolist() == pytest.approx([3.0, -1.0], abs=1e-9)


def test_tightness_is_the_share_of_variance_between_clusters(generator):
    cloud = Cloud(spread=2.0, tightness=0.7, classes=5)
    points, labels, _ = labelled_cloud(50_000, cloud, generator=generator)
    means = torch.stack([points[labels == label].mean(dim=0) for label in range(5)])
    # 50,000 points know a share of variance to about 0.003
    assert means.square().mean().item() / 4.0 == pytest.approx(0.7, abs=0.01)
    assert torch.bincount(labels).tolist() == [10_000] * 5


def test_equal_generators_draw_the_same_points_at_another_spread_and_other_labels_at_another_purity():
    def draw(**changed):
        cloud = Cloud(**{"spread": 1.0, "tightness": 0.5, **changed})
        return labelled_cloud(100, cloud, generator=torch.Generator().manual_seed(5))

    assert torch.allclose(draw(spread=7.0).activations, 7 * draw().activations)
    assert torch.equal(draw(purity=0.3).activations, draw().activations)
    kept = (draw(purity=0.3).labels == draw().labels).double().mean().item()
    assert kept == pytest.approx(0.3 + 0.7 / 4, abs=0.15)  # three standard deviations of 100 labels
    assert draw().information == cloud_information(Cloud(spread=1.0, tightness=0.5)).label


def test_information_agrees_with_an_adaptive_integral_of_the_densities():
    cloud, noise_variance = Cloud(spread=1.3, tightness=0.5, classes=3, purity=0.8), 0.4
    variance = cloud.within_variance + noise_variance
    clusters = [multivariate_normal(centre, variance * np.eye(2)) for centre in cloud.centres]

    def terms(y, x):
        densities = np.array([cluster.pdf((x, y)) for cluster in clusters])
        whole = densities.mean()
        labelled = 0.8 * densities + 0.2 * whole
        return whole, densities, labelled

    def entropy_term(y, x):
        whole, _, _ = terms(y, x)
        return -whole * math.log(whole)

    def label_term(y, x):
        whole, _, labelled = terms(y, x)
        return float((labelled * np.log(labelled / whole)).mean())

    reach, options = 9.0, {"epsabs": 1e-5, "epsrel": 1e-5}
    entropy = dblquad(entropy_term, -reach, reach, -reach, reach, **options)[0]
    label = dblquad(label_term, -reach, reach, -reach, reach, **options)[0]
    found = cloud_information(cloud, noise_variance)
    assert found.input == pytest.approx(entropy - math.log(2 * math.pi * math.e * noise_variance), abs=1e-4)
    assert found.label == pytest.approx(label, abs=1e-4)


def test_one_cluster_in_all_is_a_gaussian_channel():
    cloud = Cloud(spread=3.0, tightness=0.0)
    assert cloud_information(cloud, 0.5) == pytest.approx((math.log1p(9 / 0.5), 0.0))


@pytest.mark.parametrize("purity", [0.0, 0.25, 0.9, 1.0])
def test_points_of_distant_clusters_tell_the_label_as_far_as_it_is_pure(purity):
    cloud = Cloud(spread=1.0, tightness=0.9999, classes=6, purity=purity)
    flip = (1 - purity) * 5 / 6
    assert cloud_information(cloud).label == pytest.approx(symmetric_channel_information(flip, 6), abs=1e-9)


@given(shares, st.floats(0.01, 10), st.floats(0.1, 10))
def test_scaling_points_and_noise_together_changes_nothing(tightness, noise_variance, factor):
    small, large = (Cloud(spread=scale, tightness=tightness) for scale in (1.0, factor))
    assert cloud_information(large, noise_variance * factor**2) == pytest.approx(
        cloud_information(small, noise_variance), abs=1e-9
    )


def test_without_noise_points_tell_everything_about_themselves_and_labels_do_not_change_with_scale():
    small, large = (cloud_information(Cloud(spread=spread, tightness=0.6)) for spread in (0.1, 10.0))
    assert small.input == math.inf
    assert small.label == pytest.approx(large.label, abs=1e-12)


def test_binned_information_agrees_with_a_sum_over_cells_of_products():
    cloud, origin, width = Cloud(spread=0.8, tightness=0.5, classes=3, purity=0.7), (0.1, 0.35), 0.5
    deviation, cells = math.sqrt(cloud.within_variance), {}
    for i, j in product(range(-14, 15), repeat=2):
        cells[i, j] = [
            math.prod(
                norm.cdf((k + 1) * width, middle, deviation) - norm.cdf(k * width, middle, deviation)
                for k, middle in zip((i, j), np.add(centre, origin), strict=True)
            )
            for centre in cloud.centres
        ]
    entropy = conditional = 0.0
    for masses in cells.values():
        whole = sum(masses) / 3
        entropy -= whole * math.log(whole) if whole > 0 else 0
        for mass in masses:
            labelled = 0.7 * mass + 0.3 * whole
            conditional -= labelled * math.log(labelled) / 3 if labelled > 0 else 0
    found = binned_cloud_information(cloud, width, origin=origin)
    assert found == pytest.approx((entropy, entropy - conditional), abs=1e-6)


def test_fine_bins_go_over_into_their_limit_without_a_step():
    cloud = Cloud(spread=1.0, tightness=0.6)
    width = 0.1 * math.sqrt(cloud.within_variance)
    fine, coarse = (binned_cloud_information(cloud, width * factor) for factor in (0.999, 1.001))
    assert fine.input - coarse.input == pytest.approx(2 * math.log(1.001 / 0.999), abs=1e-3)
    assert fine.label == pytest.approx(coarse.label, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spread": 0.0, "tightness": 0.5}, "spread must be positive and finite, got 0.0"),
        ({"spread": 1.0, "tightness": 1.0}, r"tightness must lie in \[0, 1\), got 1.0"),
        ({"spread": 1.0, "tightness": 0.5, "purity": 1.5}, r"purity must lie in \[0, 1\], got 1.5"),
        ({"spread": 1.0, "tightness": 0.5, "classes": 1}, "classes must be at least 2, got 1"),
    ],
)
def test_impossible_clouds_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Cloud(**settings)


def test_impossible_measurements_are_refused(generator):
    cloud = Cloud(spread=1.0, tightness=0.5)
    with pytest.raises(ValueError, match="samples must be at least 4, got 3"):
        labelled_cloud(3, cloud, generator=generator)
    with pytest.raises(ValueError, match="noise_variance must be finite and not negative, got -1"):
        cloud_information(cloud, -1)
    with pytest.raises(ValueError, match="bin_width must be positive"):
        binned_cloud_information(cloud, 0.0)
