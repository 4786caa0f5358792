"""VGG: what it computes, and which sizes it takes."""

import pytest
import torch
import torch.nn.functional as F
from tests.models.small_networks import images, narrow
from tests.models.written_out import ByHand, relu

from infoplane.measuring.probes import record_activations
from infoplane.models import VGG

CONVOLUTIONS = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}  # Simonyan & Zisserman (2015), Table 1, A and D


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_it_computes_what_the_paper_lists(name):
    model, pixels = narrow(name), images()
    by, x = ByHand(model), (pixels - 0.4) / 0.3
    for block, number in enumerate(CONVOLUTIONS[name], start=1):
        for place in range(0, 3 * number, 3):
            x = relu(by.norm(by.conv(x, f"block{block}.{place}"), f"block{block}.{place + 1}"))
        x = x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).amax(dim=(3, 5))  # windows of 2x2
    assert x.shape[2:] == (1, 1)
    torch.testing.assert_close(model(pixels), by.linear(x.flatten(1), "linear"), rtol=1e-6, atol=1e-6)


def test_maps_with_odd_sides_keep_their_last_row_and_column():
    model = narrow("vgg11", image_size=28)
    shapes = {}
    with torch.no_grad(), record_activations(model, model.probed_layers, shapes=shapes):
        model(images(28))
    assert [shapes[f"block{block}"][1:] for block in (1, 2, 3, 4, 5)] == [(14, 14), (7, 7), (4, 4), (2, 2), (1, 1)]
    features = torch.rand(1, 4, 7, 7, dtype=torch.double)
    padded = F.pad(features, (0, 1, 0, 1), value=-1)
    assert torch.equal(model.block2[-1](features), F.max_pool2d(padded, 2))


def test_other_depths_are_refused():
    with pytest.raises(ValueError, match="depth must be one of 11, 16, got '19'"):
        VGG(19)
