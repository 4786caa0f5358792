import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from infoplane.estimators.tasks import uniform_noise
from infoplane.estimators.tasks.boxes import (
    binned_steps_information,
    binned_uniform_information,
    boxed_steps_information,
    boxed_uniform_entropy,
    boxed_uniform_information,
    entropy,
    noisy_steps_information,
    noisy_uniform_information,
    step_layer,
)

P = (0.5, 0.2, 0.3)
H = -(0.5 * math.log(0.5) + 0.2 * math.log(0.2) + 0.3 * math.log(0.3))


def integrated_entropy(density, points):
    pieces = itertools.pairwise(points)
    return sum(
        quad(lambda t: -density(t) * math.log(density(t)) if density(t) > 0 else 0.0, *piece)[0] for piece in pieces
    )


def test_a_discrete_layer_carries_its_entropy_however_narrow_the_box():
    assert entropy(P) == pytest.approx(H)
    for width in (1.0, 0.3, 1e-9):
        assert boxed_steps_information(P, width) == pytest.approx(H)


@pytest.mark.parametrize("width", [1.5, 2.0, 3.7, 10.0])
def test_overlapping_boxes_agree_with_the_integral_of_their_density(width):
    def density(t):
        return sum(p for level, p in enumerate(P) if abs(t - level) < width / 2) / width

    ends = sorted({level + side * width / 2 for level in range(3) for side in (-1, 1)})
    expected = integrated_entropy(density, ends) - math.log(width)
    assert boxed_steps_information(P, width) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("deviation", [0.05, 0.3, 1.0, 5.0])
def test_gaussian_noise_around_levels_agrees_with_the_integral_of_its_density(deviation):
    def density(t):
        return sum(p * norm.pdf(t, level, deviation) for level, p in enumerate(P))

    points = [level + deviation * step for level in (0, 1, 2) for step in (-8, -3, 0, 3, 8)]
    expected = integrated_entropy(density, sorted(points)) - 0.5 * math.log(2 * math.pi * math.e * deviation**2)
    assert noisy_steps_information(P, deviation**2) == pytest.approx(expected, abs=1e-7)


def test_gaussian_noise_that_vanishes_leaves_the_entropy_of_the_layer():
    found = [noisy_steps_information(P, variance) for variance in (10.0, 1.0, 0.1, 1e-2, 1e-12)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(H, abs=1e-9)


def test_bins_narrower_than_the_steps_leave_the_entropy_and_wider_ones_merge_levels():
    assert binned_steps_information(P, 0.001) == pytest.approx(H)
    assert binned_steps_information(P, 2.0) == pytest.approx(entropy((0.7, 0.3)))
    assert binned_steps_information(P, 4.0) == 0


def test_the_layer_has_the_probabilities_of_its_steps_and_is_a_function_of_its_input(generator):
    x, y, information = step_layer(40_000, P, generator=generator)
    assert information == pytest.approx(H)
    for level, probability in enumerate(P):
        assert (y == level).double().mean().item() == pytest.approx(probability, abs=0.01)  # four deviations
    assert torch.equal(y[x < 0.5], torch.zeros_like(y[x < 0.5]))
    assert torch.equal(y[x > 0.7], torch.full_like(y[x > 0.7], 2))


@pytest.mark.parametrize("width", [1e-3, 0.2, 1.0, 1.7, 8.0])
def test_the_box_around_a_uniform_layer_agrees_with_the_integral_of_its_density(width):
    def density(t):  # the overlap of [0, 1] with the box around t
        return max(0.0, min(1.0, t + width / 2) - max(0.0, t - width / 2)) / width

    corners = sorted([-width / 2, width / 2, 1 - width / 2, 1 + width / 2])
    expected = integrated_entropy(density, corners)
    assert boxed_uniform_entropy(width) == pytest.approx(expected, abs=1e-8)
    assert boxed_uniform_information(width) == pytest.approx(expected - math.log(width), abs=1e-8)


@given(st.floats(1e-6, 100))
def test_the_box_is_the_task_of_additive_uniform_noise(width):
    task = uniform_noise(1, reach=width / 2, generator=torch.Generator().manual_seed(0))
    assert boxed_uniform_information(width) == pytest.approx(task.information, rel=1e-9)


def test_a_continuous_layer_gains_without_end():
    # each halving adds ln 2 in the limit; at any number of nats there is a width that gives more
    found = [boxed_uniform_information(2.0**-power) for power in range(1, 200)]
    steps = [after - before for before, after in itertools.pairwise(found)]
    assert steps[-1] == pytest.approx(math.log(2))
    assert found[-1] > 137


@pytest.mark.parametrize("deviation", [1e-3, 0.04, 0.2, 2.0])
def test_gaussian_noise_around_a_uniform_layer_agrees_with_the_integral_of_its_density(deviation):
    def density(t):
        return norm.cdf(t / deviation) - norm.cdf((t - 1) / deviation)

    points = sorted({end + deviation * step for end in (0, 1) for step in (-8, -4, 0, 4, 8)})
    expected = integrated_entropy(density, points) - 0.5 * math.log(2 * math.pi * math.e * deviation**2)
    assert noisy_uniform_information(deviation**2) == pytest.approx(expected, abs=1e-6)


def test_bins_of_a_uniform_layer_carry_the_log_of_their_number():
    assert binned_uniform_information(1 / 64) == pytest.approx(math.log(64))
    assert binned_uniform_information(0.4) == pytest.approx(-0.8 * math.log(0.4) - 0.2 * math.log(0.2))
    assert binned_uniform_information(4.0) == 0


@pytest.mark.parametrize("function", [boxed_uniform_information, noisy_uniform_information, binned_uniform_information])
def test_widths_must_be_positive(function):
    with pytest.raises(ValueError, match=r"must be positive and finite, got 0\.0"):
        function(0.0)


@pytest.mark.parametrize("probabilities", [(0.5, 0.6), (1.0, 0.0), ()])
def test_probabilities_must_be_some(probabilities, generator):
    for function in (boxed_steps_information, noisy_steps_information, binned_steps_information):
        with pytest.raises(ValueError, match="probabilities must be positive and sum to 1"):
            function(probabilities, 0.5)
    with pytest.raises(ValueError, match="probabilities must be positive and sum to 1"):
        step_layer(10, probabilities, generator=generator)
