import pytest
import torch

from infoplane.models import Normalise


def test_each_channel_has_its_mean_subtracted_and_is_divided_by_its_std():
    images = torch.ones(1, 2, 1, 1)
    layer = Normalise(2, 1, mean=[0.5, 0.2], std=[0.25, 0.4])
    assert layer(images).flatten().tolist() == pytest.approx([2.0, 2.0])
    assert layer(0 * images).flatten().tolist() == pytest.approx([-2.0, -0.5])


def test_one_number_serves_all_channels():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Normalise(3, 4, mean=0.5, std=2)(images), (images - 0.5) / 2)


def test_mean_and_std_travel_with_the_weights():
    saved = Normalise(3, 4, mean=[0.1, 0.2, 0.3], std=0.5).state_dict()
    loaded = Normalise(3, 4, mean=0.0, std=1.0)
    loaded.load_state_dict(saved)
    assert loaded.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert loaded.std.flatten().tolist() == [0.5, 0.5, 0.5]


def test_mean_and_std_are_not_trained():
    assert list(Normalise(3, 4, mean=0.1, std=0.5).parameters()) == []


@pytest.mark.parametrize("std", [0.0, -1.0, (0.5, 0.0, 0.5)])
def test_std_must_be_positive(std):
    with pytest.raises(ValueError, match="std must be positive, got"):
        Normalise(3, 4, mean=0.0, std=std)


@pytest.mark.parametrize("mean", [(0.1, 0.2), float("nan"), (0.1, 0.2, float("inf")), ()])
def test_mean_must_be_one_finite_number_or_one_per_channel(mean):
    with pytest.raises(ValueError, match="mean must be one finite number or 3, one per channel, got"):
        Normalise(3, 4, mean=mean, std=1.0)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 3, 5, 4), (2, 3, 4, 5), (3, 4, 4)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=r"takes images of shape \(batch, 3, 4, 4\), got \("):
        Normalise(3, 4, mean=0.0, std=1.0)(torch.zeros(shape))
