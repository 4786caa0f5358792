import math

import pytest
import torch

from infoplane.estimators.tasks import labelled_gaussian_information, labelled_gaussians


def test_the_information_is_that_of_an_independent_monte_carlo(generator):
    spread, classes, draws = 1.7, 6, 200_000
    # By symmetry the sample's own class can be the first; ln(K p(y|t)) averaged over t.
    points = torch.randn(draws, classes, generator=generator, dtype=torch.double)
    points[:, 0] += spread
    terms = math.log(classes) + (spread * points).log_softmax(dim=1)[:, 0]
    # Four standard errors of a mean.
    tolerance = 4 * terms.std().item() / math.sqrt(draws)
    assert tolerance < 0.01
    assert labelled_gaussian_information(spread, classes) == pytest.approx(terms.mean().item(), abs=tolerance)


def test_two_classes_are_two_points_in_gaussian_noise():
    # Centres sqrt(2) times the spread apart; the binary-input Gaussian channel at distances 1, 2 and 6.
    for distance, information in ((1, 0.111421), (2, 0.336831), (6, 0.689298)):
        assert labelled_gaussian_information(distance / math.sqrt(2), 2) == pytest.approx(information, abs=1e-6)


def test_a_wide_spread_carries_the_log_of_the_classes_and_a_narrow_one_its_second_order():
    assert labelled_gaussian_information(20, 10) == pytest.approx(math.log(10), abs=1e-9)
    # Half the variance between classes over that of the noise, as for a Gaussian channel of small signal.
    assert labelled_gaussian_information(0.01, 10) == pytest.approx(0.9 * 0.01**2 / 2, rel=1e-3)


def test_samples_lie_around_the_unit_vector_of_their_label(generator):
    task = labelled_gaussians(2000, 12, spread=3.0, generator=generator)
    assert task.activations.shape == (2000, 12)
    assert task.information == labelled_gaussian_information(3.0, 10)
    assert sorted(task.labels.unique().tolist()) == list(range(10))
    noise = task.activations - 3 * torch.eye(12)[task.labels]
    # 24,000 draws: six standard errors of mean and variance.
    assert noise.mean().abs() < 6 / math.sqrt(24_000)
    assert abs(noise.var() - 1) < 6 * math.sqrt(2 / 24_000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"features": 9}, "features must be at least 10, got 9"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"spread": 0.0}, "spread must be positive and finite, got 0.0"),
    ],
)
def test_a_task_that_cannot_be_drawn_is_an_error(changes, message, generator):
    arguments = {"samples": 5, "features": 12, "classes": 10, "spread": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        labelled_gaussians(**arguments, generator=generator)
