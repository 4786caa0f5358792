"""Layers on which float32 distances fail silently, 600 samples each, against float64 differences.

A layer repeats 128 different features, so that the reference needs no more than these, and comes in pieces, so that
150,528 features never stand in memory.
"""

import math

import pytest
import torch
from torch import Tensor

from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.kde import KDEInformation, kde_sweep

SAMPLES, DIFFERENT = 600, 128
NOISES = [0.1, 1.0]
PROMISED = 1e-3  # nats


def repeated(base: Tensor, features: int) -> FeaturePieces:
    def read(columns: slice) -> Tensor:
        return base[:, torch.arange(columns.start, columns.stop) % DIFFERENT]

    return FeaturePieces(read, samples=len(base), features=features, dtype=base.dtype)


def assert_as_in_float64(base: Tensor, features: int, labels: Tensor, dense_kde) -> None:
    results = kde_sweep(repeated(base, features), labels, noise_variances=NOISES)
    for noise_variance, result in zip(NOISES, results, strict=True):
        expected = dense_kde(math.sqrt(features / DIFFERENT) * base.double(), labels, noise_variance)
        assert values(result) == pytest.approx(expected, abs=PROMISED)


def values(result: KDEInformation) -> dict[str, float]:
    names = ("input_lower", "input_upper", "label_lower", "label_upper", "label_lower_bound", "label_upper_bound")
    return {name: getattr(result, name).value for name in names} | {
        f"class_{kind}_{label}": getattr(entropy, kind).value
        for label, entropy in result.class_entropies.items()
        for kind in ("lower", "upper")
    }


def tight(features: int, generator: torch.Generator) -> Tensor:
    """Expected squared distances of 4.5 times the first noise variance in any dimension."""
    return math.sqrt(2.25 * NOISES[0] / features) * torch.randn(SAMPLES, DIFFERENT, generator=generator)


@pytest.mark.parametrize(("features", "mean"), [(16_384, 1.0), (65_536, 1.0), (150_528, 1.0), (150_528, 5.0)])
def test_large_means(dense_kde, generator, features, mean):
    assert_as_in_float64(mean + tight(features, generator), features, torch.arange(SAMPLES) % 10, dense_kde)


@pytest.mark.parametrize("spread", [5.0, 0.1])
def test_class_means_far_apart(dense_kde, generator, spread):
    labels = torch.arange(SAMPLES) % 10
    points = tight(65_536, generator) + spread * torch.randn(10, DIFFERENT, generator=generator)[labels]
    assert_as_in_float64(points, 65_536, labels, dense_kde)


@pytest.mark.parametrize("related", [True, False])
@pytest.mark.parametrize("features", [128, 1024, 16_384])
def test_ten_tight_clusters_far_apart(dense_kde, generator, features, related):
    clusters = torch.arange(SAMPLES) % 10
    points = 200 * torch.rand(10, DIFFERENT, generator=generator)[clusters] - 100
    points += 0.005 * torch.randn(SAMPLES, DIFFERENT, generator=generator)
    labels = clusters if related else torch.randint(10, (SAMPLES,), generator=generator)
    assert_as_in_float64(points, features, labels, dense_kde)


def test_these_layers_are_traps(generator, monkeypatch, dense_kde):
    """Without the engine's care each promise is broken."""
    monkeypatch.setattr("infoplane.estimators.pairwise._harmless", lambda *_, **__: True)
    labels = torch.arange(SAMPLES) % 10
    far = tight(65_536, generator) + 5 * torch.randn(10, DIFFERENT, generator=generator)[labels]
    with pytest.raises(AssertionError):
        assert_as_in_float64(far, 65_536, labels, dense_kde)
