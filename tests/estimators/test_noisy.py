import math

import numpy as np
import pytest
import torch
from torch import Tensor

from infoplane.estimators import kde_information, label_permutations, noisy_information, null_like
from infoplane.estimators.noisy import NoisyInformation
from infoplane.estimators.noisy_mixture import halves
from infoplane.estimators.pairwise import NARROW


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def information_of(points: Tensor, labels: Tensor, seed: int = 0, **settings) -> NoisyInformation:
    return noisy_information(points, labels, **{"noise_variance": 1.0, "generator": seeded(seed), **settings})


def copies_of_unit_vectors(features: int, length: float, samples: int = 1000) -> tuple[Tensor, Tensor]:
    """Ten classes, each one point, far along a feature of its own."""
    labels = torch.arange(samples) % 10
    points = torch.zeros(samples, features)
    points[torch.arange(samples), labels] = length
    return points, labels


# known truths


@pytest.mark.parametrize(
    ("distance", "truth"), [(1, 0.111421), (2, 0.336831), (3, 0.526777), (4, 0.632720), (6, 0.689298)]
)
@pytest.mark.parametrize("features", [1, 1200])  # fewer than samples, and more
def test_two_points_have_the_information_of_a_binary_channel_with_gaussian_noise(features, distance, truth):
    labels = torch.arange(1000) % 2
    points = torch.full((1000, features), 7.0)  # far from the origin
    points[:, 0] += distance * labels
    information = information_of(points, labels)
    # Rare draws make most of the error of far points: 0.003 over draws at distance 6, while most draws state 0.0005.
    tolerance = max(3 * information.input.error, 0.009)
    assert information.input.value == pytest.approx(truth, abs=tolerance)
    assert information.label.value == pytest.approx(truth, abs=tolerance)
    assert 0 < information.input.error < 0.03
    assert information.input.ceiling == information.label.ceiling == pytest.approx(math.log(2))


@pytest.mark.parametrize(("features", "power"), [(2, 9.0), (50, 0.1), (2000, 0.0025)])
def test_a_gaussian_layer_has_the_capacity_of_its_channel(features, power):
    samples = 1500
    points = power**0.5 * torch.randn(samples, features, generator=seeded(1))
    information = information_of(points, torch.arange(samples) % 3)
    truth = features / 2 * math.log1p(power)
    assert information.input.value == pytest.approx(truth, abs=3 * information.input.error)
    assert information.input.error < 0.06
    assert 0 < information.input_shortfall < information.input.error
    # The pairwise bounds leave far more open.
    bounds = kde_information(points, torch.arange(samples) % 3, noise_variance=1.0)
    assert (
        bounds.input_lower.value
        < information.input.value - 0.4
        < information.input.value + 0.8
        < bounds.input_upper.value
    )


@pytest.mark.parametrize(("features", "power"), [(5, 9.0), (50, 0.2), (2000, 0.004)])
def test_too_few_samples_fall_short_and_are_flagged(features, power):
    points = power**0.5 * torch.randn(1500, features, generator=seeded(1))
    information = information_of(points, torch.arange(1500) % 3)
    missing = features / 2 * math.log1p(power) - information.input.value
    assert information.input.undersampled
    assert information.input_shortfall < missing + 3 * information.input.error
    # Labels that have nothing to do with the layer tell nothing; what they seem to tell is excess.
    assert information.label.value > 3 * information.label.error
    assert information.label.undersampled
    assert 0.01 < information.label_excess < information.label.value + 3 * information.label.error


def test_shortfall_and_excess_compare_the_samples_with_their_halves():
    points = 2 * torch.randn(300, 4, generator=seeded(1), dtype=torch.double)
    labels = torch.randint(3, (300,), generator=seeded(2))
    information = information_of(points, labels)
    seed = int(torch.randint(2**63 - 1, (1,), generator=seeded(0)))  # as below: the noise, in the order of the samples
    noisy = points + torch.randn(300, 4, generator=seeded(seed), dtype=torch.double)
    densities = (-(noisy[:, None] - points).square().sum(dim=2) / 2).exp()
    same = labels[:, None] == labels

    def mean_log(members: Tensor, denominator: Tensor | float) -> float:
        """Mean log of each sample's density within `members`, `(samples, samples)`, over another density."""
        return ((densities * members).sum(dim=1) / members.sum(dim=1) / denominator).log().mean().item()

    half = halves(labels)
    near = half[:, None] == half
    own = densities.diagonal()
    expected = mean_log(near, own) - mean_log(torch.ones_like(near), own)
    assert information.input_shortfall == pytest.approx(expected, abs=1e-6)
    label = mean_log(same, own) - mean_log(torch.ones_like(near), own)
    label_of_halves = mean_log(same & near, own) - mean_log(near, own)
    assert information.label_excess == pytest.approx(label_of_halves - label, abs=1e-6)
    assert information.label.value == pytest.approx(label, abs=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 7, 1000])
def test_halves_split_every_class_evenly_and_at_random(samples):
    classes = torch.arange(samples) % 3
    half = halves(classes)
    assert torch.equal(half, halves(classes))
    sizes = torch.bincount(2 * classes + half, minlength=6).view(3, 2)
    assert (sizes[:, 0] - sizes[:, 1]).abs().max() <= 1
    assert abs(2 * int(half.sum()) - samples) <= 1
    if samples == 1000:  # a pattern in the order of the samples does not make the halves differ
        for pattern in (torch.arange(1000) // 500, torch.arange(1000) // 3 % 2):
            assert abs((half == pattern).double().mean() - 0.5) < 3 * 0.5 / 1000**0.5


@pytest.mark.parametrize(("features", "power"), [(2, 1.5), (50, 0.04), (2000, 0.001)])  # about 1 nat
def test_information_far_below_log_n_is_not_flagged(features, power):
    points = power**0.5 * torch.randn(1500, features, generator=seeded(1))
    assert not information_of(points, torch.arange(1500) % 3).input.undersampled


def test_a_bias_that_is_small_against_the_value_and_inside_the_interval_is_no_mark():
    points, truth = 0.13**0.5 * torch.randn(1500, 50, generator=seeded(1)), 25 * math.log1p(0.13)
    found = information_of(points, torch.arange(1500) % 3).input
    assert found.missing > 0.5 * found.error  # more than the error states
    assert found.low < truth < found.high
    assert not found.undersampled


def test_information_that_all_samples_settle_is_not_flagged():
    points, labels = copies_of_unit_vectors(10, 30.0)
    information = information_of(points, labels)
    assert information.input.value == pytest.approx(information.input.ceiling) == pytest.approx(math.log(10))
    assert (information.input.undersampled, information.label.undersampled) == (False, False)
    assert information.input_shortfall == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("features", [10, 512, 2000])
@pytest.mark.parametrize(("length", "truth"), [(1.0, 0.4234), (2.0, 1.3403), (4.0, 2.2529)])  # truths +-.0008
def test_ten_classes_in_any_dimension_have_their_label_information(features, length, truth):
    points, labels = copies_of_unit_vectors(features, length)
    information = information_of(points, labels)
    assert information.label.value == pytest.approx(truth, abs=3 * information.label.error + 0.0008)
    assert information.label.error < 0.05


def test_far_samples_carry_log_n_nats():
    points, labels = 60.0 * torch.eye(12), torch.arange(12) % 3
    information = information_of(points, labels)
    assert information.input.value == pytest.approx(math.log(12))
    assert information.label.value == pytest.approx(math.log(3))
    assert information.input.error == pytest.approx(0, abs=1e-9)
    assert information.input_shortfall == pytest.approx(math.log(2))
    assert information.input.undersampled


@pytest.mark.parametrize("features", [3, 100])
def test_a_dead_layer_and_a_single_sample_carry_nothing(features):
    for samples in (1, 50):
        labels = torch.arange(samples) % 3
        information = information_of(torch.full((samples, features), 7.3), labels, permutations=2)
        numbers = [information.input.value, information.label.value, information.input.error, information.label.error]
        assert numbers == pytest.approx([0.0] * 4, abs=1e-9)
        assert information.label.null.mean == pytest.approx(0.0, abs=1e-9)


def test_a_single_class_tells_exactly_nothing():
    points = torch.randn(700, 3, generator=seeded(0))
    information = information_of(points, torch.full((700,), 3))
    assert information.label.value == information.label.error == information.label.ceiling == 0.0
    assert information.input.value > 0.5


# agreement with what is defined independently


@pytest.mark.parametrize("widths", [(3,), (2, 1), (60,), (40, 20)])  # of the pieces in which features are read
def test_values_agree_with_densities_of_the_mixture_at_the_same_noise(monkeypatch, widths):
    monkeypatch.setattr("infoplane.estimators.features.CHUNK_BYTES", 8 * 40 * widths[0])
    features = sum(widths)
    points = torch.randn(40, features, generator=seeded(1), dtype=torch.double) * (3 / features) ** 0.5
    labels = torch.randint(3, (40,), generator=seeded(2))
    information = information_of(points, labels, noise_variance=0.3)
    # The noise of a piece is one draw for all samples, in their order; of wide layers in float32.
    noise, dtype = seeded(int(torch.randint(2**63 - 1, (1,), generator=seeded(0)))), torch.double
    if features > NARROW:
        dtype = torch.float
    z = torch.cat([torch.randn(40, width, generator=noise, dtype=dtype) for width in widths], dim=1).double()
    noisy = points + 0.3**0.5 * z
    densities = (-(noisy[:, None] - points).square().sum(dim=2) / 0.6).exp()
    same = labels[:, None] == labels
    of_class = (densities * same).sum(dim=1) / same.sum(dim=1)
    expected = (densities.diagonal() / densities.mean(dim=1)).log().mean().item()
    assert information.input.value == pytest.approx(expected, abs=1e-5)
    expected = (of_class / densities.mean(dim=1)).log().mean().item()
    assert information.label.value == pytest.approx(expected, abs=1e-5)

    def influence(members: Tensor) -> Tensor:
        """ln N p(t|x) / sum p(t|x_j), less the shares of the sample in what others see, around the mean of these."""
        part = densities[members][:, members]
        shares = part / part.sum(dim=1, keepdim=True)
        others = shares.sum(dim=0) - shares.diagonal()
        return (len(part) * shares.diagonal()).log() - others + others.mean()

    expected = influence(labels >= 0)
    torch.testing.assert_close(information.input.influences, expected, atol=1e-4, rtol=0)
    for c in range(3):
        within = expected[labels == c] - influence(labels == c)
        torch.testing.assert_close(information.label.influences[labels == c], within, atol=1e-4, rtol=0)


@pytest.mark.parametrize("features", [1, 3, 20, 700])
@pytest.mark.parametrize("spread", [0.1, 0.5, 2.0])
def test_the_value_lies_between_the_pairwise_bounds(features, spread):
    labels = torch.arange(400) % 4
    points = (torch.randn(400, features, generator=seeded(1)) + labels[:, None]) * spread / features**0.25
    information = information_of(points, labels)
    bounds = kde_information(points, labels, noise_variance=1.0)
    input_slack, label_slack = (  # the bounds are kept within 1e-3 nats of float64
        3 * error + 1e-3 for error in (information.input.error, information.label.error)
    )
    assert bounds.input_lower.value - input_slack <= information.input.value <= bounds.input_upper.value + input_slack
    assert (
        bounds.label_lower_bound.value - label_slack
        <= information.label.value
        <= bounds.label_upper_bound.value + label_slack
    )


def test_information_about_input_is_that_about_label_and_that_within_classes():
    labels = torch.arange(600) % 3
    points = torch.randn(600, 2, generator=seeded(1)) + 2 * labels[:, None]
    information = information_of(points, labels)
    within = [information_of(points[labels == c], labels[labels == c], seed=5 + c) for c in range(3)]
    expected = information.label.value + sum(part.input.value for part in within) / 3
    error = math.hypot(information.input.error, information.label.error, *(part.input.error / 3 for part in within))
    assert information.input.value == pytest.approx(expected, abs=3 * error)
    assert 0 < information.label.value < information.input.value


@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
def test_labels_tell_at_most_their_entropy(spread):
    labels = torch.randint(5, (300,), generator=seeded(1)) ** 2
    points = spread * (torch.randn(300, 2, generator=seeded(2)) + labels[:, None])
    information = information_of(points, labels)
    frequencies = labels.bincount()[labels.unique()] / 300
    assert information.label.ceiling == pytest.approx(-(frequencies * frequencies.log()).sum().item())
    assert information.label.value <= information.label.ceiling + 1e-9


# properties


@pytest.mark.parametrize("features", [4, 500])
@pytest.mark.parametrize("seed", [1, 2])
def test_values_survive_motions_padding_scaling_with_the_noise_and_names(features, seed):
    points = torch.randn(300, features, generator=seeded(seed), dtype=torch.double) * features**-0.25
    labels = torch.arange(300) % 3
    information = information_of(points, labels)
    expected = pytest.approx((information.input.value, information.label.value), abs=1e-6)

    def values(moved: Tensor, names: Tensor = labels, noise_variance: float = 1.0) -> tuple[float, float]:
        result = information_of(moved, names, noise_variance=noise_variance)
        return result.input.value, result.label.value

    # The same noise in the same coordinates: equal, not only in distribution.
    assert values(points + 1e4) == expected
    assert values(1e3 * points, noise_variance=1e6) == expected
    assert values(1e-3 * points, noise_variance=1e-6) == expected
    assert values(points, 7 - 3 * labels) == expected
    assert values(points.repeat(2, 1), labels.repeat(2)) == pytest.approx(
        (information.input.value, information.label.value), abs=3 * math.sqrt(1.5) * information.input.error
    )
    rotation = torch.linalg.qr(torch.randn(features, features, generator=seeded(9), dtype=torch.double))[0]
    padded = torch.cat([points @ rotation, torch.full((300, 600), 2.5, dtype=torch.double)], dim=1)
    alike = pytest.approx(
        (information.input.value, information.label.value), abs=3 * math.sqrt(2) * information.input.error
    )
    assert values(points @ rotation) == alike
    assert values(padded) == alike


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read_exactly(dtype):
    points, labels = (torch.randn(200, 5, generator=seeded(1)) + 3).to(dtype), torch.arange(200) % 3
    assert information_of(points, labels).input.value == information_of(points.double(), labels).input.value


def test_equally_seeded_generators_give_equal_results_and_one_generator_fresh_ones():
    points, labels = torch.randn(200, 3, generator=seeded(1)), torch.arange(200) % 3
    generator = seeded(4)
    before = torch.random.get_rng_state()
    first, second = (information_of(points, labels, generator=generator, permutations=2) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    again = information_of(points, labels, generator=seeded(4), permutations=2)
    assert first.estimates() == again.estimates()
    assert first.input.value != second.input.value
    assert first.label.null != second.label.null


# errors and influences


@pytest.mark.parametrize(("features", "noise_variance"), [(2, 0.5), (2, 0.02), (400, 30.0)])
def test_errors_match_the_spread_over_fresh_draws(features, noise_variance):
    draws = []
    for seed in range(60):
        labels = torch.randint(3, (300,), generator=seeded(seed))
        points = torch.randn(300, features, generator=seeded(1000 + seed)) + 1.5 * labels[:, None] / features**0.5
        draws.append(information_of(points, labels, seed, noise_variance=noise_variance))
    for name in ("input", "label"):
        spread = np.std([getattr(draw, name).value for draw in draws], ddof=1)
        stated = np.mean([getattr(draw, name).error for draw in draws])
        # A spread over 60 draws is known to 1 / sqrt(2 * 59) = 9 %; three of these.
        assert stated == pytest.approx(spread, rel=0.28), name


def test_influences_average_to_the_values_in_the_order_of_the_samples():
    labels = torch.arange(600) % 2
    # Class 0 is one point, class 1 is many far ones: only the samples of the latter are surprising.
    points = torch.where(labels[:, None] == 0, torch.zeros(600, 2), 50 * torch.randn(600, 2, generator=seeded(1)))
    information = information_of(points, labels)
    for name in ("input", "label"):
        assert getattr(information, name).influences.shape == (600,)
        assert getattr(information, name).influences.dtype == torch.double
        assert getattr(information, name).influences.mean().item() == getattr(information, name).value
        error = getattr(information, name).influences.std().item() / math.sqrt(600)
        assert getattr(information, name).error == pytest.approx(error)
    assert information.input.influences[labels == 0].max() < information.input.influences[labels == 1].min()


# nulls


@pytest.mark.parametrize("features", [2, 700])
def test_the_null_of_the_same_pass_equals_permuted_labels_at_the_same_noise(features):
    points = torch.randn(600, features, generator=seeded(1)) / features**0.5
    labels = torch.randint(4, (600,), generator=seeded(2))
    information = information_of(points, labels, 3, noise_variance=0.1, permutations=4)
    orders = label_permutations(labels, 4, generator=seeded(3))  # those that other estimators get
    slow = [information_of(points, order, 3, noise_variance=0.1) for order in orders]
    assert information.label.null.values == pytest.approx([result.label.value for result in slow], abs=2e-4)
    without = information_of(points, labels, 3, noise_variance=0.1)
    assert without.input == information.input
    assert (without.label.value, without.label.null) == (information.label.value, None)


def test_labels_that_matter_exceed_the_null_in_low_dimension_and_all_labels_saturate_in_high():
    labels = torch.arange(500) % 10
    points = torch.randn(500, 2, generator=seeded(1)) + labels[:, None]
    low = information_of(points, labels, noise_variance=0.1, permutations=20)
    assert not null_like(low.label.value, low.label.null)
    assert low.label.null.mean < 0.5 * low.label.value
    high = information_of(torch.randn(500, 64, generator=seeded(1)), labels, noise_variance=0.1, permutations=20)
    assert high.label.value == pytest.approx(math.log(10), abs=0.02)
    assert null_like(high.label.value, high.label.null)


# entrance


@pytest.mark.parametrize(
    ("points", "labels", "settings", "message"),
    [
        (torch.ones(3), [0, 1, 2], {}, "activations must have shape"),
        (torch.tensor([[1.0], [math.nan]]), [0, 1], {}, "activations must be finite: 1 of 2 samples"),
        (torch.ones(2, 2), [0.0, 1.0], {}, "labels must be integers"),
        (torch.ones(2, 2), [0, 1, 1], {}, r"labels must have shape \(2,\)"),
        (torch.ones(2, 2), [0, 1], {"noise_variance": 0.0}, "noise_variance must be positive and finite, got 0.0"),
        (torch.ones(2, 2), [0, 1], {"permutations": -1}, "permutations must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_named(points, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        information_of(points, torch.tensor(labels), **settings)


def test_the_caller_keeps_tensors_and_gradients_as_they_were():
    points = torch.randn(20, 3, generator=seeded(1)).requires_grad_()
    before = points.detach().clone()
    information = information_of(points, torch.arange(20) % 2)
    assert torch.equal(points, before)
    assert points.grad is None
    assert not information.input.influences.requires_grad
