"""Decoders say when examples are too few, and how many would be enough."""

import math

import pytest
import torch

from infoplane.estimators import decoded_information, enough_examples, learning_curve
from infoplane.estimators.tasks import labelled_gaussians


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def decoded(samples, features, spread, **settings):
    task = labelled_gaussians(samples, features, spread=spread, generator=seeded())
    return decoded_information(task.activations, task.labels, generator=seeded(1), **settings)


def test_a_wide_layer_with_few_examples_is_undersampled():
    found = decoded(1000, 3456, 2.0)
    assert found.high < 0.3  # nats of 1.340
    assert found.undersampled
    assert 0 < found.shortfall <= found.value + 0.01


def test_the_shortfall_is_that_of_half_of_the_examples():
    # The decoders of 5 folds of 400 have 320 examples, those of 2 folds of 320 have 160.
    values = []
    for seed in range(5):
        task = labelled_gaussians(400, 10, spread=3.0, generator=seeded(seed))
        whole = decoded_information(task.activations, task.labels, generator=seeded(9))
        half = decoded_information(task.activations[:320], task.labels[:320], generator=seeded(9), folds=2)
        values.append((whole.shortfall, whole.value - half.value))
    # Medians, since one decoder of 160 examples in 30 or so is badly calibrated. Their spread over 8 seeds is 0.03.
    found, expected = torch.tensor(values).median(dim=0).values
    assert abs(found - expected) < 0.06
    assert found > 0.01


def test_many_examples_of_few_features_are_enough():
    found = decoded(5000, 10, 2.0)
    assert found.undersampled is False
    assert abs(found.shortfall) < 0.02


def test_labels_without_a_relation_are_not_called_undersampled():
    points = torch.randn(400, 50, generator=seeded())
    found = [
        decoded_information(points, torch.randint(4, (400,), generator=seeded(k)), generator=seeded()) for k in (1, 2)
    ]
    assert [one.undersampled for one in found] == [False, False]


def test_the_shortfall_can_be_left_out_and_changes_nothing_else():
    with_it, without = (decoded(200, 10, 2.0, shortfall=wanted) for wanted in (True, False))
    assert torch.equal(with_it.influences, without.influences)
    assert (without.shortfall, without.undersampled) == (None, None)
    assert decoded(12, 10, 2.0).shortfall is None  # fewer than 8 examples would fit the half


def test_transfers_have_the_mark_of_their_decoders():
    task = labelled_gaussians(1000, 2000, spread=2.0, generator=seeded())
    found = decoded_information(task.activations, task.labels, generator=seeded(1), folds=2)
    assert found.undersampled
    assert found.transferred(task.activations, task.labels).undersampled


def test_the_codelength_of_labels_without_a_relation_is_that_of_their_entropy():
    curve = learning_curve(torch.randn(800, 5, generator=seeded()), torch.arange(800) % 4, generator=seeded())
    assert curve.sizes == (25, 50, 100, 200, 400)
    assert curve.uniform_codelength == pytest.approx(800 * math.log(4))
    assert curve.codelength == pytest.approx(800 * math.log(4), rel=0.01)
    assert [abs(point.value) < 0.03 for point in curve.points] == [True] * 5


def test_labels_that_the_layer_determines_cost_little_more_than_the_first_block():
    labels = torch.arange(800) % 4
    curve = learning_curve(10 * torch.eye(4)[labels], labels, generator=seeded())
    first = 25 * math.log(4)
    # each later block of n labels costs at most about one miss in as many as calibrate: n / (n / 4)
    assert first < curve.codelength < first + 5 * 6
    assert curve.points[-1].value == pytest.approx(math.log(4), abs=0.02)


def test_what_decoders_find_grows_with_the_examples_towards_the_truth():
    task = labelled_gaussians(2560, 40, spread=3.0, generator=seeded())
    curve = learning_curve(task.activations, task.labels, generator=seeded(1))
    values = [point.value for point in curve.points]
    assert values[0] < values[2] < values[-1] < task.information
    assert [len(point.rows) + size for size, point in zip(curve.sizes, curve.points, strict=True)] == [2560] * 6


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_enough_examples_follow_from_a_power_law(power):
    sizes = [40, 80, 160, 320]
    values = [2.0 - 0.5 * (40 / size) ** power for size in sizes]
    # 0.05 from the limit: 10 times less than at 40 examples
    assert enough_examples(sizes, values, tolerance=0.05) == pytest.approx(40 * 10 ** (1 / power), rel=0.02)


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.02, 0.08, 0.25],  # still accelerating
        [1.0, 1.2],  # too few points
        [2.0 - 3 * size**-0.3 for size in (40, 80, 160, 320)],  # 0.05 is more than 16 times as many away
    ],
)
def test_a_curve_that_does_not_bend_does_not_say_how_many_would_be_enough(values):
    assert enough_examples([40, 80, 160, 320][: len(values)], values, tolerance=0.05) is None


def test_the_limit_is_at_most_the_entropy_of_the_labels():
    sizes = [40, 80, 160, 320]
    values = [0.69 - 0.4 * (40 / size) ** 0.5 for size in sizes]
    steeper = [value + 0.03 * place for place, value in enumerate(values)]  # bends less, towards a limit of 1 and more
    assert enough_examples(sizes, steeper, ceiling=0.693) < 3000
    free = enough_examples(sizes, steeper)
    assert free is None or free > 3000


def test_a_flat_curve_has_enough():
    assert enough_examples([40, 80, 160], [0.7, 0.7, 0.7]) <= 40
    with pytest.raises(ValueError, match="tolerance must be positive"):
        enough_examples([40, 80, 160], [0.7, 0.7, 0.7], tolerance=0)
