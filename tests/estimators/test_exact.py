"""Exact information of a discrete layer, against counting with dictionaries."""

import math
from collections import Counter, defaultdict

import pytest
import torch

from infoplane.estimators import binning_information, exact_information


def entropy(shares):
    return -sum(share * math.log(share) for share in shares if share > 0)


def by_dictionaries(rows, ones):
    """H(T) and I(T;Y), by counting."""
    number, cells, joint = len(rows), Counter(map(tuple, rows)), defaultdict(float)
    for row, one in zip(rows, ones, strict=True):
        joint[tuple(row), 1] += one / number
        joint[tuple(row), 0] += (1 - one) / number
    share = sum(ones) / number
    h_t, h_y = entropy([count / number for count in cells.values()]), entropy([share, 1 - share])
    return h_t, h_t + h_y - entropy(joint.values())


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_counting_by_dictionaries(seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 3, (200, 4), generator=generator)
    ones = torch.rand(200, generator=generator, dtype=torch.double)
    found = exact_information(rows.float() / 7, ones)
    assert [found.input.value, found.label.value] == pytest.approx(by_dictionaries(rows.tolist(), ones.tolist()))


def test_a_constant_layer_has_no_information():
    found = exact_information(torch.ones(8, 2), torch.linspace(0, 1, 8))
    assert [found.input.value, found.label.value] == pytest.approx([0, 0], abs=1e-12)


def test_a_layer_that_tells_all_inputs_apart_has_all_information():
    ones = torch.tensor([0.0, 1.0, 0.25, 0.5])
    found = exact_information(torch.arange(4.0)[:, None], ones)
    all_of_it = entropy([0.4375, 0.5625]) - (entropy([0.25, 0.75]) + math.log(2)) / 4
    assert [found.input.value, found.input.ceiling] == pytest.approx([math.log(4)] * 2)
    assert [found.label.value, found.label.ceiling] == pytest.approx([all_of_it] * 2)


def test_two_values_of_four_inputs():
    # T is the first of two bits and Y their AND: I(T;Y) = H(1/4) - H(1/2) / 2
    found = exact_information(torch.tensor([[0], [0], [1], [1]]), torch.tensor([0.0, 0, 0, 1]))
    assert found.input.value == pytest.approx(math.log(2))
    assert found.label.value == pytest.approx(entropy([0.25, 0.75]) - math.log(2) / 2)


def test_merged_values_have_no_more_information():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 16, (300, 1), generator=generator)
    ones = torch.rand(300, generator=generator)
    fine, coarse = exact_information(rows, ones), exact_information(rows // 4, ones)
    assert coarse.input.value < fine.input.value
    assert coarse.label.value < fine.label.value


def test_it_agrees_with_binning_where_labels_are_certain():
    generator = torch.Generator().manual_seed(0)
    outputs, labels = torch.randn(500, 2, generator=generator), torch.arange(500) % 2
    binned = binning_information(outputs, labels, bin_width=0.5)
    found = exact_information((outputs / 0.5).floor(), labels.float())
    assert [found.input.value, found.label.value] == pytest.approx([binned.input.value, binned.label.value])


@pytest.mark.parametrize(
    ("values", "ones", "message"),
    [
        (torch.ones(4), torch.zeros(4), r"values must be \(inputs, features\)"),
        (torch.ones(0, 2), torch.zeros(0), "at least one of each"),
        (torch.tensor([[math.nan]]), torch.zeros(1), "values must be finite"),
        (torch.ones(4, 1), torch.zeros(3), r"label_probabilities must be \(4,\)"),
        (torch.ones(2, 1), torch.tensor([0.5, 1.5]), r"label_probabilities must lie in \[0, 1\]"),
    ],
)
def test_other_arguments_are_refused(values, ones, message):
    with pytest.raises(ValueError, match=message):
        exact_information(values, ones)
