import pytest
import torch
from torch import Tensor

from infoplane.estimators import kde_information, linear_cka, noisy_sweep, row_products
from infoplane.estimators.row_products import SharedPieces, products_of_rows


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(samples: int = 700, features: int = 300, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.randint(4, (samples,), generator=seeded(seed))
    points = torch.randn(samples, features, generator=seeded(seed + 1)) / features**0.5
    return points + 0.1 * torch.randn(4, features, generator=seeded(7))[labels], labels


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """One entry for each time that products of rows are computed."""
    calls: list[int] = []

    def counted(pieces, order, blocks, pairs):
        calls.append(len(pairs))
        return products_of_rows(pieces, order, blocks, pairs)

    monkeypatch.setattr(row_products, "products_of_rows", counted)
    monkeypatch.setattr("infoplane.estimators.pairwise.products_of_rows", counted)
    return calls


def test_products_are_those_of_centred_rows():
    points, _ = clusters(600)
    order = torch.randperm(600, generator=seeded(3))
    products = SharedPieces(points + 5).row_products(order)
    centred = (points - points.mean(dim=0)).double()[order]
    whole = torch.cat([products.rows(block) for block in range(len(products.blocks))])
    torch.testing.assert_close(whole.double(), centred @ centred.T, atol=1e-5, rtol=0)
    torch.testing.assert_close(products.norms, centred.square().sum(dim=1), atol=1e-4, rtol=0)
    torch.testing.assert_close(products.row_sums(), whole.double().sum(dim=1), atol=1e-4, rtol=0)


def test_products_are_computed_once_for_all_estimators(computed):
    points, labels = clusters()
    one, other = SharedPieces(points), SharedPieces(points + 0.01 * torch.randn(points.shape, generator=seeded(5)))
    for pieces in (one, other):
        noisy_sweep(pieces, labels, noise_variances=[0.1, 0.01], generator=seeded(0))
        kde_information(pieces, labels, noise_variance=0.1)
        kde_information(pieces, labels, noise_variance=0.3)
    linear_cka(one, other)
    assert computed == [3, 3]


def test_shared_products_change_no_bound():
    points, labels = clusters()
    settings = {"noise_variance": 0.01, "permutations": 3}
    alone = kde_information(points, labels, generator=seeded(1), **settings)
    shared = kde_information(SharedPieces(points), labels, generator=seeded(1), **settings)
    for one, two in zip(alone.estimates(), shared.estimates(), strict=True):
        assert torch.equal(one.influences, two.influences)
        assert one.null == two.null


@pytest.mark.parametrize("offset", [0.0, 30.0, 1e5])  # a mean in float32 is off by more, the farther away
@pytest.mark.parametrize("features", [300, 900])  # fewer than samples, and more
def test_alignment_from_shared_products_is_that_from_float64(features, offset):
    points, labels = clusters(features=features)
    points += offset
    noisy = points + 0.03 * torch.randn(points.shape, generator=seeded(5))
    pieces = SharedPieces(points), SharedPieces(noisy)
    for one in pieces:
        kde_information(one, labels, noise_variance=0.1)
    assert pieces[0].kept_with(pieces[1]) is not None
    assert linear_cka(*pieces) == pytest.approx(linear_cka(points, noisy), abs=1e-6)


def test_alignment_needs_no_products():
    points, _ = clusters(100)
    noisy = points + 0.03 * torch.randn(points.shape, generator=seeded(5))
    assert linear_cka(SharedPieces(points), SharedPieces(noisy)) == linear_cka(points, noisy)


def test_products_that_do_not_fit_or_were_forgotten_are_not_kept(monkeypatch):
    points, labels = clusters(100)
    pieces = SharedPieces(points)
    kde_information(pieces, labels, noise_variance=0.1)
    assert pieces.kept_with(pieces) is not None
    pieces.forget_products()
    assert pieces.kept_with(pieces) is None
    monkeypatch.setattr(row_products, "STORAGE_BYTES", 2 * 100 * 100 - 1)
    assert len(pieces.row_products(torch.arange(100)).products) == 1
    kde_information(pieces, labels, noise_variance=0.1)
    assert pieces.kept_with(pieces) is None


def test_activations_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="activations must be finite: 1 of 2 samples"):
        SharedPieces(torch.tensor([[1.0], [float("nan")]]))
