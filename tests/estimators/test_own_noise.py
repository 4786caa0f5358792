import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Tensor

from infoplane.estimators import (
    OwnNoiseInformation,
    kde_information,
    noisy_information,
    null_like,
    own_noise_information,
    row_products,
    variational_rate,
)
from infoplane.estimators import diagonal_gaussians as gaussians
from infoplane.estimators.noisy_mixture import halves

PAIRWISE = ("input_lower", "input_upper", "label_lower", "label_upper", "label_lower_bound", "label_upper_bound")
LABEL_NAMES = PAIRWISE[2:]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def information_of(means: Tensor, variances: Tensor | float, labels: Tensor, **settings) -> OwnNoiseInformation:
    return own_noise_information(means, variances, labels, **{"generator": seeded(0), **settings})


def random_gaussians(samples: int, features: int, seed: int = 1, *, scale: float = 1.0) -> tuple[Tensor, ...]:
    means = scale * torch.randn(samples, features, generator=seeded(seed))
    variances = (torch.randn(samples, features, generator=seeded(seed + 1000)) - 1).exp()
    return means, variances, torch.randint(3, (samples,), generator=seeded(seed + 2000))


# closed forms


@pytest.mark.parametrize("equal", [True, False])
def test_two_far_components_carry_ln_2(equal):
    labels = torch.arange(60) % 2
    means = 100.0 * labels[:, None].expand(60, 3)
    variances = torch.full((60, 3), 0.5)
    if not equal:
        variances[labels == 1] = 2.0
    information = information_of(means, variances, labels)
    for estimate in information.estimates():
        if estimate is not information.rate:
            assert estimate.value == pytest.approx(math.log(2), abs=1e-6)
    assert information.input.ceiling == information.label.ceiling == pytest.approx(math.log(2))


def test_equal_components_carry_nothing():
    variances = torch.rand(1, 4, generator=seeded(1)).expand(50, 4) + 0.1
    information = information_of(torch.ones(50, 4), variances, torch.arange(50) % 2)
    for name in (*PAIRWISE, "input", "label"):
        assert getattr(information, name).value == pytest.approx(0, abs=1e-9)
    assert information.gaussian_ceiling == pytest.approx(0, abs=1e-9)


def test_pairs_of_components_have_the_divergences_of_the_textbook():
    # KL(N(0, 1) || N(2, 4)) = ln 2 + 5/8 - 1/2 and back 2 + 2 - 1/2 - ln 2; Bhattacharyya 1/5 + ln(5/4) / 2.
    information = information_of(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [4.0]]), torch.tensor([0, 1]))
    there, back, distance = math.log(2) + 0.125, 3.5 - math.log(2), 0.2 + math.log(1.25) / 2
    upper = math.log(2) - (math.log1p(math.exp(-there)) + math.log1p(math.exp(-back))) / 2
    assert information.input_upper.value == pytest.approx(upper, abs=1e-6)
    assert information.input_lower.value == pytest.approx(math.log(2) - math.log1p(math.exp(-distance)), abs=1e-6)


@pytest.mark.parametrize(("second_mean", "second_variance"), [(0.0, 9.0), (1.5, 0.2), (3.0, 1.0), (2.0, 30.0)])
def test_two_gaussians_of_different_variance_have_the_information_of_numerical_integration(
    second_mean, second_variance
):
    labels = torch.arange(2000) % 2
    means, variances = second_mean * labels[:, None].float(), 1 + (second_variance - 1) * labels[:, None].float()
    first, second = norm(0, 1), norm(second_mean, math.sqrt(second_variance))

    def integrand(t: float) -> float:
        mixture = np.logaddexp(first.logpdf(t), second.logpdf(t)) - math.log(2)
        return sum(one.pdf(t) * (one.logpdf(t) - mixture) for one in (first, second)) / 2

    truth = quad(integrand, -60, 60, limit=500, points=[-3, 0, second_mean, 6])[0]
    information = information_of(means, variances, labels)
    assert truth > 0.05
    for estimate in (information.input, information.label):
        assert estimate.value == pytest.approx(truth, abs=3 * estimate.error)  # three standard errors of the draws
        assert estimate.error < 0.02
    assert information.input_lower.value < truth < information.input_upper.value
    assert information.input.ceiling == pytest.approx(math.log(2))


def test_a_population_of_two_noises_has_the_information_of_numerical_integration():
    # Per unit T is N(0, power + v) for v of 0.3 or 3, each half of the time, and units are independent.
    power, spreads, features, samples = 2.0, (0.3, 3.0), 2, 2000
    total = [norm(0, math.sqrt(power + v)) for v in spreads]

    def entropy(t: float) -> float:
        log_density = np.logaddexp(*(one.logpdf(t) for one in total)) - math.log(2)
        return -math.exp(log_density) * log_density

    noise_entropy = sum(norm(0, math.sqrt(v)).entropy() for v in spreads) / 2
    truth = features * (quad(entropy, -40, 40, limit=500)[0] - noise_entropy)
    means = math.sqrt(power) * torch.randn(samples, features, generator=seeded(1))
    variances = torch.tensor(spreads)[torch.randint(2, (samples, features), generator=seeded(2))]
    information = information_of(means, variances, torch.arange(samples) % 2)
    estimate = information.input
    # Three standard errors, and the bias that two halves of the samples show (here 6 nats below the ceiling).
    assert estimate.value == pytest.approx(truth, abs=3 * estimate.error + abs(estimate.missing))
    assert estimate.error < 0.05
    assert abs(estimate.missing) < 0.05
    assert information.input_lower.value < truth < information.input_upper.value
    assert truth < information.gaussian_ceiling + 3 * estimate.error


def test_the_rate_is_the_divergence_from_the_standard_normal():
    means, variances, _ = random_gaussians(40, 5)
    per_example = [
        sum(0.5 * (m * m + v - 1 - math.log(v)) for m, v in zip(*row, strict=True))
        for row in zip(means.double().tolist(), variances.double().tolist(), strict=True)
    ]
    rate = variational_rate(means, variances)
    assert rate.value == pytest.approx(np.mean(per_example), abs=1e-9)
    assert rate.error == pytest.approx(np.std(per_example, ddof=1) / math.sqrt(40), abs=1e-9)
    assert (rate.kind, rate.estimator, rate.distribution) == ("upper", "rate", "population")
    assert variational_rate(torch.zeros(3, 2), 1.0).value == 0


def test_the_gaussian_ceiling_is_that_of_a_gaussian_of_the_same_covariance(monkeypatch):
    means, variances, labels = random_gaussians(60, 4)
    covariance = np.cov(means.double().numpy().T, bias=True) + np.diag(variances.double().numpy().mean(axis=0))
    truth = (np.linalg.slogdet(covariance)[1] - variances.double().log().sum(dim=1).mean().item()) / 2
    information = information_of(means, variances, labels)
    assert information.gaussian_ceiling == pytest.approx(truth, abs=1e-9)
    monkeypatch.setattr("infoplane.estimators.own_noise.LARGEST_COVARIANCE", 3)
    assert information_of(means, variances, labels).gaussian_ceiling > truth


# agreement with other estimators, and with slow references


@pytest.mark.parametrize("variance", [1.0, 0.2])
def test_equal_variances_give_the_values_of_the_estimators_at_fixed_noise(variance):
    means, _, labels = random_gaussians(200, 6)
    information = information_of(means, torch.full((200, 6), variance, dtype=torch.double), labels, permutations=5)
    kde = kde_information(means, labels, noise_variance=variance, permutations=5, generator=seeded(0))
    noisy = noisy_information(means, labels, noise_variance=variance, permutations=5, generator=seeded(0))
    for name in PAIRWISE:
        assert getattr(information, name).value == getattr(kde, name).value
        assert getattr(information, name).null == getattr(kde, name).null
    assert information.input.value == noisy.input.value
    assert information.label.null == noisy.label.null


@pytest.mark.parametrize("shape", [(), (4,), (1, 4)])
def test_variances_of_all_examples_may_be_given_once(shape):
    means, _, labels = random_gaussians(50, 4)
    variances = torch.full(shape, 0.7)
    once = information_of(means, variances, labels)
    assert once.input_upper.value == information_of(means, variances.expand(50, 4), labels).input_upper.value


def test_nearly_equal_variances_give_nearly_the_values_of_equal_ones():
    means, _, labels = random_gaussians(150, 6)
    variances = torch.full((150, 6), 0.5, dtype=torch.double)
    equal = information_of(means, variances, labels, permutations=5)
    variances[7, 3] += 1e-9  # now each Gaussian goes the way of different variances
    different = information_of(means, variances, labels, permutations=5)
    for name in PAIRWISE:
        one, other = getattr(different, name), getattr(equal, name)
        assert one.value == pytest.approx(other.value, abs=1e-4)
        assert one.error == pytest.approx(other.error, rel=1e-3)
        assert torch.allclose(one.influences, other.influences, atol=1e-3)
        if name in LABEL_NAMES:
            assert one.null.values == pytest.approx(other.null.values, abs=1e-3)
    # Other draws of the noise: the difference is within three standard errors of the two values.
    tolerance = 3 * math.sqrt(2) * equal.input.error
    assert different.input.value == pytest.approx(equal.input.value, abs=tolerance)
    assert different.gaussian_ceiling == pytest.approx(equal.gaussian_ceiling, abs=1e-6)


def slow_reference(means: Tensor, variances: Tensor, labels: Tensor, drawn: np.ndarray) -> dict[str, float]:
    """Every pair by itself, every feature by itself, in float64."""
    m, v, y = means.double().numpy(), variances.double().numpy(), labels.numpy()
    n = len(m)
    kl, distance, ratio = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for a, b, va, vb, t in zip(m[i], m[j], v[i], v[j], drawn[i], strict=True):
                kl[i, j] += 0.5 * (math.log(vb / va) + (va + (a - b) ** 2) / vb - 1)
                distance[i, j] += (a - b) ** 2 / (4 * (va + vb)) + 0.5 * math.log((va + vb) / 2 / math.sqrt(va * vb))
                ratio[i, j] += norm.logpdf(t, b, math.sqrt(vb)) - norm.logpdf(t, a, math.sqrt(va))

    def information(exponents: np.ndarray) -> float:
        return float(np.mean(math.log(len(exponents)) - logsumexp(exponents, axis=1)))

    def within(exponents: np.ndarray) -> float:
        return sum((y == c).mean() * information(exponents[np.ix_(y == c, y == c)]) for c in np.unique(y))

    lower, upper, noisy = ((information(one), within(one)) for one in (-distance, -kl, ratio))
    return {
        "input_lower": lower[0],
        "input_upper": upper[0],
        "label_lower": lower[0] - lower[1],
        "label_upper": upper[0] - upper[1],
        "label_lower_bound": lower[0] - upper[1],
        "label_upper_bound": upper[0] - lower[1],
        "input": noisy[0],
        "label": noisy[0] - noisy[1],
    }


@pytest.mark.parametrize("features", [1, 7])
@pytest.mark.parametrize("small_blocks", [False, True])
def test_values_are_those_of_loops_over_pairs_and_features(features, small_blocks, monkeypatch):
    if small_blocks:
        for name, value in (("BLOCK", 7), ("FEATURES", 3), ("TILE", 4), ("_MOST_FACTORS", 2)):
            monkeypatch.setattr(gaussians, name, value)
        monkeypatch.setattr(row_products, "STORAGE_BYTES", 0)  # no distances are kept
    means, variances, labels = random_gaussians(24, features)
    # As documented: the draws have a seed of their own, which the generator gives after the permutations' copy.
    noise = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, (1,), generator=seeded(0))))
    sizes = [7, 7, 7, 3] if small_blocks else [24]
    drawn = torch.cat([torch.randn(n, features, dtype=torch.double, generator=noise) for n in sizes])
    expected = slow_reference(means, variances, labels, (means + variances.double().sqrt() * drawn).numpy())
    information = information_of(means, variances, labels)
    for name, value in expected.items():
        assert getattr(information, name).value == pytest.approx(value, abs=1e-5), name


def test_shortfall_compares_the_samples_with_their_halves():
    means, variances, labels = random_gaussians(300, 6, scale=3.0)
    information = information_of(means, variances, labels)
    assert information.input.undersampled
    half = halves(labels) == 0
    fewer = information_of(means[half], variances[half], labels[half]).input
    shortfall = information.input.value - fewer.value
    # Half of the samples with draws of their own: three standard errors of that value.
    assert information.input.missing == pytest.approx(shortfall, abs=3 * fewer.error)


def test_float16_means_are_used_as_they_are():
    means, variances, labels = random_gaussians(40, 3)
    rounded = information_of(means.half(), variances, labels)
    again = information_of(means.half().double(), variances, labels)
    assert [one.value for one in rounded.estimates()] == pytest.approx([one.value for one in again.estimates()])


def test_errors_go_by_groups_of_dependent_samples():
    means, variances, labels = random_gaussians(20, 3)
    twice = [torch.cat([part, part]) for part in (means, variances, labels)]
    alone = information_of(*twice, groups=torch.arange(40))
    grouped = information_of(*twice, groups=torch.arange(40) % 20)
    copies = information_of(*twice)  # equal Gaussians are copies
    for name in PAIRWISE:
        # Pairs of equal terms: the mean of 20 has sqrt(39 / 19) the standard error that 40 of them would state.
        expected = math.sqrt(39 / 19) * getattr(alone, name).error
        assert getattr(grouped, name).error == pytest.approx(expected, rel=1e-6)
        assert getattr(copies, name).error == pytest.approx(expected, rel=1e-6)


# properties


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    samples, features = draw(st.integers(10, 60)), draw(st.integers(1, 8))
    means = draw(st.sampled_from([0.0, 0.3, 1.0, 5.0])) * torch.randn(samples, features, generator=generator)
    spread = draw(st.sampled_from([0.1, 1.0, 3.0]))
    variances = (spread * torch.randn(samples, features, generator=generator)).exp()
    return means, variances, torch.randint(draw(st.integers(1, 4)), (samples,), generator=generator)


@given(mixtures())
def test_the_monte_carlo_value_exceeds_neither_the_rate_nor_the_upper_bound_nor_falls_below_the_lower(mixture):
    means, variances, labels = mixture
    information = information_of(means, variances, labels)
    noisy, samples = information.input, len(labels)
    # All are about the same examples, so only the noise makes them differ. The error covers the draws of one value, and
    # the mean of four has half of it: three errors are six of the mean's, for few samples state too small an error.
    values = [noisy.value, *(information_of(*mixture, generator=seeded(s)).input.value for s in (1, 2, 3))]
    mean, tolerance = sum(values) / len(values), 3 * noisy.error
    assert mean <= information.rate.value + tolerance
    assert information.input_lower.value - tolerance <= mean <= information.input_upper.value + tolerance
    assert -1e-6 <= information.input_lower.value <= information.input_upper.value + 1e-6
    assert information.input_upper.value <= math.log(samples) + 1e-6
    assert information.label_lower_bound.value <= information.label_upper_bound.value + 1e-6
    assert mean <= information.gaussian_ceiling + tolerance


@given(mixtures(), st.floats(1e-3, 1e3))
def test_scaling_a_unit_with_its_noise_and_moving_it_change_nothing(mixture, factor):
    means, variances, labels = mixture
    scales = torch.ones(means.shape[1]).double()
    scales[0] = factor
    moved = means.double() * scales + 3
    information, other = (
        information_of(*both, labels) for both in ((means, variances), (moved, variances.double() * scales.square()))
    )
    for name in (*PAIRWISE, "input", "label"):
        assert getattr(information, name).value == pytest.approx(getattr(other, name).value, abs=1e-3), name


def test_the_upper_bound_may_exceed_the_rate():
    means, variances, labels = random_gaussians(400, 6, scale=0.5)
    information = information_of(means, variances, labels)
    assert information.input_upper.value > information.rate.value + 0.1


def test_permuted_labels_tell_nothing():
    means, variances, labels = random_gaussians(400, 2, scale=0.3)
    information = information_of(means, variances, labels, permutations=20)
    for name in ("label", "label_lower", "label_upper"):
        estimate = getattr(information, name)
        assert null_like(estimate.value, estimate.null)
        assert len(estimate.null.values) == 20


def test_labels_that_shift_the_code_exceed_their_null():
    means, variances, labels = random_gaussians(400, 2, scale=0.3)
    information = information_of(means + labels[:, None], variances, labels, permutations=20)
    for name in ("label", "label_lower", "label_upper"):
        estimate = getattr(information, name)
        assert estimate.value > 2 * estimate.null.quantile95
    # The draws do not depend on the number of permutations.
    again = information_of(means + labels[:, None], variances, labels, permutations=0)
    assert again.label.value == information.label.value


def test_lower_bounds_can_be_left_out_where_variances_differ():
    means, variances, labels = random_gaussians(50, 3)
    information, fewer = (information_of(means, variances, labels, lower=lower) for lower in (True, False))
    assert information_of(means, 1.0, labels, lower=False).input_lower is not None  # equal variances cost little
    assert fewer.input_lower is fewer.label_lower is fewer.label_lower_bound is fewer.label_upper_bound is None
    assert [one.value for one in fewer.estimates()] == [
        information.input.value,
        information.label.value,
        information.rate.value,
        information.input_upper.value,
        information.label_upper.value,
    ]


# numerical traps


def test_tiny_variances_far_from_the_origin_are_computed_from_differences():
    # Products of matrices subtract numbers of 1e20 here, and would lose all digits of distances about 1.
    samples = 40
    means = 1e3 + 1e-7 * torch.randn(samples, 3, generator=seeded(1), dtype=torch.double)
    means[: samples // 2] += 2e3
    variances = 1e-14 * (0.5 + torch.rand(samples, 3, generator=seeded(2), dtype=torch.double))
    labels = torch.arange(samples) % 2
    # The same mixture near the origin and in another unit; moved by less, as float64 has no more digits.
    near = means - 1e3 - 2e3 * (torch.arange(samples) < samples // 2)[:, None]
    parts = [slice(0, samples // 2), slice(samples // 2, samples)]
    halved = [information_of(1e7 * near[part], 1e14 * variances[part], labels[part]) for part in parts]
    information = information_of(means, variances, labels)
    expected = math.log(2) + sum(half.input_upper.value for half in halved) / 2
    assert information.input_upper.value == pytest.approx(expected, abs=1e-3)
    expected = math.log(2) + sum(half.input_lower.value for half in halved) / 2
    assert information.input_lower.value == pytest.approx(expected, abs=1e-3)


def test_variances_of_very_different_size_do_not_overflow():
    means, _, labels = random_gaussians(30, 40)
    variances = (torch.randn(30, 40, generator=seeded(3)).double() * 30).exp()
    information = information_of(means, variances, labels)
    for estimate in information.estimates():
        assert math.isfinite(estimate.value)
    assert information.input_upper.value == pytest.approx(math.log(30), abs=1e-6)
    assert information.input_lower.value == pytest.approx(math.log(30), abs=1e-6)


def test_products_of_variances_do_not_overflow():
    # Two groups of nearly equal Gaussians: with products of eight variances the distances within a group are infinite.
    labels = torch.arange(20) % 2
    variances = torch.where(labels == 1, 1e15, 1e-15)[:, None] * (1 + 1e-3 * torch.rand(20, 16, generator=seeded(1)))
    information = information_of(torch.zeros(20, 16), variances, labels)
    for name in ("input_lower", "input_upper", "label_lower", "label_upper"):
        assert getattr(information, name).value == pytest.approx(math.log(2), abs=1e-3)


# refusals


@pytest.mark.parametrize(
    ("variances", "message"),
    [
        (0.0, "variances must be positive and finite, got 0.0"),
        (torch.tensor([[1.0, -1.0]] * 4), "variances must be positive and finite, found -1 to 1"),
        (torch.full((4, 2), math.nan), "variances must be positive and finite, found nan"),
        (torch.ones(4), r"variances must be one number, or of shape \(2,\) or \(4, 2\) like the means, got \(4,\)"),
    ],
)
def test_variances_must_be_positive_and_fit_the_means(variances, message):
    with pytest.raises(ValueError, match=message):
        information_of(torch.zeros(4, 2), variances, torch.arange(4))


def test_means_must_be_finite():
    with pytest.raises(ValueError, match="means must be finite"):
        information_of(torch.full((4, 2), math.inf), 1.0, torch.arange(4))


def test_other_settings_are_refused_as_elsewhere():
    with pytest.raises(ValueError, match="labels must have shape"):
        information_of(torch.zeros(4, 2), 1.0, torch.arange(3))
