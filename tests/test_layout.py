"""Images follow the layout of a model's weights, so that models which flatten with `view` still work."""

import torch
from torch import nn

from infoplane.models import LeNet5
from infoplane.networks.memory_format import as_pixels, memory_format


def test_a_model_as_it_was_made_gets_contiguous_images():
    assert memory_format(LeNet5()) == torch.contiguous_format
    assert memory_format(nn.Linear(2, 2)) == torch.contiguous_format


def test_a_model_laid_out_for_convolutions_gets_such_images():
    assert memory_format(LeNet5().to(memory_format=torch.channels_last)) == torch.channels_last


def test_bytes_become_floats_between_zero_and_one():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    pixels = as_pixels(images, torch.channels_last)
    assert torch.allclose(pixels[0, :, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    assert pixels.is_contiguous(memory_format=torch.channels_last)


def test_floats_are_left_as_they_are():
    images = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_pixels(images), images)
