import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infoplane.measuring.probes import record_activations
from infoplane.models import WideResNet, construct
from infoplane.networks.evaluation_mode import evaluation_mode


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("image_size", "count"), [(32, 77_850), (64, 79_770), (96, 82_970)])
def test_wrn_10_1_has_the_parameters_of_the_study(image_size, count):
    assert parameters(WideResNet(image_size=image_size)) == count


@pytest.mark.parametrize(
    ("depth", "widen_factor", "millions"), [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (16, 8, 11.0)]
)
def test_other_sizes_have_the_parameters_that_the_paper_prints(depth, widen_factor, millions):
    # Zagoruyko & Komodakis (2016), arXiv:1605.07146v4, Table 4, "# params" on CIFAR, rounded to one decimal.
    assert round(parameters(WideResNet(depth=depth, widen_factor=widen_factor)) / 1e6, 1) == millions


def written_out(model, images):
    """WRN-10-1 at 32 pixels by hand, from Figure 1(a) of the paper, in evaluation mode."""
    weights = model.state_dict()

    def norm(x, name):
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scaled = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        x = scaled * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]
        return torch.where(x > 0, x, 0.1 * x)

    x = F.conv2d(images, weights["stem.weight"], padding=1)
    for group, stride in (("group1.0", 1), ("group2.0", 2), ("group3.0", 2)):
        active = norm(x, f"{group}.bn1")
        y = F.conv2d(active, weights[f"{group}.conv1.weight"], padding=1, stride=stride)
        y = F.conv2d(norm(y, f"{group}.bn2"), weights[f"{group}.conv2.weight"], padding=1)
        x = y + (x if stride == 1 else F.conv2d(active, weights[f"{group}.shortcut.weight"], stride=stride))
    return norm(x, "bn").mean(dim=(2, 3)) @ weights["linear.weight"].T + weights["linear.bias"]


def test_it_computes_what_the_paper_draws():
    generator = torch.Generator().manual_seed(0)
    model = construct(WideResNet, seed=0).eval()
    with torch.no_grad():
        for module in model.modules():  # every number that could be left out is made to matter
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        images = torch.rand(3, 3, 32, 32, generator=generator)
        torch.testing.assert_close(model(images), written_out(model, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("image_size", "features"), [(28, 64), (32, 64), (36, 64), (64, 256), (96, 576), (1, 64), (30, 64)]
)
def test_any_image_size_works(image_size, features):
    model = WideResNet(image_size=image_size, classes=7).eval()
    assert model.linear.in_features == features
    assert model(torch.zeros(2, 3, image_size, image_size)).shape == (2, 7)


def test_deeper_and_wider_networks_work_on_one_channel():
    model = WideResNet(depth=16, widen_factor=2, image_size=28, channels=1, classes=2).eval()
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 2)
    assert model.group1[0].shortcut is not None  # 16 to 32 channels
    assert model.group1[1].shortcut is None


@pytest.mark.parametrize("depth", [4, 9, 11, 12, 28 + 3, -2])
def test_other_depths_are_refused_with_the_possible_ones(depth):
    with pytest.raises(ValueError, match=rf"depth must be 6n \+ 4, that is one of 10, 16, 22, .*, got {depth}"):
        WideResNet(depth=depth)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widen_factor": 0}, "widen_factor must be at least 1, got 0"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WideResNet(**arguments)


def test_images_of_another_size_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"\(batch, 3, 32, 32\), got \(2, 1, 28, 28\)"):
        WideResNet()(torch.zeros(2, 1, 28, 28))


def test_the_probed_width_lags_by_one_group():
    model = WideResNet(widen_factor=2).eval()
    with torch.no_grad(), record_activations(model, model.probed_layers) as recorded:
        model(torch.zeros(1, 3, 32, 32))
    widths = [activations.shape[1] for activations in recorded.values()]
    assert widths == [16 * 32**2, 16 * 32**2, 32 * 32**2, 64 * 16**2, 10]


def test_a_group_is_probed_at_its_first_leaky_relu():
    model = construct(WideResNet, seed=0).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), record_activations(model, model.probed_layers) as recorded:
        model(images)
    with torch.no_grad():
        normalised = model.group1[0].bn1(model.stem(images))
    torch.testing.assert_close(recorded["group1.0.activation1"], F.leaky_relu(normalised, 0.1).flatten(1))


def test_probed_and_first_layers_are_modules_of_the_network():
    model = WideResNet()
    assert {*model.probed_layers, model.first_layer} <= dict(model.named_modules()).keys()
    assert isinstance(model.get_submodule(model.first_layer), nn.Conv2d)
    assert len(set(model.probed_layers)) == 5


def test_batch_statistics_stay_where_they_are_in_evaluation_mode():
    model = construct(WideResNet, seed=0)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with evaluation_mode(model):
        model(images)
        assert not any(module.training for module in model.modules())
        for name, buffer in model.named_buffers():
            assert torch.equal(buffer, before[name]), name
    model(images)  # in training mode they do move, or the test above would say nothing
    assert not torch.equal(model.bn.running_mean, before["bn.running_mean"])
    assert all(module.training for module in model.modules())


def test_convolutions_start_with_variance_two_over_fan_out():
    model = construct(lambda: WideResNet(widen_factor=4), seed=0)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 1 + 6 + 3
    for convolution in convolutions:
        weight = convolution.weight
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        # The variance of n Gaussian weights spreads by sqrt(2 / n) of itself; four spreads for ten layers.
        assert weight.square().mean().item() == pytest.approx(2 / fan_out, rel=4 * math.sqrt(2 / weight.numel()))
        assert convolution.bias is None


def test_batch_norm_starts_as_identity_and_the_linear_bias_at_zero():
    model = WideResNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.unique().tolist() == [1.0]
            assert module.bias.unique().tolist() == [0.0]
    assert model.linear.bias.unique().tolist() == [0.0]


def test_channels_last_changes_nothing_but_the_memory_format():
    model = construct(WideResNet, seed=0).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(images)
        model = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), logits, rtol=1e-4, atol=1e-4)


def test_double_precision_works():
    model = WideResNet().double().eval()
    assert model(torch.zeros(1, 3, 32, 32, dtype=torch.double)).dtype == torch.double
