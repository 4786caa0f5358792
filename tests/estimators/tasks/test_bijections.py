import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import kstest, norm
from torch import Tensor

from infoplane.estimators.tasks import bijections

COLUMN = torch.linspace(-5, 5, 2001, dtype=torch.double)[:, None]
MIXTURES = [(0.3, (0.0, 5.0)), (0.5, (-1.0, 3.0)), (0.5, (2.0, 2.0))]


def mixture_cdf(values: np.ndarray, weight: float, modes: tuple[float, float]) -> np.ndarray:
    return weight * norm.cdf(values, modes[0]) + (1 - weight) * norm.cdf(values, modes[1])


def assert_close(left: Tensor | np.ndarray, right: Tensor, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(left, right, atol=tolerance)


def test_maps_of_single_features_are_undone_by_their_inverses():
    assert_close(ndtri(bijections.normal_cdf(COLUMN).numpy()), COLUMN)
    cubes = bijections.half_cube(COLUMN)
    assert_close(cubes.sign() * cubes.abs() ** (2 / 3), COLUMN)
    assert_close(np.sinh(bijections.asinh(COLUMN).numpy()), COLUMN)


@pytest.mark.parametrize("waves", [bijections.WAVES_OF_X, bijections.WAVES_OF_Y])
def test_wiggly_values_rise_everywhere_and_root_finding_undoes_them(waves):
    values = torch.linspace(-40, 40, 100_001, dtype=torch.double)
    slopes = bijections.wiggly(values, waves).diff() / values.diff()
    assert slopes.min() > 0.1
    assert slopes.max() - slopes.min() > 0.5  # it does wiggle
    for value in (-3.0, 0.2, 4.0):
        image = bijections.wiggly(torch.tensor(value, dtype=torch.double), waves).item()
        expected = value + sum(size * math.sin(rate * value + phase) for size, rate, phase in waves)
        assert image == pytest.approx(expected)
        found = brentq(lambda x, image=image: bijections.wiggly(torch.tensor(x), waves).item() - image, -10, 10)
        assert found == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("weight", "modes"), MIXTURES)
def test_bimodal_values_are_the_mixtures_quantiles(weight, modes, generator):
    values = bijections.bimodal(COLUMN, weight, modes)
    # Near one a distribution function keeps 1e-16, which the normal density at 5, 1.5e-6, turns into 1e-10.
    assert_close(ndtri(mixture_cdf(values.numpy(), weight, modes)), COLUMN, tolerance=1e-8)
    draws = torch.randn(5000, generator=generator, dtype=torch.double)
    found = bijections.bimodal(draws, weight, modes)
    assert kstest(found.numpy(), lambda x: mixture_cdf(x, weight, modes)).pvalue > 1e-3


def test_a_swiss_roll_is_unrolled_by_its_radius():
    values = torch.linspace(0, 1, 1001, dtype=torch.double)[:, None]
    rolled = bijections.swiss_roll(values)
    assert rolled.shape == (1001, 2)
    radius = rolled.norm(dim=1, keepdim=True)
    assert_close((21 * radius / (1.5 * math.pi) - 1) / 2, values)
    angles = np.unwrap(torch.atan2(rolled[:, 1], rolled[:, 0]).numpy())
    assert angles[-1] - angles[0] == pytest.approx(3 * math.pi)  # one and a half turns
    assert rolled.abs().max() < 0.9


@pytest.mark.parametrize(("features", "plane"), [(2, (0, 1)), (5, (1, 2))])
def test_a_spiral_keeps_lengths_and_other_features_and_is_turned_back(features, plane, generator):
    values = torch.randn(500, features, generator=generator, dtype=torch.double)
    before = values.clone()
    turned = bijections.spiral(values, plane=plane, speed=0.4)
    assert torch.equal(values, before)
    assert_close(turned.norm(dim=1), values.norm(dim=1))
    others = [index for index in range(features) if index not in plane]
    assert torch.equal(turned[:, others], values[:, others])
    # Lengths are kept, so the opposite speed turns back.
    assert_close(bijections.spiral(turned, plane=plane, speed=-0.4), values)
    # The generator exp(speed |x|^2 A), with A antisymmetric, does the same.
    rotation = torch.zeros(features, features, dtype=torch.double)
    rotation[plane[1], plane[0]], rotation[plane[0], plane[1]] = 1.0, -1.0
    for value, image in zip(values[:5], turned[:5], strict=True):
        assert_close(torch.linalg.matrix_exp(0.4 * value.square().sum() * rotation) @ value, image)


def test_a_spiral_stretches_space_nowhere(generator):
    # The Jacobian's determinant is one: densities move along without change.
    for value in torch.randn(5, 3, generator=generator, dtype=torch.double):
        jacobian = torch.autograd.functional.jacobian(
            lambda x: bijections.spiral(x[None], plane=(0, 1), speed=0.7)[0], value
        )
        assert torch.linalg.det(jacobian).item() == pytest.approx(1)
