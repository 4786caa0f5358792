"""ResNet and PreActResNet: what they compute, layer by layer."""

import pytest
import torch
from tests.models.small_networks import images, narrow
from tests.models.written_out import ByHand, relu

from infoplane.measuring.probes import record_activations
from infoplane.models import ResNet
from infoplane.models.preactresnet import PreActResNet18

STAGES = ((1, 1), (2, 2), (3, 2), (4, 2))  # number and stride


def resnet18(model, pixels):
    """ResNet-18 by hand, from Table 1 and Figure 5 (left) of He et al. (2016), with a 3x3 stem."""
    by = ByHand(model)
    x = relu(by.norm(by.conv((pixels - 0.4) / 0.3, "stem.conv"), "stem.bn"))
    for stage, stride in STAGES:
        for block in (0, 1):
            name, step = f"stage{stage}.{block}", stride if block == 0 else 1
            y = relu(by.norm(by.conv(x, f"{name}.conv1", step), f"{name}.bn1"))
            y = by.norm(by.conv(y, f"{name}.conv2"), f"{name}.bn2")
            if step > 1:
                x = by.norm(by.conv(x, f"{name}.shortcut.0", step, padding=0), f"{name}.shortcut.1")
            x = relu(x + y)
    return by.linear(x.mean(dim=(2, 3)), "linear")


def preactresnet18(model, pixels, *, shortcut, last_norm):
    """PreActResNet-18 by hand, from Figure 4(e) of He et al. (2016), arXiv:1603.05027."""
    by = ByHand(model)
    x = by.conv((pixels - 0.4) / 0.3, "stem")
    for stage, stride in STAGES:
        for block in (0, 1):
            name, step = f"stage{stage}.{block}", stride if block == 0 else 1
            active = relu(by.norm(x, f"{name}.bn1"))
            y = by.conv(active, f"{name}.conv1", step)
            y = by.conv(relu(by.norm(y, f"{name}.bn2")), f"{name}.conv2")
            if step > 1:
                x = by.conv(active if shortcut == "activated" else x, f"{name}.shortcut", step, padding=0)
            x = x + y
    if last_norm:
        x = relu(by.norm(x, "bn"))
    return by.linear(x.mean(dim=(2, 3)), "linear")


@pytest.mark.parametrize("image_size", [28, 32])
def test_resnet18_computes_what_the_paper_draws(image_size):
    model, pixels = narrow("resnet18", image_size), images(image_size)
    torch.testing.assert_close(model(pixels), resnet18(model, pixels), rtol=1e-6, atol=1e-6)


def test_the_blocks_of_resnet50_are_bottlenecks_with_the_stride_at_the_3x3_convolution():
    model, x = narrow("resnet50"), torch.rand(2, 8, 8, 8, dtype=torch.double) - 0.3
    by, block = ByHand(model.stage2[0]), model.stage2[0]
    y = relu(by.norm(by.conv(x, "conv1", padding=0), "bn1"))
    y = relu(by.norm(by.conv(y, "conv2", 2), "bn2"))
    y = by.norm(by.conv(y, "conv3", padding=0), "bn3")
    expected = relu(y + by.norm(by.conv(x, "shortcut.0", 2, padding=0), "shortcut.1"))
    torch.testing.assert_close(block(x), expected, rtol=1e-6, atol=1e-6)
    assert expected.shape == (2, 16, 4, 4)


@pytest.mark.parametrize("last_norm", [False, True])
@pytest.mark.parametrize("shortcut", ["raw", "activated"])
def test_preactresnet18_computes_what_its_settings_say(shortcut, last_norm):
    model, pixels = narrow("preactresnet18", shortcut=shortcut, last_norm=last_norm), images()
    expected = preactresnet18(model, pixels, shortcut=shortcut, last_norm=last_norm)
    torch.testing.assert_close(model(pixels), expected, rtol=1e-6, atol=1e-6)


def test_the_two_definitions_of_a_preactresnet_share_weights_and_differ_in_values():
    raw, activated = (narrow("preactresnet18", shortcut=one) for one in ("raw", "activated"))
    assert raw.state_dict().keys() == activated.state_dict().keys()
    assert all(torch.equal(value, activated.state_dict()[name]) for name, value in raw.state_dict().items())
    assert (raw(images()) - activated(images())).abs().min() > 0.01


def test_blocks_are_probed_and_of_many_blocks_the_last_of_each_stage():
    blocks = tuple(f"stage{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1))
    assert narrow("resnet18").probed_layers == ("stem", *blocks, "linear")
    assert narrow("preactresnet18").probed_layers == ("stem", *blocks, "linear")
    last = ("stem", "stage1.2", "stage2.3", "stage3.5", "stage4.2", "linear")
    assert narrow("resnet34").probed_layers == narrow("resnet50").probed_layers == last


def test_a_resnet_is_probed_after_its_relus():
    model = narrow("resnet18")
    with torch.no_grad(), record_activations(model, model.probed_layers[:-1]) as recorded:
        model(images())
    assert all(record.min() == 0 for record in recorded.values())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResNet(101), "depth must be one of 18, 34, 50, got '101'"),
        (lambda: ResNet(18, width=0), "width must be at least 1, got 0"),
        (lambda: ResNet(18, classes=1), "classes must be at least 2, got 1"),
        (lambda: PreActResNet18("both"), "shortcut must be one of raw, activated, got 'both'"),
    ],
)
def test_impossible_networks_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
