import pytest
import torch
from torch import nn

from infoplane.models import LeNet5, construct


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_it_has_44_426_parameters_at_28_pixels():
    # 6 * 26 + 16 * 151 + 120 * 257 + 84 * 121 + 10 * 85
    assert parameters(LeNet5()) == 44_426


def test_it_computes_what_the_same_layers_do_one_after_the_other():
    model = LeNet5(mean=0.13, std=0.31)
    sequence = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    sequence.load_state_dict(dict(zip(sequence.state_dict(), list(model.parameters()), strict=True)))
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(images), sequence((images - 0.13) / 0.31))


@pytest.mark.parametrize("image_size", [16, 28, 31, 32, 64, 96])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 100)])
def test_any_image_size_channels_and_classes_work(image_size, channels, classes):
    model = LeNet5(image_size=image_size, channels=channels, classes=classes)
    assert model(torch.zeros(2, channels, image_size, image_size)).shape == (2, classes)


def test_channels_last_changes_nothing_but_the_memory_format():
    model = construct(LeNet5, seed=0)
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), logits)


def test_double_precision_works():
    assert LeNet5().double()(torch.zeros(2, 1, 28, 28, dtype=torch.double)).dtype == torch.double


def test_probed_and_first_layers_are_modules_of_the_network():
    model = LeNet5()
    assert model.probed_layers == ("conv1", "conv2", "fc1", "fc2", "fc3")
    assert {*model.probed_layers, model.first_layer} <= dict(model.named_modules()).keys()
    assert isinstance(model.get_submodule(model.first_layer), nn.Conv2d)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 15}, "image_size must be at least 16, got 15"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LeNet5(**arguments)


def test_images_of_another_size_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"\(batch, 1, 28, 28\), got \(2, 3, 32, 32\)"):
        LeNet5()(torch.zeros(2, 3, 32, 32))
