"""What holds for every network in the list: counts, sizes, layers, normalisation and settings."""

import pytest
import torch
from tests.models.small_networks import NAMES, images, narrow
from torch import nn

from infoplane.measuring.probes import record_activations
from infoplane.models import BagNet, VisionTransformer, WideResNet, model_named
from infoplane.models.preactresnet import PreActResNet18


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


OF_ITS_OWN = "class_token", "positions", "raw_variance", "class_means"  # weights of the network, of no layer


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_stated_number_of_parameters(name):
    spec = model_named(name)
    assert parameters(spec.build(spec.usual_images, spec.checked({}))) == spec.parameters


def test_the_stated_numbers_are_those_of_the_literature():
    # Counted from the definitions of the layers, for 32 pixels, three channels and ten classes.
    assert {name: model_named(name).parameters for name in ("resnet18", "preactresnet18", "vgg11", "vgg16")} == {
        "resnet18": 11_173_962,
        "preactresnet18": 11_171_146,
        "vgg11": 9_231_114,
        "vgg16": 14_728_266,
    }
    assert model_named("mlp-tanh").parameters == 130 + 77 + 40 + 24 + 15 + 8


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda: WideResNet(depth=28, widen_factor=10), 36_479_194),
        (lambda: PreActResNet18(last_norm=True), 11_172_170),
        (lambda: BagNet(9), 13_660_234),
        (lambda: BagNet(33, image_size=33), 16_281_674),
        (lambda: VisionTransformer(width=192, blocks=12, heads=3), 5_362_762),
        (lambda: VisionTransformer(width=384, blocks=12, heads=6), 21_342_346),
    ],
)
def test_other_settings_have_the_numbers_of_the_literature(build, count):
    assert parameters(build()) == count


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("image_size", "channels"), [(28, 1), (32, 3), (96, 3)])
def test_images_of_the_usual_sizes_become_logits(name, image_size, channels):
    with torch.no_grad():
        assert narrow(name, image_size, channels)(images(image_size, channels)).shape == (2, 4)


@pytest.mark.parametrize("name", NAMES)
def test_probed_layers_run_once_and_the_last_one_gives_the_logits(name):
    model, pixels = narrow(name), images()
    with torch.no_grad(), record_activations(model, model.probed_layers) as recorded:
        logits = model(pixels)
    assert tuple(recorded) == model.probed_layers
    assert torch.equal(recorded[model.probed_layers[-1]], logits)
    assert all(record.std(dim=0).max() > 0 for record in recorded.values())
    assert 3 <= len(model.probed_layers) <= 12


@pytest.mark.parametrize("name", NAMES)
def test_the_first_layer_is_affine(name):
    model = narrow(name)
    first = model.get_submodule(model.first_layer)
    assert isinstance(first, nn.Conv2d | nn.Linear)
    assert next(iter(dict(model.named_parameters()))).startswith((f"{model.first_layer}.", *OF_ITS_OWN))


@pytest.mark.parametrize("name", NAMES)
def test_normalisation_is_the_first_layer(name):
    model, pixels = narrow(name), images()
    seen = []
    model.normalise.register_forward_hook(lambda _module, _given, output: seen.append(output))
    with torch.no_grad():
        model(pixels)
    torch.testing.assert_close(seen[0], (pixels - model.normalise.mean) / model.normalise.std)
    assert model.normalise.mean.flatten().tolist() == pytest.approx([0.4] * 3)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_another_size_are_refused_with_both_sizes(name):
    with pytest.raises(ValueError, match=r"\(batch, 3, 32, 32\), got \(1, 3, 28, 28\)"):
        narrow(name)(torch.zeros(1, 3, 28, 28))


@pytest.mark.parametrize("name", NAMES)
def test_one_image_has_the_same_logits_alone_and_in_a_batch(name):
    model, pixels = narrow(name), images()
    with torch.no_grad():
        torch.testing.assert_close(model(pixels)[1:], model(pixels[1:]))
