import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from infoplane.estimators import (
    EqualBins,
    activation_norm,
    binning_information,
    class_clustering_index,
    noisy_information,
)
from infoplane.estimators.features import FeaturePieces, feature_pieces, row_identities
from infoplane.estimators.kde import kde_information, kde_sweep
from infoplane.estimators.relative_noise import relative_noise_variance

CHUNK = "infoplane.estimators.features.CHUNK_BYTES"


@dataclass
class Reader:
    """Hands out columns of a tensor and remembers which."""

    whole: Tensor
    asked: list[slice] = field(default_factory=list)

    def __call__(self, columns: slice) -> Tensor:
        self.asked.append(columns)
        return self.whole[:, columns].clone()

    @property
    def pieces(self) -> FeaturePieces:
        samples, features = self.whole.shape
        return FeaturePieces(self, samples=samples, features=features, dtype=self.whole.dtype)

    @property
    def widest(self) -> int:
        return max(columns.stop - columns.start for columns in self.asked)

    @property
    def passes(self) -> float:
        """How often all features have been read."""
        return sum(columns.stop - columns.start for columns in self.asked) / self.whole.shape[1]


def layer(samples: int, features: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(samples, features, generator=generator, dtype=torch.double) / features**0.5
    return points.to(dtype), torch.randint(3, (samples,), generator=generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


# the same numbers, and no more than a piece at a time


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("features", [40, 900])  # read by float64 products, and by float32 ones
def test_kde_of_pieces_is_that_of_the_tensor(monkeypatch, features, dtype):
    points, labels = layer(300, features, dtype)
    monkeypatch.setattr(CHUNK, 4 * 300 * 130)
    reader = Reader(points)
    settings = {"noise_variances": [0.1, 0.7], "permutations": 3}
    whole = kde_sweep(points, labels, generator=seeded(), **settings)
    for of_pieces, of_tensor in zip(
        kde_sweep(reader.pieces, labels, generator=seeded(), **settings), whole, strict=True
    ):
        for one, other in zip(of_pieces.estimates(), of_tensor.estimates(), strict=True):
            assert one == other
            assert torch.equal(one.influences, other.influences)
    assert reader.widest <= 130
    # Once for the distances; the first piece again, to see that all rows differ.
    assert reader.passes <= 1 + 130 / features + 1e-9


@pytest.mark.parametrize("features", [20, 299, 900])  # narrow, and with products that fit
def test_noisy_information_of_pieces_is_that_of_the_tensor(monkeypatch, features):
    points, labels = layer(300, features)
    monkeypatch.setattr(CHUNK, 8 * 300 * 130)
    reader = Reader(points)
    whole = noisy_information(points, labels, noise_variance=0.1, generator=seeded(), permutations=2)
    pieces = noisy_information(reader.pieces, labels, noise_variance=0.1, generator=seeded(), permutations=2)
    assert pieces.estimates() == whole.estimates()
    assert reader.widest <= 130 * 2  # rows are compared in float32
    assert reader.passes <= 2 + max(1, 260 / features) + 1e-9  # and the rows are compared


@pytest.mark.parametrize(("distance", "ways"), [(0.1, 1), (100.0, 2), (1e9, 3)])
def test_blocks_computed_again_share_the_reading(monkeypatch, distance, ways):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 4
    points = distance * torch.randn(4, 1000, generator=generator).double()[labels]
    points += 0.01 * torch.randn(200, 1000, generator=generator)
    monkeypatch.setattr("infoplane.estimators.row_products.BLOCK", 20)  # classes of 50 share blocks
    monkeypatch.setattr(CHUNK, 8 * 200 * 100)
    reader = Reader(points)
    kde_information(reader.pieces, labels, noise_variance=0.1)
    # By float32 products, float64 products and differences as needed; and the first piece, for the rows.
    assert reader.passes == pytest.approx(ways + 0.1)
    assert reader.widest == 100


def test_an_array_on_disk_is_measured_without_loading_it(tmp_path):
    points, labels = layer(150, 20_000)
    np.save(tmp_path / "layer.npy", points.numpy())
    array = np.load(tmp_path / "layer.npy", mmap_mode="r")
    assert isinstance(array, np.memmap)
    widths = []

    def read(columns: slice) -> Tensor:
        widths.append(columns.stop - columns.start)
        return torch.tensor(array[:, columns])

    pieces = FeaturePieces(read, samples=150, features=20_000, dtype=torch.float32)
    on_disk = kde_information(pieces, labels, noise_variance=0.1)
    assert on_disk.input_upper == kde_information(points, labels, noise_variance=0.1).input_upper
    noisy = noisy_information(pieces, labels, noise_variance=0.1, generator=seeded())
    assert noisy.input == noisy_information(points, labels, noise_variance=0.1, generator=seeded()).input
    assert relative_noise_variance(pieces, 0.1) == relative_noise_variance(points, 0.1)
    assert max(widths) <= 4096


# rows


def test_rows_that_differ_only_late_are_distinct_and_equal_ones_are_found():
    points = torch.zeros(6, 5000)
    points[2, 4999], points[3, 4999], points[4, 0], points[5, 0] = 1.0, 1.0, -0.0, 2.0
    identities = row_identities(feature_pieces(points)).tolist()
    assert len(set(identities)) == 3
    assert identities[0] == identities[1] == identities[4]
    assert identities[2] == identities[3] != identities[5]


def test_reading_for_rows_ends_where_all_differ():
    reader = Reader(torch.randn(20, 9000, generator=seeded()))
    assert len(row_identities(reader.pieces).unique()) == 20
    assert reader.passes < 0.2


# the entrance


def test_the_caller_keeps_tensors_as_they_were():
    for dtype in (torch.float32, torch.float64):
        for features in (5, 60, 400):  # each way of each estimator
            points, labels = layer(50, features, dtype)
            points += 3
            before = points.clone()
            kde_information(points, labels, noise_variance=0.1)
            noisy_information(points, labels, noise_variance=0.1, generator=seeded())
            relative_noise_variance(points, 0.1)
            assert torch.equal(points, before)


def test_pieces_may_need_gradients():
    weights = torch.ones(1, requires_grad=True)
    points, labels = layer(20, 300)
    pieces = FeaturePieces(lambda columns: weights * points[:, columns], samples=20, features=300, dtype=torch.float32)
    information = kde_information(pieces, labels, noise_variance=0.1)
    assert information.input_upper == kde_information(points, labels, noise_variance=0.1).input_upper
    assert not any(one.influences.requires_grad for one in information.estimates())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"features": 0}, "features must be at least 1, got 0"),
        ({"dtype": torch.int32}, "dtype must be a float type, got torch.int32"),
    ],
)
def test_bad_sizes_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        FeaturePieces(torch.zeros, **{"samples": 2, "features": 3, "dtype": torch.float32, **settings})


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (torch.ones(3, 2), r"features 0 to 3 must be read as \(2, 3\), torch.float32, got \(3, 2\), torch.float32"),
        (torch.ones(2, 3).double(), r"must be read as \(2, 3\), torch.float32, got \(2, 3\), torch.float64"),
        (torch.tensor([[1.0, 1.0, math.nan], [0.0, 0.0, 0.0]]), "features 0 to 3 must be finite: 1 of 2 samples"),
    ],
)
@pytest.mark.parametrize(
    "estimate",
    [
        lambda pieces, labels: kde_information(pieces, labels, noise_variance=0.1),
        lambda pieces, labels: noisy_information(pieces, labels, noise_variance=0.1, generator=seeded()),
        lambda pieces, labels: relative_noise_variance(pieces, 0.1),
    ],
)
def test_bad_pieces_are_named(piece, message, estimate):
    pieces = FeaturePieces(lambda columns: piece, samples=2, features=3, dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        estimate(pieces, torch.tensor([0, 1]))


def test_bad_tensors_are_named_before_they_are_read():
    with pytest.raises(ValueError, match="activations must be finite: 1 of 2 samples"):
        feature_pieces(torch.tensor([[1.0], [math.inf]]))


def test_with_more_storage_kde_reads_pieces_less_often_and_finds_the_same(monkeypatch):
    monkeypatch.setattr("infoplane.estimators.row_products.BLOCK", 30)
    points, labels = layer(300, 900)
    found, passes = [], []
    for storage_bytes in (4 * 30 * 30, 4 * 300 * 300):  # one block at a time, or all
        reader = Reader(points)
        pieces = replace(reader.pieces, storage_bytes=storage_bytes)
        found.append(kde_information(pieces, labels, noise_variance=0.1))
        passes.append(reader.passes)
    first = passes[1] - 1  # to find equal rows
    assert passes[0] == 2 * 55 + first
    for one, other in zip(*(kde.estimates() for kde in found), strict=True):
        torch.testing.assert_close(one.influences, other.influences, atol=1e-6, rtol=0)


@pytest.mark.parametrize("differing", [0, 450, 899])
def test_a_single_number_anywhere_moves_a_sample_to_a_cell_of_its_own(monkeypatch, differing):
    monkeypatch.setattr(CHUNK, 4 * 8 * 130)
    points = torch.zeros(8, 900)
    points[5, differing] = 1.0
    binned = binning_information(Reader(points).pieces, torch.arange(8) % 2, bin_width=0.5)
    assert binned.input.value == pytest.approx(math.log(8) - 7 / 8 * math.log(7))
    assert binned.singleton_fraction == 1 / 8


def test_a_policy_of_bins_needs_a_tensor():
    with pytest.raises(ValueError, match="bins must be given by bin_width for activations in pieces"):
        binning_information(Reader(torch.zeros(8, 9)).pieces, torch.arange(8) % 2, bins=EqualBins())


def test_geometry_of_pieces_is_that_of_the_tensor(monkeypatch):
    points, labels = layer(300, 900)
    before = activation_norm(points), class_clustering_index(points, labels)
    monkeypatch.setattr(CHUNK, 8 * 300 * 130)
    pieces = Reader(points).pieces
    assert (activation_norm(pieces), class_clustering_index(pieces, labels)) == pytest.approx(before, rel=1e-12)
