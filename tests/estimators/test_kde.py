import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infoplane.estimators import kde_information, null_like, permutation_null, saturated
from infoplane.estimators.kde import kde_sweep
from infoplane.estimators.pairwise import KernelBlocks

NAMES = ("input_lower", "input_upper", "label_lower", "label_upper", "label_lower_bound", "label_upper_bound")
LABEL_NAMES = NAMES[2:]


@st.composite
def labelled_samples(draw: st.DrawFn, min_features: int = 1) -> tuple[Tensor, Tensor]:
    """Up to 30 samples, ties and tight groups among them, with up to 4 classes."""
    seed = draw(st.integers(0, 2**32 - 1))
    samples, features = draw(st.integers(1, 30)), draw(st.integers(min_features, 6))
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(samples, features, generator=generator, dtype=torch.double)
    points *= draw(st.sampled_from([0.0, 0.01, 1.0, 30.0]))
    if draw(st.booleans()):  # ties
        points = points[torch.randint(samples, (samples,), generator=generator)]
    labels = torch.randint(draw(st.integers(1, 4)), (samples,), generator=generator)
    return points, labels


def values_of(points: Tensor, labels: Tensor, noise_variance: float = 0.1) -> list[float]:
    information = kde_information(points, labels, noise_variance=noise_variance)
    return [getattr(information, name).value for name in NAMES]


# closed forms


def test_two_samples_at_two_noise_deviations_have_the_values_of_the_closed_forms():
    information = kde_information(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), noise_variance=1.0)
    assert information.input_upper.value == pytest.approx(0.566219, abs=1e-6)  # ln 2 - ln(1 + e^-2)
    assert information.input_lower.value == pytest.approx(0.219070, abs=1e-6)  # ln 2 - ln(1 + e^-1/2)
    # One sample per class: each class has entropy 0, and the label is the input.
    assert information.label_upper.value == information.label_upper_bound.value == information.input_upper.value
    assert information.label_lower.value == information.label_lower_bound.value == information.input_lower.value


def test_far_clusters_carry_the_log_of_their_number():
    labels = torch.arange(10).repeat(7)
    information = kde_information(100 * torch.eye(10)[labels], labels, noise_variance=0.1)
    for name in NAMES:
        assert getattr(information, name).value == pytest.approx(math.log(10), abs=1e-6)
    assert information.input_lower.ceiling == pytest.approx(math.log(10))
    assert information.label_lower.ceiling == pytest.approx(math.log(10))


def test_far_samples_carry_log_n_nats_and_reach_every_ceiling():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    information = kde_information(50 * torch.eye(6), labels, noise_variance=0.1)
    label_entropy = -(1 / 2 * math.log(1 / 2) + 1 / 3 * math.log(1 / 3) + 1 / 6 * math.log(1 / 6))
    assert information.input_lower.value == pytest.approx(math.log(6))
    assert information.label_lower.value == pytest.approx(label_entropy)
    assert information.label_lower.ceiling == pytest.approx(label_entropy)
    assert information.input_lower.ceiling == pytest.approx(math.log(6))
    assert information.class_entropies[0].upper.value == pytest.approx(math.log(3))
    assert information.class_entropies[0].upper.ceiling == pytest.approx(math.log(3))


def test_a_class_of_one_sample_has_entropy_zero_and_ceiling_zero():
    points = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    single = kde_information(points, torch.tensor([5, 5, 5, 5, 5, -2]), noise_variance=0.1).class_entropies[-2]
    for bound in single:
        assert (bound.value, bound.error, bound.ceiling, bound.class_index) == (0.0, 0.0, 0.0, -2)
        assert bound.rows.tolist() == [5]


@pytest.mark.parametrize("features", [3, 500])
def test_a_single_class_tells_nothing(features):
    points = torch.randn(701, features, generator=torch.Generator().manual_seed(0)) / features**0.5
    information = kde_information(points, torch.full((701,), 3), noise_variance=0.1)
    assert information.label_lower.value == information.label_upper.value == 0.0
    assert information.label_lower.ceiling == 0.0
    assert information.class_entropies[3].upper.value == information.input_upper.value > 0


def test_a_dead_layer_carries_nothing():
    information = kde_information(torch.full((50, 400), 7.3), torch.arange(50) % 3, noise_variance=0.1)
    assert [getattr(information, name).value for name in NAMES] == pytest.approx([0.0] * 6, abs=1e-6)
    assert information.input_lower.ceiling == 0.0
    assert saturated(information.input_upper.value, information.input_lower.ceiling)


def test_ceilings_count_repeated_rows():
    points = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [2.0, 3.0], [2.0, 3.5]])  # 0.0 and -0.0 are one value
    information = kde_information(points, torch.tensor([0, 0, 1, 1]), noise_variance=0.1)
    assert information.input_lower.ceiling == pytest.approx(1 / 2 * math.log(2) + 2 / 4 * math.log(4))
    assert information.class_entropies[0].upper.ceiling == 0.0
    assert information.class_entropies[1].upper.ceiling == pytest.approx(math.log(2))


# properties


@given(labelled_samples(), st.floats(1e-2, 1e2))
def test_bounds_lie_in_order_between_zero_and_their_ceilings(sample, noise_variance):
    information = kde_information(*sample, noise_variance=noise_variance)
    ceiling = information.input_lower.ceiling
    assert -1e-6 <= information.input_lower.value <= information.input_upper.value + 1e-6 <= ceiling + 2e-6
    assert information.label_lower_bound.value <= information.label_lower.value + 1e-6
    assert information.label_lower_bound.value <= information.label_upper.value + 1e-6
    assert (
        information.label_upper_bound.value >= max(information.label_lower.value, information.label_upper.value) - 1e-6
    )
    for entropy in information.class_entropies.values():
        assert -1e-6 <= entropy.lower.value <= entropy.upper.value + 1e-6 <= entropy.upper.ceiling + 2e-6
        assert entropy.lower.ceiling == entropy.upper.ceiling
    numbers = [one.error for one in information.estimates()]
    numbers += [
        number
        for entropy in information.class_entropies.values()
        for one in entropy
        for number in (one.value, one.ceiling)
    ]
    assert all(math.isfinite(number) and number >= -1e-6 for number in numbers)


@given(labelled_samples(min_features=2), st.integers(0, 99))
def test_values_survive_motions_padding_and_order(sample, seed):
    points, labels = sample
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(points.shape[1], points.shape[1], generator=generator).double())[0]
    order = torch.randperm(len(points), generator=generator)
    expected = pytest.approx(values_of(points, labels), abs=1e-5)
    assert values_of(points + 1000.0, labels) == expected
    assert values_of(points @ rotation, labels) == expected
    assert values_of(torch.cat([points, torch.full((len(points), 300), 2.5)], dim=1), labels) == expected
    assert values_of(points[order], labels[order]) == expected
    assert values_of(points, 7 - 3 * labels) == expected


@given(labelled_samples(), st.floats(1e-3, 1e3))
def test_scaling_activations_with_the_noise_changes_nothing(sample, scale):
    points, labels = sample
    assert values_of(scale * points, labels, scale**2 * 0.1) == pytest.approx(values_of(points, labels), abs=1e-5)


@given(labelled_samples())
def test_duplicating_every_sample_changes_nothing(sample):
    points, labels = sample
    twice = values_of(points.repeat(2, 1), labels.repeat(2))
    assert twice == pytest.approx(values_of(points, labels), abs=1e-5)


@given(labelled_samples(), st.floats(1e-2, 1e2))
def test_more_noise_leaves_less_information(sample, noise_variance):
    less, more = (kde_information(*sample, noise_variance=factor * noise_variance) for factor in (1, 1.5))
    assert more.input_lower.value <= less.input_lower.value + 1e-6
    assert more.input_upper.value <= less.input_upper.value + 1e-6


@given(labelled_samples(), st.floats(1e-2, 1e2))
def test_the_lower_bound_is_the_upper_one_at_four_times_the_noise(sample, noise_variance):
    at_noise = kde_information(*sample, noise_variance=noise_variance)
    at_four = kde_information(*sample, noise_variance=4 * noise_variance)
    assert at_noise.input_lower.value == pytest.approx(at_four.input_upper.value, abs=1e-5)
    assert at_noise.label_lower.value == pytest.approx(at_four.label_upper.value, abs=1e-5)


# agreement with an independent implementation


@given(labelled_samples(), st.floats(1e-2, 1e2))
def test_values_agree_with_a_dense_computation(dense_kde, kde_values, sample, noise_variance):
    expected = dense_kde(*sample, noise_variance)
    assert kde_values(*sample, noise_variance) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("features", [20, 300])
def test_every_float_type_is_read_exactly(dense_kde, kde_values, dtype, features):
    generator = torch.Generator().manual_seed(1)
    points = (torch.randn(1100, features, generator=generator) / features**0.5 + 3).to(dtype)
    labels = torch.randint(-2, 3, (1100,), generator=generator)
    assert kde_values(points, labels, 0.1) == pytest.approx(dense_kde(points, labels, 0.1), abs=1e-5)


def weighted_information(points: Tensor, labels: Tensor, noise_variance: float, name: str, weights: Tensor) -> Tensor:
    """One of the six informations of the mixture with weights that sum to 1, as a differentiable function of them."""
    squared = (points[:, None] - points).square().sum(dim=2)

    def information(members: Tensor, kind: int) -> Tensor:
        part = weights[members] / weights[members].sum()
        kernel = (-squared[members][:, members] / (2 * kind * noise_variance)).exp()
        return -(part * (kernel @ part).log()).sum()

    whole, within = {
        "input_lower": (4, None),
        "input_upper": (1, None),
        "label_lower": (4, 4),
        "label_upper": (1, 1),
        "label_lower_bound": (4, 1),
        "label_upper_bound": (1, 4),
    }[name]
    value = information(torch.ones_like(labels, dtype=torch.bool), whole)
    if within is not None:
        for label in labels.unique():
            value = value - weights[labels == label].sum() * information(labels == label, within)
    return value


@pytest.mark.parametrize("name", NAMES)
def test_influence_terms_are_the_derivatives_of_the_functional(name):
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(40, 2, generator=generator, dtype=torch.double)
    labels = torch.randint(3, (40,), generator=generator)  # not sorted: the terms must return to their samples
    weights = torch.full((40,), 1 / 40, dtype=torch.double, requires_grad=True)
    value = weighted_information(points, labels, 0.1, name, weights)
    (gradient,) = torch.autograd.grad(value, weights)
    expected = value.detach() + gradient - gradient.mean()

    information = kde_information(points, labels, noise_variance=0.1)
    torch.testing.assert_close(getattr(information, name).influences, expected, atol=1e-5, rtol=0)
    assert getattr(information, name).influences.mean().item() == getattr(information, name).value


def test_class_terms_average_to_the_class_entropies():
    generator = torch.Generator().manual_seed(3)
    points, labels = torch.randn(60, 2, generator=generator), torch.randint(3, (60,), generator=generator)
    information = kde_information(points, labels, noise_variance=0.1)
    for label, entropy in information.class_entropies.items():
        for kind in ("lower", "upper"):
            terms = getattr(entropy, kind).influences
            assert getattr(entropy, kind).rows.tolist() == (labels == label).nonzero().squeeze(1).tolist()
            assert terms.mean().item() == pytest.approx(getattr(entropy, kind).value, abs=1e-9)
            error = terms.std().item() / math.sqrt(len(terms))
            assert getattr(entropy, kind).error == pytest.approx(error, rel=1e-9)


def test_errors_match_the_spread_over_fresh_draws():
    draws = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(3, (300,), generator=generator)
        points = torch.randn(300, 2, generator=generator) + 1.5 * labels[:, None]
        draws.append(kde_information(points, labels, noise_variance=0.5))
    for name in NAMES:
        spread = np.std([getattr(draw, name).value for draw in draws], ddof=1)
        stated = np.mean([getattr(draw, name).error for draw in draws])
        # A spread over 60 draws is known to 1 / sqrt(2 * 59) = 9 %; three of these.
        assert stated == pytest.approx(spread, rel=0.28), name


# nulls


@pytest.mark.parametrize("features", [2, 400])
def test_nulls_of_the_same_pass_equal_the_general_way(features):
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(600, features, generator=generator) / features**0.5
    labels = torch.randint(4, (600,), generator=generator)
    information = kde_information(
        points, labels, noise_variance=0.1, permutations=5, generator=torch.Generator().manual_seed(9)
    )
    assert [name for name in NAMES if getattr(information, name).null] == list(LABEL_NAMES)
    for name in LABEL_NAMES:
        slow = permutation_null(
            lambda x, y, name=name: getattr(kde_information(x, y, noise_variance=0.1), name),
            points,
            labels,
            permutations=5,
            generator=torch.Generator().manual_seed(9),
        )
        assert getattr(information, name).null.values == pytest.approx(slow.values, abs=2e-4)
        assert getattr(information, name).null.quantile95 == pytest.approx(slow.quantile95, abs=2e-4)
        assert getattr(information, name).null.mean == pytest.approx(slow.mean, abs=1e-5)


def test_many_permutations_pass_in_several_products(monkeypatch):
    generator = torch.Generator().manual_seed(5)
    points, labels = torch.randn(90, 3, generator=generator), torch.randint(7, (90,), generator=generator)

    def null():
        seeded = torch.Generator().manual_seed(0)
        return kde_information(points, labels, noise_variance=0.1, permutations=9, generator=seeded).label_upper.null

    at_once = null()
    monkeypatch.setattr("infoplane.estimators.permuted_sums.PRODUCT_COLUMNS", 15)  # two permutations at a time
    assert null().values == pytest.approx(at_once.values, abs=1e-6)


def test_labels_that_matter_exceed_the_null_in_low_dimension_and_all_labels_saturate_in_high(generator):
    labels = torch.arange(500) % 10
    points = torch.randn(500, 2, generator=generator) + labels[:, None]
    low = kde_information(points, labels, noise_variance=0.1, permutations=20, generator=generator)
    assert not null_like(low.label_lower.value, low.label_lower.null)
    assert not saturated(low.label_lower.value, low.label_lower.ceiling)
    # Finding: from a few tens of features upwards, labels drawn at random reach H(Y).
    meaningless = torch.randn(500, 64, generator=generator)
    high = kde_information(meaningless, labels, noise_variance=0.1, permutations=20, generator=generator)
    assert high.label_lower.value == pytest.approx(math.log(10), abs=0.02)
    assert saturated(high.label_lower.value, high.label_lower.ceiling)
    assert high.label_lower.null.mean == pytest.approx(math.log(10), abs=0.02)


# several noise variances


@pytest.mark.parametrize("features", [5, 400])
def test_a_sweep_gives_what_single_calls_give(features):
    generator = torch.Generator().manual_seed(7)
    points = torch.randn(1100, features, generator=generator) / features**0.5
    labels = torch.randint(4, (1100,), generator=generator)
    variances = [0.3, 0.02, 5.0]  # in no order

    def seeded() -> dict:
        return {"permutations": 3, "generator": torch.Generator().manual_seed(2)}

    sweep = kde_sweep(points, labels, noise_variances=variances, **seeded())
    assert len(sweep) == 3
    for variance, together in zip(variances, sweep, strict=True):
        alone = kde_information(points, labels, noise_variance=variance, **seeded())
        for name in NAMES:
            assert getattr(together, name).value == pytest.approx(getattr(alone, name).value, abs=1e-6)
            torch.testing.assert_close(
                getattr(together, name).influences, getattr(alone, name).influences, atol=1e-6, rtol=0
            )
        for name in LABEL_NAMES:
            assert getattr(together, name).null.values == pytest.approx(getattr(alone, name).null.values, abs=1e-6)
        assert together.class_entropies.keys() == alone.class_entropies.keys()
        for label, entropy in alone.class_entropies.items():
            for one, other in zip(together.class_entropies[label], entropy, strict=True):
                numbers = (other.value, other.error, other.ceiling)
                assert (one.value, one.error, one.ceiling) == pytest.approx(numbers, abs=1e-6)
                assert torch.equal(one.rows, other.rows)
    assert sweep[1].input_upper.value > sweep[0].input_upper.value + 0.1 > sweep[2].input_upper.value + 0.2


@given(labelled_samples(), st.floats(1e-2, 1e2))
def test_the_bounds_of_a_sweep_meet_at_four_times_the_noise(sample, noise_variance):
    at_noise, at_four = kde_sweep(*sample, noise_variances=[noise_variance, 4 * noise_variance])
    assert at_noise.input_lower.value == pytest.approx(at_four.input_upper.value, abs=1e-5)
    assert at_noise.label_lower.value == pytest.approx(at_four.label_upper.value, abs=1e-5)


def test_a_sweep_computes_distances_once(monkeypatch):
    points, labels = torch.randn(60, 300, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    passes = []
    products = KernelBlocks._products
    monkeypatch.setattr(KernelBlocks, "_products", lambda self, pairs: passes.append(pairs) or products(self, pairs))
    kde_sweep(points, labels, noise_variances=[0.1, 1.0, 10.0])
    assert passes == [[(0, 0)]]


# entrance


def test_the_caller_keeps_tensors_and_gradients_as_they_were():
    points = torch.randn(20, 3, requires_grad=True)
    labels = torch.arange(20) % 2
    before = points.detach().clone()
    information = kde_information(points, labels, noise_variance=0.1)
    assert torch.equal(points, before)
    for one in information.estimates():
        assert not one.influences.requires_grad
        assert one.influences.dtype == torch.double
        assert one.influences.shape == (20 if one.class_index is None else 10,)


def test_equal_input_gives_equal_bits():
    generator = torch.Generator().manual_seed(6)
    points, labels = torch.randn(1200, 300, generator=generator), torch.randint(5, (1200,), generator=generator)
    first, second = (kde_information(points, labels, noise_variance=20.0) for _ in range(2))
    for one, other in zip(first.estimates(), second.estimates(), strict=True):
        assert torch.equal(one.influences, other.influences)


@pytest.mark.parametrize(
    ("points", "labels", "settings", "message"),
    [
        (torch.tensor([[1.0], [math.nan]]), [0, 1], {}, "activations must be finite: 1 of 2 samples"),
        (torch.ones(2, 2, 2), [0, 1], {}, r"shape \(samples, features\)"),
        (torch.ones(2, 2, dtype=torch.int64), [0, 1], {}, "float type"),
        (torch.ones(2, 2), [0, 1, 1], {}, r"labels must have shape \(2,\)"),
        (torch.ones(2, 2), [0.0, 1.0], {}, "labels must be integers"),
        (torch.ones(2, 2), [0, 1], {"noise_variance": 0.0}, "noise_variance must be positive and finite, got 0.0"),
        (torch.ones(2, 2), [0, 1], {"permutations": 3}, "needs a seeded torch.Generator"),
        (torch.ones(2, 2), [0, 1], {"permutations": -1}, "permutations must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_named(points, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        kde_information(points, torch.tensor(labels), **{"noise_variance": 0.1, **settings})


@pytest.mark.parametrize(
    ("variances", "message"),
    [
        ([], "noise_variances must hold at least one number, got none"),
        ([0.1, -1.0], "noise_variances must be positive and finite, got -1.0"),
    ],
)
def test_bad_noise_variances_are_named(variances, message):
    with pytest.raises(ValueError, match=message):
        kde_sweep(torch.ones(2, 2), torch.tensor([0, 1]), noise_variances=variances)
