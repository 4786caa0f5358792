import math
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from infoplane.estimators import noisy_information, propagation
from infoplane.estimators.features import FeaturePieces, feature_pieces
from infoplane.estimators.propagation import centred_gram, gram_factor, log_ratios
from infoplane.estimators.row_products import SharedPieces


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_ratios(blocks) -> Tensor:
    """Of the first noise variance."""
    return torch.cat([ratios[0] for _, ratios in blocks])


def in_order(samples: int) -> Tensor:
    return torch.arange(samples)


def by_products(pieces: SharedPieces, noise_variances, generator, order):
    """As for layers that are wider than `NARROW`."""
    return propagation._by_products(pieces, pieces.row_products(order), noise_variances, generator)


def information(points: Tensor, noise_variance: float = 1.0, seed: int = 0):
    labels = torch.arange(len(points)) % 2
    return noisy_information(points, labels, noise_variance=noise_variance, generator=seeded(seed))


def far_pairs(features: int, distance: float, samples: int = 800) -> Tensor:
    """Two clusters at `distance`, float64, each of two points 2 apart, and many copies of each point."""
    points = torch.zeros(samples, features, dtype=torch.double)
    points[:, 0] = distance * (torch.arange(samples) % 2)
    points[:, -1] += 2.0 * (torch.arange(samples) // 2 % 2)
    return points


# two points at distance 2: 0.336831, and which cluster: ln 2
PAIRS_TRUTH = math.log(2) + 0.336831


@pytest.mark.parametrize(
    "way",
    [propagation._by_features, propagation._by_gram, propagation._by_differences, by_products],
    ids=lambda way: way.__name__,
)
@pytest.mark.parametrize("features", [5, 90])
def test_ratios_have_the_moments_of_a_propagated_sample(way, features):
    """For z ~ N(0, I), row i is normal with means -d_ij / 2s^2 and covariances (h_i - h_j).(h_i - h_k) / s^2."""
    points = torch.randn(6, features, generator=seeded(1), dtype=torch.double) * (2 / features) ** 0.5
    noise_variance, draws, generator = 0.7, 4000, seeded(2)
    given = SharedPieces(points), [noise_variance]
    ratios = torch.stack([all_ratios(way(*given, generator, in_order(6))) for _ in range(draws)]).double()
    differences = points[:, None] - points
    squared = differences.square().sum(dim=2)
    covariances = differences @ differences.transpose(1, 2) / noise_variance
    # Five standard errors: of a mean, sd / sqrt(draws); of a covariance, at most sqrt(2) var / sqrt(draws).
    largest = covariances.max().item()
    expected = -squared / (2 * noise_variance)
    torch.testing.assert_close(ratios.mean(dim=0), expected, rtol=0, atol=5 * (largest / draws) ** 0.5)
    centred = (ratios - ratios.mean(dim=0)).permute(1, 0, 2)
    observed = centred.transpose(1, 2) @ centred / draws
    torch.testing.assert_close(observed, covariances, rtol=0, atol=5 * largest * (2 / draws) ** 0.5)
    # Draws of different samples are independent.
    across = (centred[0].T @ centred[1]) / draws
    assert across.abs().max().item() < 5 * largest / draws**0.5


@pytest.mark.parametrize("samples", [5, 1300])
def test_blocks_cover_all_samples_in_order_and_a_sample_is_itself(samples, monkeypatch):
    monkeypatch.setattr(propagation, "BLOCK_BYTES", 8 * samples * 300)
    for features in (3, 1400):
        points = torch.randn(samples, features, generator=seeded(1))
        blocks = list(log_ratios(feature_pieces(points), [1.0], seeded(0), in_order(samples)))
        assert [row for rows, _ in blocks for row in range(rows.start, rows.stop)] == list(range(samples))
        assert all(ratios.shape == (rows.stop - rows.start, samples) for rows, (ratios,) in blocks)
        assert all_ratios(blocks).diagonal().abs().max().item() == 0


@pytest.mark.parametrize(("features", "chunk_bytes"), [(3, 2**27), (700, 2**27), (700, 8 * 700 * 97)])
def test_the_gram_matrix_is_that_of_centred_rows(features, chunk_bytes, monkeypatch):
    monkeypatch.setattr(
        "infoplane.estimators.features.CHUNK_BYTES", chunk_bytes
    )  # also several chunks, the last one short
    points = torch.randn(700, features, generator=seeded(1)) + 100  # more than one block of rows
    centred = points.double() - points.double().mean(dim=0)
    torch.testing.assert_close(centred_gram(feature_pieces(points)), centred @ centred.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rank", [0, 1, 40, 200])
def test_a_gram_matrix_of_any_rank_is_factored(rank):
    rows = torch.randn(200, rank, generator=seeded(1), dtype=torch.double)
    gram = rows @ rows.T
    for largest_jitter in (1.0, 0.0):  # with jitter; by eigenvalues where jitter is forbidden and plain fails
        factor = gram_factor(gram, largest_jitter=largest_jitter)
        torch.testing.assert_close(factor @ factor.T, gram, rtol=1e-9, atol=1e-9)


def test_jitter_stays_below_what_the_channel_can_bear(monkeypatch):
    tried = []
    refuse = torch.linalg.cholesky_ex

    def record(matrix):
        tried.append(matrix[0, 0].item() - 1.0)
        factor, _ = refuse(torch.eye(2, dtype=torch.double))
        return factor, torch.tensor(1)

    monkeypatch.setattr(torch.linalg, "cholesky_ex", record)
    gram_factor(torch.ones(2, 2, dtype=torch.double), largest_jitter=2e-13)
    assert tried == pytest.approx([0.0, 1e-14, 1e-13], abs=1e-15)


# traps: tight clusters far apart and far from the origin


@pytest.mark.parametrize("features", [2, 900])
@pytest.mark.parametrize("distance", [1e5, 3e7])
def test_tight_clusters_far_apart_keep_their_information(features, distance):
    points = far_pairs(features, distance)
    result = information(points)
    assert result.input.value == pytest.approx(PAIRS_TRUTH, abs=3 * result.input.error)
    assert result.input.error < 0.03


@pytest.mark.parametrize("features", [2, 900])
def test_clusters_far_from_the_origin_keep_their_information_without_the_slow_way(features, monkeypatch):
    monkeypatch.setattr(propagation, "_by_differences", None)
    points = far_pairs(features, 100.0) + 1e9
    result = information(points)
    assert result.input.value == pytest.approx(PAIRS_TRUTH, abs=3 * result.input.error)


@pytest.mark.parametrize("features", [2, 900])
def test_samples_are_propagated_with_noise_of_their_own(features):
    """One draw for all samples has the same mean and hides nothing in the stated error, which would be too small."""
    values, errors = [], []
    for seed in range(60):
        result = information(far_pairs(features, 0.0, samples=200), seed=seed)
        values.append(result.input.value)
        errors.append(result.input.error)
    spread, stated = torch.tensor(values).std().item(), sum(errors) / len(errors)
    assert stated == pytest.approx(spread, rel=0.28)  # three times 1 / sqrt(2 * 59)


# float32


@pytest.mark.parametrize("noise_variance", [0.02, 0.1, 1.0])
def test_float32_agrees_with_float64_on_the_same_noise(noise_variance, monkeypatch):
    labels = torch.arange(400) % 4
    points = torch.randn(400, 1000, generator=seeded(1)) / 30 + torch.randn(4, 1000, generator=seeded(2))[labels] / 20

    def values() -> list[float]:
        result = noisy_information(points, labels, noise_variance=noise_variance, generator=seeded(0), permutations=3)
        return [result.input.value, result.label.value, result.input_shortfall, *result.label.null.values]

    single = values()
    monkeypatch.setattr(propagation, "_harmless", lambda *_: False)
    assert single == pytest.approx(values(), abs=5e-5)


def test_float32_is_left_before_it_errs(monkeypatch):
    labels = torch.arange(400) % 4
    near = torch.randn(400, 3, generator=seeded(1)) @ torch.randn(3, 1000, generator=seeded(2)) / 55
    left, errors = [], []
    for size in (1, 10, 1000):  # how far the groups of near samples lie apart
        points = near + size * torch.randn(8, 1000, generator=seeded(3))[torch.arange(400) % 8] / 30
        precisely = Mock(wraps=propagation._precisely)
        with monkeypatch.context() as patch:
            patch.setattr(propagation, "_precisely", precisely)
            value = noisy_information(points, labels, noise_variance=0.1, generator=seeded(0)).input.value
        left.append(precisely.called)
        with monkeypatch.context() as patch:
            patch.setattr(propagation, "_harmless", lambda *_: False)
            expected = noisy_information(points, labels, noise_variance=0.1, generator=seeded(0)).input.value
        with monkeypatch.context() as patch:
            patch.setattr(propagation, "_harmless", lambda *_: True)
            careless = noisy_information(points, labels, noise_variance=0.1, generator=seeded(0)).input.value
        assert value == pytest.approx(expected, abs=5e-4)
        errors.append(abs(careless - expected))
    assert left == [False, True, True]
    assert errors[0] < 5e-5
    assert errors[-1] > 1e-2


def test_the_noise_of_a_sample_depends_on_neither_labels_nor_memory(monkeypatch):
    points = torch.randn(700, 400, generator=seeded(1)) * (3 / 400) ** 0.5
    whole = information(points)
    other = noisy_information(points, torch.arange(700) // 100, noise_variance=1.0, generator=seeded(0))
    assert other.input.value == pytest.approx(whole.input.value, abs=1e-5)
    monkeypatch.setattr("infoplane.estimators.row_products.STORAGE_BYTES", 2 * 700 * 700)  # rows in two groups
    assert information(points).input.value == pytest.approx(whole.input.value, abs=1e-5)


# sizes


def test_the_ways_agree_on_the_same_samples(monkeypatch):
    points = torch.randn(500, 450, generator=seeded(1), dtype=torch.double) * (3 / 450) ** 0.5
    direct = information(points)
    monkeypatch.setattr("infoplane.estimators.row_products.STORAGE_BYTES", 0)  # products are not kept
    padded = information(torch.cat([points, torch.zeros(500, 200, dtype=torch.double)], dim=1))  # read by Gram
    assert direct.input.value != padded.input.value
    tolerance = 3 * math.hypot(direct.input.error, padded.input.error)
    assert direct.input.value == pytest.approx(padded.input.value, abs=tolerance)
    assert direct.label.value == pytest.approx(
        padded.label.value, abs=3 * math.hypot(direct.label.error, padded.label.error)
    )


def test_many_features_and_repeated_rows_pass():
    points = torch.randn(300, 16384, generator=seeded(1)) * (2 / 16384) ** 0.5
    once, twice = information(points), information(points.repeat(2, 1))
    assert [once.input.ceiling, twice.input.ceiling] == pytest.approx([math.log(300)] * 2)
    # Copies change neither the mixture nor its information.
    assert once.input.value == pytest.approx(twice.input.value, abs=3 * math.hypot(once.input.error, twice.input.error))


def test_too_many_samples_of_too_many_features_are_refused():
    def sized(samples: int, features: int) -> FeaturePieces:
        return FeaturePieces(lambda columns: pytest.fail("read"), samples=samples, features=features, dtype=torch.float)

    rule = r"activations must have at most 20000 samples, or fewer features than samples, .* got 20001 samples"
    with pytest.raises(ValueError, match=rule):
        log_ratios(sized(20001, 20001), [1.0], seeded(0), in_order(20001))
    log_ratios(sized(20001, 20000), [1.0], seeded(0), in_order(20001))
    log_ratios(sized(20000, 20000), [1.0], seeded(0), in_order(20000))
