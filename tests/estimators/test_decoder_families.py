"""The best of several families of decoders finds what no linear decoder can."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from infoplane.estimators import decoded_information
from infoplane.estimators.principal_axes import leading_directions
from infoplane.estimators.tasks import labelled_gaussians


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def decoded(points, labels, decoder):
    return decoded_information(points, labels, generator=seeded(1), decoder=decoder, shortfall=False, folds=3)


def rings(samples, classes, generator):
    labels = torch.arange(samples) % classes
    angle = 2 * math.pi * torch.rand(samples, generator=generator)
    radius = 1 + labels + 0.1 * torch.randn(samples, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), labels


def norm_only(samples, features, scale, generator):
    labels = torch.arange(samples) % 2
    return torch.randn(samples, features, generator=generator) * torch.where(labels == 1, scale, 1.0)[:, None], labels


def norm_information(features, scale):
    """I(T;Y) of two Gaussians that differ in scale: that of the squared norm, by its chi-square densities."""
    squares = np.linspace(1e-3, 6 * features, 200_001)
    densities = [chi2.pdf(squares, features), chi2.pdf(squares / scale**2, features) / scale**2]
    mixture = np.maximum(sum(densities) / 2, 1e-300)
    terms = [one * np.log(np.maximum(one, 1e-300) / mixture) for one in densities]
    return 0.5 * float(np.trapezoid(sum(terms), squares))


def test_rings_are_told_by_the_norm():
    points, labels = rings(900, 3, seeded())
    assert abs(decoded(points, labels, "linear").value) < 0.02
    best = decoded(points, labels, "best")
    assert best.value > math.log(3) - 0.05
    assert best.estimator == "decoded-best"
    assert "" not in {decoder.family for decoder in best.decoders}


def test_the_product_of_two_of_500_units_is_found():
    points = torch.randn(1000, 500, generator=seeded())
    labels = (points[:, 3] * points[:, 77] > 0).long()
    assert abs(decoded(points, labels, "linear").value) < 0.02
    assert decoded(points, labels, "best").value > 0.45


def test_information_in_the_norm_alone_is_found():
    truth = norm_information(50, 1.33)
    assert truth == pytest.approx(0.5, abs=0.01)
    points, labels = norm_only(1000, 50, 1.33, seeded())
    assert abs(decoded(points, labels, "linear").value) < 0.02
    best = decoded(points, labels, "best")
    assert truth - 0.07 < best.value < truth + 2 * best.error


def test_nearest_neighbours_are_chosen_where_classes_form_many_islands():
    # 60 islands in a plane, of classes at random
    source = seeded()
    places, classes = 10 * torch.randn(60, 2, generator=source), torch.arange(60) % 4
    island = torch.arange(1200) % 60
    points = places[island] + 0.1 * torch.randn(1200, 2, generator=source)
    best = decoded(points, classes[island], "best")
    assert best.value > 1.2  # of ln 4
    assert "nearest neighbours" in {decoder.family for decoder in best.decoders}


def bars(samples, side, generator):
    """Maps of noise with one bar of three pixels anywhere, upright or level: the label."""
    labels, maps = torch.arange(samples) % 2, 0.3 * torch.randn(samples, 1, side, side, generator=generator)
    places = torch.randint(0, side - 2, (samples, 2), generator=generator)
    for image, label, (row, column) in zip(maps, labels.tolist(), places.tolist(), strict=True):
        image[0, row + (1 if label else 0), column : column + 3] += 2 * label
        image[0, row : row + 3, column + (0 if label else 1)] += 2 * (1 - label)
    return maps.flatten(1), labels


def test_a_pattern_anywhere_in_a_map_is_found_by_a_convolution():
    points, labels = bars(600, 10, seeded())
    assert decoded(points, labels, "linear").value < 0.02
    without = decoded(points, labels, "best").value
    best = decoded_information(
        points, labels, generator=seeded(1), decoder="best", shortfall=False, folds=3, map_shape=(1, 10, 10)
    )
    assert best.value > max(0.4, without + 0.1)  # of ln 2
    assert {decoder.family for decoder in best.decoders} == {"convolution"}


def test_a_shape_that_is_not_that_of_the_features_is_refused():
    points, labels = bars(60, 10, seeded())
    with pytest.raises(ValueError, match=r"channels, height and width of the 100 features, got \(1, 9, 9\)"):
        decoded_information(points, labels, generator=seeded(1), map_shape=(1, 9, 9))


def test_the_best_of_many_families_hardly_ever_leaves_the_prior_by_chance():
    departed = 0
    for seed in range(6):
        points, labels = torch.randn(150, 6, generator=seeded(seed)), torch.arange(150) % 4
        departed += sum(decoder.family != "" for decoder in decoded(points, labels, "best").decoders)
    # Some 15 candidates gain 4 nats each in 1 of 400 cases: 1 of 27 decoders, if they were independent.
    assert departed <= 3


def test_the_best_is_as_good_as_linear_where_linear_is_best():
    task = labelled_gaussians(600, 10, spread=3.0, generator=seeded())
    found = [decoded(task.activations, task.labels, decoder).value for decoder in ("linear", "best")]
    assert found[1] > found[0] - 0.05


def test_leading_directions_are_those_of_the_singular_values():
    points = torch.randn(300, 40, generator=seeded()) * torch.linspace(3, 0.1, 40)
    points -= points.mean(dim=0)
    found, variances = leading_directions(points, 3, seeded())
    assert torch.allclose(found.T @ found, torch.eye(3), atol=1e-5)
    share = (points @ found).square().sum(dim=0) / torch.linalg.svdvals(points)[:3].square()
    assert (share > 0.95).all()
    assert share[0] <= 1 + 1e-5
    assert torch.allclose(variances, (points @ found).square().mean(dim=0), rtol=1e-4)
