"""BagNet: what each unit of its last map sees, and what it computes."""

import pytest
import torch
from tests.models.small_networks import images, narrow
from tests.models.written_out import ByHand, relu

from infoplane.models import BagNet

FIELDS = [7, 9, 11, 17, 19, 33]
SIZE = 40


def support(model, row, column):
    """Rows and columns of the pixels on which one place of the last map depends, by its gradient.

    All weights are positive, and so are the images: no ReLU is off, so no path from a pixel vanishes.
    """
    pixels = images(SIZE).requires_grad_()
    (gradient,) = torch.autograd.grad(model.patches(pixels)[:, :, row, column].sum(), pixels)
    seen = (gradient != 0).any(dim=0).any(dim=0)
    return [axis.nonzero().flatten().tolist() for axis in (seen.any(dim=1), seen.any(dim=0))]


def positive(model):
    with torch.no_grad():
        for weights in model.parameters():
            weights.abs_()
        for name, statistic in model.named_buffers():
            if name.endswith("running_mean"):
                statistic.zero_()
    return model


@pytest.mark.parametrize("field", FIELDS)
def test_each_place_sees_a_patch_of_the_receptive_field_and_nothing_else(field):
    model = positive(narrow("bagnet", SIZE, receptive_field=field))
    with torch.no_grad():
        rows, columns = model.patches(images(SIZE)).shape[2:]
    assert rows == columns
    stride = {7: 4, 11: 4, 19: 4, 9: 4, 17: 4, 33: 8}[field]
    for row, column in ((0, 0), (rows - 1, 0), (rows - 1, columns - 1)):
        expected = [list(range(stride * place, stride * place + field)) for place in (row, column)]
        assert support(model, row, column) == expected


@pytest.mark.parametrize(("field", "stride", "map_size"), [(7, 1, 7), (9, 2, 6), (11, 1, 6), (17, 2, 4), (19, 1, 4)])
def test_small_images_keep_a_map_of_patches(field, stride, map_size):
    model = narrow("bagnet", receptive_field=field)
    assert model.stage1[0].conv2.stride == (stride, stride)
    with torch.no_grad():
        assert model.patches(images()).shape[2:] == (map_size, map_size)


def test_logits_are_the_mean_of_what_the_patches_say():
    model, pixels = narrow("bagnet"), images()
    said = torch.einsum("nfrc,kf->nkrc", model.patches(pixels), model.linear.weight)
    torch.testing.assert_close(model(pixels), said.mean(dim=(2, 3)) + model.linear.bias)


@pytest.mark.parametrize(("stage", "lost"), [("stage1", 1), ("stage2", 1), ("stage3", 2), ("stage4", 0)])
def test_a_block_without_padding_crops_its_shortcut_below_and_to_the_right(stage, lost):
    model = narrow("bagnet", receptive_field=17)
    block = getattr(model, stage)[0]
    (stride, _), (kernel, _) = block.conv2.stride, block.conv2.kernel_size
    x = torch.rand(2, block.conv1.in_channels, 9, 9, dtype=torch.double)
    by = ByHand(block)
    y = relu(by.norm(by.conv(x, "conv1", padding=0), "bn1"))
    y = relu(by.norm(by.conv(y, "conv2", stride, padding=0), "bn2"))
    y = by.norm(by.conv(y, "conv3", padding=0), "bn3")
    kept = by.norm(by.conv(x, "shortcut.0", stride, padding=0), "shortcut.1")
    side = (9 - kernel) // stride + 1
    assert kept.shape[2] - side == lost
    torch.testing.assert_close(block(x), relu(y + kept[:, :, :side, :side]), rtol=1e-6, atol=1e-6)


def test_an_image_is_at_least_as_large_as_the_field():
    assert BagNet(33, width=1, image_size=33).eval()(torch.zeros(1, 3, 33, 33)).shape == (1, 10)
    with pytest.raises(ValueError, match="image_size must be at least 33, got 32"):
        BagNet(33)
    with pytest.raises(ValueError, match="receptive_field must be one of 7, 9, 11, 17, 19, 33, got '8'"):
        BagNet(8)
