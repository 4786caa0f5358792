import numpy as np
import pytest
import torch

from infoplane.estimators import Null, label_permutations, null_from, null_like, permutation_null, saturated


def test_equally_seeded_generators_permute_equally_whatever_the_labels():
    orders = label_permutations(torch.arange(50), 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(50) % 7
    assert torch.equal(label_permutations(labels, 4, generator=torch.Generator().manual_seed(1)), labels[orders])
    assert not torch.equal(orders, label_permutations(torch.arange(50), 4, generator=torch.Generator().manual_seed(2)))


def test_each_permutation_is_one_of_its_own(generator):
    orders = label_permutations(torch.arange(50), 4, generator=generator)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(50).expand(4, 50))
    assert len(orders.unique(dim=0)) == 4


def test_no_permutations_need_no_generator():
    assert label_permutations(torch.arange(5), 0, generator=None).shape == (0, 5)


def test_permutations_leave_the_global_generator_alone(generator):
    before = torch.random.get_rng_state()
    label_permutations(torch.arange(5), 3, generator=generator)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_null_summarises_what_the_estimate_gives_for_permuted_labels():
    activations, labels = torch.arange(8.0)[:, None], torch.arange(8)

    def estimate(points, permuted):
        return float((points[:, 0] * permuted).sum())

    null = permutation_null(estimate, activations, labels, permutations=11, generator=torch.Generator().manual_seed(5))
    orders = label_permutations(labels, 11, generator=torch.Generator().manual_seed(5))
    expected = [estimate(activations, order) for order in orders]
    assert list(null.values) == expected
    assert null.mean == pytest.approx(np.mean(expected))
    assert null.quantile95 == max(expected)


@pytest.mark.parametrize(("permutations", "above"), [(1, 0), (5, 0), (19, 0), (38, 0), (39, 1), (40, 1), (99, 4)])
def test_an_unrelated_value_exceeds_the_quantile_in_at_most_one_of_twenty_cases(permutations, above):
    """Of B + 1 exchangeable values each is as likely the largest, so it exceeds in (above + 1) / (B + 1) of cases."""
    null = null_from([float(value) for value in range(permutations)])
    assert sum(value > null.quantile95 for value in null.values) == above
    assert permutations < 19 or (above + 1) / (permutations + 1) <= 0.05


def test_a_null_needs_permutations_and_a_generator(generator):
    with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
        permutation_null(lambda *_: 0.0, torch.ones(2, 1), torch.arange(2), permutations=0, generator=generator)
    with pytest.raises(ValueError, match="null of 3 permutations needs a seeded"):
        label_permutations(torch.arange(2), 3, generator=None)


@pytest.mark.parametrize(
    ("value", "ceiling", "expected"),
    [(0.95, 1.0, False), (0.951, 1.0, True), (0.0, 0.0, True), (-0.5, 2.0, False), (9.0, None, False)],
)
def test_saturation_begins_above_95_percent_of_the_ceiling(value, ceiling, expected):
    assert saturated(value, ceiling) is expected


@pytest.mark.parametrize(("value", "expected"), [(0.2, True), (0.3, True), (0.31, False)])
def test_a_value_is_null_like_up_to_the_quantile(value, expected):
    assert null_like(value, Null(mean=0.1, quantile95=0.3, values=(0.1, 0.3))) is expected
