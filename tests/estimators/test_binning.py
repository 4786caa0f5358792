import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from torch import Tensor

from infoplane.estimators import BinningInformation, binning_information, permutation_null
from infoplane.estimators.bins import EqualBins, LayerQuantiles, UnitQuantiles


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
    assert (result.input.value, result.label.value, result.singleton_fraction) == pytest.approx(
        by_dictionary(points, labels, width), abs=1e-9
    )


def test_known_cells_give_the_entropies_of_their_counts():
    points = torch.tensor([[0.1], [0.4], [0.6], [-0.1]])  # cells 0 0 1 -1
    result = binning_information(points, torch.tensor([0, 0, 1, 1]), bin_width=0.5)
    assert result.input.value == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert result.label.value == pytest.approx(math.log(2))
    assert result.singleton_fraction == 0.5
    assert result.input.ceiling == pytest.approx(math.log(4))
    assert result.label.ceiling == pytest.approx(math.log(2))


def test_a_single_class_and_a_single_sample_tell_nothing():
    points = torch.arange(6.0)[:, None]
    assert binning_information(points, torch.full((6,), 9), bin_width=0.5).label.value == 0.0
    single = binning_information(points[:1], torch.tensor([1]), bin_width=0.5)
    assert (single.input.value, single.label.value, single.input.ceiling, single.label.ceiling) == (0.0, 0.0, 0.0, 0.0)
    assert (single.input.error, single.label.error) == (0.0, 0.0)


def test_ceilings_count_equal_rows_and_not_equal_cells():
    points = torch.tensor([[0.1], [0.2], [0.2], [3.0]])
    result = binning_information(points, torch.arange(4), bin_width=0.5)
    assert result.input.value < result.input.ceiling == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))


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
    assert result.input.value == pytest.approx(math.log(720))


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
    assert result.input.value == pytest.approx(entropy(["0", "0", "1", "1", "2"]))


def test_a_bin_number_beyond_62_bits_is_an_error():
    with pytest.raises(ValueError, match="bin_width 1e-12 is too fine for activations up to 1e\\+09"):
        binning_information(torch.tensor([[1e9], [0.0]]), torch.tensor([0, 1]), bin_width=1e-12)


def test_chunks_of_rows_change_nothing(generator):
    points = torch.randint(-2, 2, (300, 9000), generator=generator).float()[torch.arange(300) % 70]
    result = binning_information(points, torch.arange(300) % 3, bin_width=0.5)  # 300 x 9000 takes three steps
    assert result.input.value == pytest.approx(entropy([i % 70 for i in range(300)]))


def test_influence_terms_average_to_the_estimates_and_give_their_errors():
    draws = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (2000,), generator=generator)
        points = torch.randn(2000, 1, generator=generator) + labels[:, None]
        draws.append(binning_information(points, labels, bin_width=0.5))
    for name in ("input", "label"):
        assert getattr(draws[0], name).influences.mean().item() == getattr(draws[0], name).value
        spread = np.std([getattr(draw, name).value for draw in draws], ddof=1)
        # A spread over 60 draws is known to 9 %; three of these.
        assert np.mean([getattr(draw, name).error for draw in draws]) == pytest.approx(spread, rel=0.28), name


def test_the_null_of_the_same_pass_equals_the_general_way(generator):
    points = torch.randn(300, 2, generator=generator)
    labels = (points[:, 0] > 0).long()
    result = binning_information(
        points, labels, bin_width=0.5, permutations=6, generator=torch.Generator().manual_seed(3)
    )
    slow = permutation_null(
        lambda x, y: binning_information(x, y, bin_width=0.5).label.value,
        points,
        labels,
        permutations=6,
        generator=torch.Generator().manual_seed(3),
    )
    assert result.label.null.values == pytest.approx(slow.values, abs=1e-12)
    assert result.label.value > slow.quantile95


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


# policies


def numbers_of(bins, points: Tensor) -> list[list[int]]:
    """Bin numbers of a policy, row by row."""
    return bins.reader(points)(slice(0, len(points))).tolist()


def assert_cells(result: BinningInformation, codes: list[tuple[int, ...]]) -> None:
    assert result.input.value == pytest.approx(entropy(codes), abs=1e-9)
    assert result.singleton_fraction == sum(codes.count(code) == 1 for code in codes) / len(codes)


def test_equal_bins_take_values_outside_into_the_end_bins():
    points = torch.tensor([[-1e30, -1.0, -0.75, -0.5, -0.01, 0.0, 0.49, 0.5, 0.99, 1.0, 1.01, 1e30]]).T
    expected = [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3]
    assert numbers_of(EqualBins(4), points) == [[number] for number in expected]
    assert_cells(binning_information(points, torch.zeros(12).long(), bins=EqualBins(4)), expected)
    assert (EqualBins().count, EqualBins().lower, EqualBins().upper) == (30, -1.0, 1.0)
    assert numbers_of(EqualBins(5, 0.0, 10.0), torch.tensor([[3.9, 4.0]])) == [[1, 2]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_equal_bins_agree_with_digitize(dtype, generator):
    points = (0.7 * torch.randn(200, 3, generator=generator)).to(dtype)
    edges = np.linspace(-1, 1, 31)[1:-1]
    assert numbers_of(EqualBins(30), points) == np.digitize(points.double().numpy(), edges).tolist()


def test_quantiles_of_a_few_known_values():
    points = torch.tensor([[5.0, 0.0], [1.0, 0.0], [4.0, 0.0], [2.0, 3.0], [3.0, 0.0], [6.0, 9.0]])
    # First unit: edges 3 and 5. Second: 0 and 3, and nothing lies below 0; with four bins 0, 0 and 3.
    assert numbers_of(UnitQuantiles(3), points) == [[2, 1], [0, 1], [1, 1], [0, 2], [1, 1], [2, 2]]
    assert [row[1] for row in numbers_of(UnitQuantiles(4), points)] == [2, 2, 2, 3, 2, 3]
    # All twelve in order: 0 0 0 0 | 1 2 3 3 | 4 5 6 9.
    assert numbers_of(LayerQuantiles(3), points) == [[2, 0], [1, 0], [2, 0], [1, 1], [1, 0], [2, 2]]


@pytest.mark.parametrize("count", [2, 8, 64, 512])  # numbers of the last do not fit a byte
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_quantiles_agree_with_numpy(count, dtype, generator):
    points = torch.randn(700, 3, generator=generator).relu().to(dtype) * torch.tensor([1, 50, -3]).to(dtype)
    array = points.double().numpy()
    shares = np.arange(1, count) / count  # exact in binary

    def digitized(values: np.ndarray, pool: np.ndarray) -> np.ndarray:
        return np.digitize(values, np.quantile(pool, shares, method="higher"))

    by_unit = np.stack([digitized(unit, unit) for unit in array.T], axis=1)
    assert numbers_of(UnitQuantiles(count), points) == by_unit.tolist()
    assert numbers_of(LayerQuantiles(count), points) == digitized(array, array.ravel()).tolist()
    labels = torch.arange(700) % 3
    for bins, numbers in ((UnitQuantiles(count), by_unit), (LayerQuantiles(count), digitized(array, array.ravel()))):
        assert_cells(binning_information(points, labels, bins=bins), [tuple(row) for row in numbers.tolist()])


@pytest.mark.parametrize("count", [3, 7, 30])
def test_quantile_bins_hold_equally_many_of_different_values(count, generator):
    points = torch.randperm(30 * 7 * 2, generator=generator)[:, None].double()
    numbers = [row[0] for row in numbers_of(UnitQuantiles(count), points)]
    assert sorted(Counter(numbers).items()) == [(number, 420 // count) for number in range(count)]
    assert numbers_of(LayerQuantiles(count), points) == [[number] for number in numbers]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_equal_activations_share_a_bin_and_the_rest_is_still_divided(share, generator):
    points = torch.randn(1000, 4, generator=generator)
    points[torch.rand(1000, 4, generator=generator) < share] = 0.0
    for bins in (UnitQuantiles(30), LayerQuantiles(30)):
        numbers = torch.tensor(numbers_of(bins, points))
        assert all(len(numbers[:, unit][points[:, unit] == 0].unique()) == 1 for unit in range(4))
        assert len(numbers.unique()) >= 30 * (1 - share)  # no bin is lost but those of the coinciding edges
        assert len(numbers.unique()) <= 30 * (1 - share) + 3


def test_unit_quantiles_ignore_increasing_maps_of_each_unit(generator):
    points, labels = torch.randn(300, 3, generator=generator, dtype=torch.double), torch.arange(300) % 4
    mapped = torch.stack([points[:, 0].exp(), 1e6 * points[:, 1] ** 3, torch.tanh(points[:, 2]) - 5], dim=1)
    before, after = (binning_information(part, labels, bins=UnitQuantiles(4)) for part in (points, mapped))
    assert (before.input.value, before.label.value) == (after.input.value, after.label.value)
    assert before.input.value != binning_information(mapped, labels, bins=LayerQuantiles(4)).input.value


def test_quantiles_tell_apart_what_only_float64_does():
    points = (1 + 1e-12 * torch.arange(8, dtype=torch.double))[:, None]
    for bins in (UnitQuantiles(4), LayerQuantiles(4)):
        assert numbers_of(bins, points) == [[number] for number in (0, 0, 1, 1, 2, 2, 3, 3)]


def test_units_are_numbered_in_chunks(monkeypatch, generator):
    points = torch.randn(100, 23, generator=generator)
    whole = numbers_of(UnitQuantiles(5), points)
    monkeypatch.setattr("infoplane.estimators.bins.CHUNK", 100 * 4)
    assert numbers_of(UnitQuantiles(5), points) == whole


def test_a_policy_has_its_null_too(generator):
    points = torch.randn(300, 1, generator=generator)
    labels = (points[:, 0] > 0).long()
    result = binning_information(points, labels, bins=UnitQuantiles(4), permutations=20, generator=generator)
    assert result.label.value == pytest.approx(math.log(2), abs=0.05)
    assert result.label.null.mean < 0.05


# bias


def test_corrections_of_known_counts():
    points, labels = torch.tensor([[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]]), torch.tensor([0, 0, 0, 1, 1, 1])
    result = binning_information(points, labels, bin_width=1.0)
    assert result.input_correction == pytest.approx((3 - 1) / 12)
    assert result.label_correction == pytest.approx((3 + 2 - 4 - 1) / 12)
    crossed = binning_information(points.repeat(2, 1), torch.arange(12) // 6, bin_width=1.0)
    assert crossed.label_correction == pytest.approx(-(3 - 1) * (2 - 1) / 24)


def test_the_input_correction_removes_most_of_the_known_bias():
    cells, samples = 50, 200
    # Of the plug-in estimate, from the binomial counts of a cell.
    counts = np.arange(1, samples + 1)
    expected = -cells * (binom.pmf(counts, samples, 1 / cells) * counts / samples * np.log(counts / samples)).sum()
    occupied = cells * (1 - (1 - 1 / cells) ** samples)
    draws = []
    for seed in range(100):
        points = torch.randint(cells, (samples, 1), generator=torch.Generator().manual_seed(seed)).float()
        draws.append(binning_information(points, torch.arange(samples) % 2, bin_width=1.0))
    # Spread over draws is 0.026: three standard errors of the mean.
    assert np.mean([draw.input.value for draw in draws]) == pytest.approx(expected, abs=0.008)
    corrected = np.mean([draw.input.value + draw.input_correction for draw in draws])
    assert corrected == pytest.approx(expected + (occupied - 1) / (2 * samples), abs=0.008)
    assert abs(corrected - math.log(cells)) < 0.15 * abs(expected - math.log(cells))
    assert not any(draw.input.undersampled or draw.label.undersampled for draw in draws)


def test_the_label_correction_leaves_nothing_of_independent_labels():
    draws = []
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        points = torch.randint(6, (500, 1), generator=generator).float()
        draws.append(binning_information(points, torch.randint(4, (500,), generator=generator), bin_width=1.0))
    # 2 N I is about chi-square with 15 degrees of freedom: mean 0.015, spread 0.0055, of the mean of 100 0.00055.
    assert np.mean([draw.label.value for draw in draws]) == pytest.approx(0.015, abs=0.002)
    assert np.mean([draw.label.value + draw.label_correction for draw in draws]) == pytest.approx(0, abs=0.002)


def test_corrections_are_unreliable_once_most_samples_are_alone():
    points = torch.tensor([[0.0], [0.0], [2.0], [3.0]])  # half are alone
    for one in binning_information(points, torch.arange(4) % 2, bin_width=1.0).estimates():
        assert one.undersampled is False
    for one in binning_information(points[1:], torch.arange(3) % 2, bin_width=1.0).estimates():
        assert one.undersampled is True


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {}, "give either bin_width or bins, got bin_width=None and bins=None"),
        (
            lambda: {"bin_width": 0.5, "bins": EqualBins()},
            r"give either bin_width or bins, got bin_width=0.5 and bins=Eq",
        ),
        (lambda: {"bins": EqualBins(1)}, "count must be at least 2, got 1"),
        (lambda: {"bins": UnitQuantiles(0)}, "count must be at least 2, got 0"),
        (lambda: {"bins": LayerQuantiles(1)}, "count must be at least 2, got 1"),
        (lambda: {"bins": EqualBins(3, 1.0, 1.0)}, r"upper must lie above lower, both finite, got \[1.0, 1.0\]"),
        (lambda: {"bins": EqualBins(3, 0.0, math.inf)}, r"both finite, got \[0.0, inf\]"),
        (lambda: {"bins": EqualBins(3, math.nan, 1.0)}, r"both finite, got \[nan, 1.0\]"),
    ],
)
def test_bad_policies_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        binning_information(torch.ones(2, 2), torch.tensor([0, 1]), **make())
