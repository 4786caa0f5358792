import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infoplane.estimators.distinct_rows import distinct_rows, multiplicity_entropy, pair_identities


def same_partition(identities: Tensor, keys: list[object]) -> bool:
    numbers: dict[object, int] = {}
    expected = [numbers.setdefault(key, len(numbers)) for key in keys]
    seen: dict[int, int] = {}
    return [seen.setdefault(identity, len(seen)) for identity in identities.tolist()] == expected


@given(st.lists(st.tuples(*[st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.5])] * 3), min_size=1, max_size=30))
def test_rows_share_an_identity_exactly_where_they_are_equal(rows):
    for dtype in (torch.float16, torch.float32, torch.float64):
        points = torch.tensor(rows, dtype=dtype)
        identities = distinct_rows(points, torch.zeros(len(rows), dtype=torch.int64))
        assert same_partition(identities, [tuple(value + 0.0 for value in row) for row in rows])


def test_only_suspects_of_the_same_number_are_compared():
    points = torch.tensor([[1.0], [1.0], [2.0]])
    assert same_partition(distinct_rows(points, torch.tensor([0, 1, 1])), [0, 1, 2])
    assert same_partition(distinct_rows(points, torch.tensor([4, 4, 4])), [0, 0, 1])


def test_float64_rows_that_differ_in_exponents_alone_stay_apart():
    # Their 64-bit patterns differ by multiples of 2**52: as whole words, sums modulo 2**64 would meet.
    points = torch.tensor(list(itertools.product([1.0, 2.0, 4.0], repeat=8)), dtype=torch.double)
    identities = distinct_rows(points, torch.zeros(len(points), dtype=torch.int64))
    assert len(identities.unique()) == 3**8


def test_pairs_are_equal_where_both_parts_are():
    first, second = torch.tensor([5, 5, -3, -3, 5]), torch.tensor([2**62, 0, 2**62, 0, 2**62])
    assert same_partition(pair_identities(first, second), [0, 1, 2, 3, 0])


@pytest.mark.parametrize(
    ("identities", "nats"),
    [([4, 4, 4], 0.0), ([1, 2, 3], math.log(3)), ([0, 0, 1, 2], 0.5 * math.log(2) + 0.5 * math.log(4))],
)
def test_multiplicity_entropy_of_known_counts(identities, nats):
    assert multiplicity_entropy(torch.tensor(identities)) == pytest.approx(nats)
