import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infoplane.estimators import binning_information, permutation_null


def entropy(keys: list[object]) -> float:
    return -sum(count / len(keys) * math.log(count / len(keys)) for count in Counter(keys).values())


def by_dictionary(points: Tensor, labels: Tensor, width: float) -> tuple[float, float, float]:
    """Input and label information and singleton fraction, from a dictionary of rows."""
    codes = [tuple(math.floor(value / width) for value in row) for row in points.tolist()]
    counts, classes = Counter(codes), labels.tolist()
    within = sum(
        classes.count(label)
        / len(classes)
        * entropy([code for code, y in zip(codes, classes, strict=True) if y == label])
        for label in set(classes)
    )
    return entropy(codes), entropy(codes) - within, sum(counts[code] == 1 for code in codes) / len(codes)


def assert_agrees(points: Tensor, labels: Tensor, width: float) -> None:
    result = binning_information(points, labels, bin_width=width)
    assert (result.input, result.label, result.singleton_fraction) == pytest.approx(
        by_dictionary(points, labels, width), abs=1e-9
    )


def test_known_cells_give_the_entropies_of_their_counts():
    points = torch.tensor([[0.1], [0.4], [0.6], [-0.1]])  # cells 0 0 1 -1
    result = binning_information(points, torch.tensor([0, 0, 1, 1]), bin_width=0.5)
    assert result.input == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert result.label == pytest.approx(math.log(2))
    assert result.singleton_fraction == 0.5
    assert result.input_ceiling == pytest.approx(math.log(4))
    assert result.label_ceiling == pytest.approx(math.log(2))


def test_a_single_class_and_a_single_sample_tell_nothing():
    points = torch.arange(6.0)[:, None]
    assert binning_information(points, torch.full((6,), 9), bin_width=0.5).label == 0.0
    single = binning_information(points[:1], torch.tensor([1]), bin_width=0.5)
    assert (single.input, single.label, single.input_ceiling, single.label_ceiling) == (0.0, 0.0, 0.0, 0.0)
    assert single.errors == {"input": 0.0, "label": 0.0}


def test_ceilings_count_equal_rows_and_not_equal_cells():
    points = torch.tensor([[0.1], [0.2], [0.2], [3.0]])
    result = binning_information(points, torch.arange(4), bin_width=0.5)
    assert result.input < result.input_ceiling == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))


@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 40),
    features=st.integers(1, 5),
    width=st.sampled_from([0.5, 0.25, 2.0, 0.1, 0.3, 1e-6]),
    scale=st.sampled_from([0.1, 1.0, 1e4]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_binning_agrees_with_a_dictionary_of_rows(seed, samples, features, width, scale, dtype):
    generator = torch.Generator().manual_seed(seed)
    points = (scale * torch.randn(samples, features, generator=generator)).to(dtype)
    points = points[torch.randint(samples, (samples,), generator=generator)]
    assert_agrees(points, torch.randint(3, (samples,), generator=generator), width)


def test_quotients_are_taken_in_float64():
    edges = (0.1 * torch.arange(1, 1001, dtype=torch.double)).float()[:, None]  # float32 lies on either side of edges
    assert_agrees(edges, torch.arange(1000) % 3, 0.1)


def test_a_negative_number_lies_in_a_negative_bin_however_small():
    assert_agrees(torch.tensor([[-1e-45], [0.0]]), torch.arange(2), 2.0)


def test_permuted_rows_are_different_cells():
    points = torch.tensor(list(itertools.permutations([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])))
    result = binning_information(points, torch.arange(len(points)) % 2, bin_width=0.5)
    assert result.singleton_fraction == 1.0
    assert result.input == pytest.approx(math.log(720))


def test_rows_that_differ_by_swapped_signs_are_different_cells():
    base = torch.ones(200, 200)
    base[torch.arange(200), torch.arange(200)] = 2.0  # one up here, one down there: equal sums
    base[torch.arange(200), torch.arange(200).roll(1)] = 0.0
    result = binning_information(base, torch.arange(200) % 2, bin_width=1.0)
    assert result.singleton_fraction == 1.0


def test_cells_that_differ_by_powers_of_two_stay_apart():
    rows = torch.tensor(list(itertools.product([0.0, 2.0**40, 2.0**50, 2.0**60], repeat=6)))
    result = binning_information(rows, torch.arange(len(rows)) % 2, bin_width=1.0)
    assert result.singleton_fraction == 1.0


def test_large_bin_numbers_are_exact():
    points = 2.0**50 + torch.tensor([[0.0], [0.25], [0.5], [0.75], [1.0]], dtype=torch.double)
    result = binning_information(points, torch.arange(5), bin_width=0.5)
    assert result.input == pytest.approx(entropy(["0", "0", "1", "1", "2"]))


def test_a_bin_number_beyond_62_bits_is_an_error():
    with pytest.raises(ValueError, match="bin_width 1e-12 is too fine for activations up to 1e\\+09"):
        binning_information(torch.tensor([[1e9], [0.0]]), torch.tensor([0, 1]), bin_width=1e-12)


def test_chunks_of_rows_change_nothing(generator):
    points = torch.randint(-2, 2, (300, 9000), generator=generator).float()[torch.arange(300) % 70]
    result = binning_information(points, torch.arange(300) % 3, bin_width=0.5)  # 300 x 9000 takes three steps
    assert result.input == pytest.approx(entropy([i % 70 for i in range(300)]))


def test_influence_terms_average_to_the_estimates_and_give_their_errors():
    draws = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (2000,), generator=generator)
        points = torch.randn(2000, 1, generator=generator) + labels[:, None]
        draws.append(binning_information(points, labels, bin_width=0.5))
    for name in ("input", "label"):
        assert draws[0].influences[name].mean().item() == getattr(draws[0], name)
        spread = np.std([getattr(draw, name) for draw in draws], ddof=1)
        # A spread over 60 draws is known to 9 %; three of these.
        assert np.mean([draw.errors[name] for draw in draws]) == pytest.approx(spread, rel=0.28), name


def test_the_null_of_the_same_pass_equals_the_general_way(generator):
    points = torch.randn(300, 2, generator=generator)
    labels = (points[:, 0] > 0).long()
    result = binning_information(
        points, labels, bin_width=0.5, permutations=6, generator=torch.Generator().manual_seed(3)
    )
    slow = permutation_null(
        lambda x, y: binning_information(x, y, bin_width=0.5).label,
        points,
        labels,
        permutations=6,
        generator=torch.Generator().manual_seed(3),
    )
    assert result.nulls["label"].values == pytest.approx(slow.values, abs=1e-12)
    assert result.label > slow.quantile95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bin_width": 0.0}, "bin_width must be positive and finite, got 0.0"),
        ({"bin_width": 0.5, "permutations": 2}, "needs a seeded torch.Generator"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        binning_information(torch.ones(2, 2), torch.tensor([0, 1]), **settings)


def test_infinite_activations_are_an_error():
    with pytest.raises(ValueError, match="activations must be finite: 1 of 2 samples"):
        binning_information(torch.tensor([[math.inf], [0.0]]), torch.tensor([0, 1]), bin_width=0.5)
