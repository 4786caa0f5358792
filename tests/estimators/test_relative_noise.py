import math

import numpy as np
import pytest
import torch

from infoplane.estimators.kde import kde_information
from infoplane.estimators.relative_noise import relative_noise_variance


def test_noise_is_the_ratio_of_the_mean_variance_over_units():
    points = torch.tensor([[0.0, 5.0, 1.0], [2.0, 5.0, 4.0], [4.0, 5.0, 1.0]])
    # variances over the samples: 8/3, 0 and 2
    assert relative_noise_variance(points, 0.3) == pytest.approx(0.3 * (8 / 3 + 0 + 2) / 3)
    assert relative_noise_variance(points.double(), 1.0) == pytest.approx(np.var(points.numpy(), axis=0).mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_variance_survives_a_far_origin_many_units_and_every_type(dtype, monkeypatch):
    monkeypatch.setattr("infoplane.estimators.features.CHUNK_BYTES", 8 * 200 * 70)  # the last piece is short
    generator = torch.Generator().manual_seed(0)
    points = (300 + torch.randn(200, 500, generator=generator)).to(dtype)
    expected = np.var(points.double().numpy(), axis=0).mean()
    assert relative_noise_variance(points, 2.0) == pytest.approx(2 * expected, rel=1e-9)


def test_information_at_relative_noise_does_not_depend_on_the_scale():
    generator = torch.Generator().manual_seed(0)
    points, labels = torch.randn(100, 5, generator=generator), torch.arange(100) % 2
    values = [
        kde_information(scaled, labels, noise_variance=relative_noise_variance(scaled, 0.1)).input_upper.value
        for scaled in (points, 100 * points)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-5)


@pytest.mark.parametrize("value", [7.3, 0.1, 1e20])
def test_layers_that_never_vary_are_refused(value):
    with pytest.raises(ValueError, match=r"activations must vary .* got equal samples"):
        relative_noise_variance(torch.full((51, 40), value), 0.1)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan])
def test_the_ratio_must_be_positive(ratio):
    with pytest.raises(ValueError, match="ratio must be positive and finite"):
        relative_noise_variance(torch.eye(3), ratio)
