import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from infoplane.estimators import kde_information, pairwise, row_products
from infoplane.estimators.features import feature_pieces
from infoplane.estimators.kde import kde_sweep
from infoplane.estimators.pairwise import KernelBlocks

NOISE = 0.1
WIDE = 5e-5  # nats; a fifth of the rounding that the engine may at the worst allow


def blocks_of(points: Tensor, noise_variance: float = NOISE) -> KernelBlocks:
    """Blocks in the given order after one pass, so that they know what had to be computed again."""
    blocks = KernelBlocks(feature_pieces(points), torch.arange(len(points)), [noise_variance])
    for _ in blocks:
        pass
    return blocks


def tight(samples: int, features: int, generator: torch.Generator) -> Tensor:
    """Samples whose kernels matter in any dimension: expected squared distances of 4.5 noise variances."""
    return math.sqrt(2.25 * NOISE / features) * torch.randn(samples, features, generator=generator)


@pytest.mark.parametrize(("features", "mean"), [(16_384, 1.0), (65_536, 1.0), (150_528, 1.0), (150_528, 5.0)])
def test_a_large_mean_costs_no_precision(dense_kde, kde_values, generator, features, mean):
    points, labels = mean + tight(60, features, generator), torch.arange(60) % 3
    assert kde_values(points, labels, NOISE) == pytest.approx(dense_kde(points, labels, NOISE), abs=WIDE)
    assert blocks_of(points).recomputed == 0


@pytest.mark.parametrize("spread", [5.0, 0.1])
def test_far_class_means_cost_no_precision(dense_kde, kde_values, generator, monkeypatch, spread):
    monkeypatch.setattr(row_products, "BLOCK", 20)  # some blocks within a class, some between classes
    labels = torch.arange(60) % 5
    points = tight(60, 65_536, generator) + spread * torch.randn(5, 65_536, generator=generator)[labels]
    permuted = labels[torch.randperm(60, generator=generator)]
    for y in (labels, permuted):
        assert kde_values(points, y, NOISE) == pytest.approx(dense_kde(points, y, NOISE), abs=WIDE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", [20, 300, 4000])
def test_tight_clusters_far_apart_cost_no_precision(dense_kde, kde_values, generator, monkeypatch, features, dtype):
    monkeypatch.setattr(row_products, "BLOCK", 100)
    clusters = torch.randint(10, (300,), generator=generator)
    centres = 200 * torch.rand(10, features, generator=generator) - 100
    points = (centres[clusters].to(dtype) + 0.005 * torch.randn(300, features, generator=generator)).to(dtype)
    for labels in (clusters, torch.randint(10, (300,), generator=generator)):  # also unrelated to the clusters
        assert kde_values(points, labels, NOISE) == pytest.approx(dense_kde(points, labels, NOISE), abs=WIDE)


def test_the_last_resort_holds_where_float64_products_fail(dense_kde, kde_values, generator):
    labels = torch.arange(90) % 3
    points = 1e9 * torch.randn(3, 300, generator=generator).double()[labels]
    points += 0.02 * torch.randn(90, 300, generator=generator)
    unrelated = torch.arange(90) // 45
    for y in (labels, unrelated):
        assert kde_values(points, y, NOISE) == pytest.approx(dense_kde(points, y, NOISE), abs=WIDE)


@pytest.mark.parametrize("scale", [1e30, 1e200])
def test_numbers_whose_squares_overflow_still_give_log_n(generator, scale):
    points = scale * torch.randn(30, 300, generator=generator, dtype=torch.double)
    points = torch.cat([points, points[:10]])
    information = kde_information(points, torch.arange(40) % 4, noise_variance=NOISE)
    assert information.input_lower.value == pytest.approx(information.input_lower.ceiling, abs=1e-6)
    assert information.input_lower.ceiling == pytest.approx(1 / 2 * math.log(20) + 1 / 2 * math.log(40))


def convolutions(images: Tensor) -> list[Tensor]:
    """The outputs of the two convolutions of an untrained LeNet-5, `(samples, 3456)` and `(samples, 1024)`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
    with torch.no_grad():
        one = first(images)
        two = second(F.max_pool2d(one.relu(), 2))
    return [one.flatten(1), two.flatten(1)]


# At 0.1 the narrower layer saturates; at 10 every kernel matters. Scaled by 3: activations of a trained network.
@pytest.mark.parametrize(("scale", "noise_variance"), [(1.0, 0.1), (1.0, 1.0), (1.0, 10.0), (3.0, 0.1), (3.0, 1.0)])
def test_ordinary_layers_stay_in_float32_and_agree_with_float64(dense_kde, kde_values, scale, noise_variance):
    digits = load_digits()
    images = F.interpolate(torch.tensor(digits.images[:600, None] / 16, dtype=torch.float32), size=28, mode="bilinear")
    labels = torch.tensor(digits.target[:600])
    for layer in convolutions(images):
        expected = dense_kde(scale * layer, labels, noise_variance)
        assert kde_values(scale * layer, labels, noise_variance) == pytest.approx(expected, abs=WIDE)
        assert blocks_of(scale * layer, noise_variance).recomputed == 0


def test_float32_is_left_before_it_errs(generator, monkeypatch, dense_kde, kde_values):
    labels = torch.arange(400) % 4
    near = torch.randn(400, 3, generator=generator) @ torch.randn(3, 1000, generator=generator) / 55
    left, errors = [], []
    for size in (1, 10, 100, 1000):  # how far the groups of near samples lie apart
        points = near + size * torch.randn(8, 1000, generator=generator)[torch.arange(400) % 8] / 30
        expected = dense_kde(points, labels, NOISE)
        assert kde_values(points, labels, NOISE) == pytest.approx(expected, abs=WIDE)
        left.append(blocks_of(points).recomputed > 0)
        with monkeypatch.context() as patch:  # what float32 gives when nobody asks whether it may
            patch.setattr(pairwise, "_harmless", lambda *_, **__: True)
            errors.append(abs(kde_values(points, labels, NOISE)["input_upper"] - expected["input_upper"]))
    assert left == [False, True, True, True]
    assert errors[0] < WIDE
    assert errors[-1] > 1e-2


def test_a_block_is_computed_again_if_any_noise_of_a_sweep_needs_it(generator, dense_kde):
    labels = torch.arange(200) % 4
    points = tight(200, 1000, generator) + 50 * torch.randn(4, 1000, generator=generator)[labels]
    for variances in ([NOISE, 1e8], [1e8, NOISE]):  # at the larger alone float32 would do
        for variance, result in zip(variances, kde_sweep(points, labels, noise_variances=variances), strict=True):
            expected = dense_kde(points, labels, variance)
            assert result.input_upper.value == pytest.approx(expected["input_upper"], abs=WIDE)
            assert result.label_lower.value == pytest.approx(expected["label_lower"], abs=WIDE)


def test_a_sweep_computes_nothing_again_where_each_noise_alone_would_not(generator):
    points = torch.randn(100, 1000, generator=generator)  # far at the smaller noise, all alike at the larger
    blocks = KernelBlocks(feature_pieces(points), torch.arange(100), [NOISE, 1000.0])
    for _ in blocks:
        pass
    assert blocks.recomputed == 0


def test_blocks_cover_the_upper_triangle_with_the_kernels_of_all_pairs(generator):
    points = torch.randn(1300, 4, generator=generator, dtype=torch.double)
    order = torch.randperm(1300, generator=generator)
    whole = torch.zeros(1300, 1300)
    for rows, columns, (kernel,) in KernelBlocks(feature_pieces(points), order, [NOISE]):
        whole[rows, columns] = kernel
    expected = (-torch.cdist(points[order], points[order]).square() / (8 * NOISE)).exp().float()
    expected.fill_diagonal_(1)
    upper = torch.ones_like(expected).triu() == 1
    torch.testing.assert_close(whole[upper], expected[upper], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("features", [20, 300])
def test_kernels_never_exceed_one(generator, features):
    points = torch.randn(2, features, generator=generator)[torch.randint(2, (700,), generator=generator)]
    for _, _, (kernel,) in KernelBlocks(feature_pieces(points), torch.arange(700), [1.0]):  # rounding goes both ways
        assert 0 < kernel.min() <= kernel.max() <= 1


def test_kernels_of_both_kinds_hold_no_denormal_numbers():
    exponents = torch.linspace(0, 200, 4001)[None]
    similar = pairwise._kernel(exponents, 1.0, diagonal=False)
    for kernel in (similar, pairwise.fourth_power(similar)):
        assert kernel.min() >= torch.finfo(torch.float32).tiny


def test_a_far_origin_alone_needs_no_last_resort(generator, monkeypatch, dense_kde, kde_values):
    points = 1e7 + torch.randn(80, 5, generator=generator, dtype=torch.double)
    labels = torch.arange(80) % 2
    monkeypatch.setattr(KernelBlocks, "_differences", None)
    assert kde_values(points, labels, NOISE) == pytest.approx(dense_kde(points, labels, NOISE), abs=WIDE)


@pytest.mark.parametrize("features", [20, 300])
def test_results_without_room_for_the_triangle_are_the_same(generator, monkeypatch, features):
    points = torch.randn(1500, features, generator=generator) / features**0.5
    labels = torch.randint(3, (1500,), generator=generator)
    stored = kde_information(points, labels, noise_variance=NOISE)
    monkeypatch.setattr(row_products, "STORAGE_BYTES", 4 * 1500 * 600)
    monkeypatch.setattr("infoplane.estimators.features.CHUNK_BYTES", 4 * 1500 * 70)
    streamed = kde_information(points, labels, noise_variance=NOISE)
    for one, other in zip(streamed.estimates(), stored.estimates(), strict=True):
        torch.testing.assert_close(one.influences, other.influences, atol=1e-5, rtol=0)


def test_kernels_are_kept_only_where_the_triangle_fits(generator, monkeypatch):
    points = torch.randn(100, 5, generator=generator)
    assert blocks_of(points)._stored
    monkeypatch.setattr(row_products, "STORAGE_BYTES", 4 * 100**2 - 1)
    assert not blocks_of(points)._stored
