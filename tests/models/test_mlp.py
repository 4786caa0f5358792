"""Multilayer perceptrons: what they compute, and vectors as images of one row."""

import math

import pytest
import torch
from tests.models.small_networks import images, narrow
from tests.models.written_out import ByHand, relu
from torch import nn

from infoplane.errors import UserError
from infoplane.models import MLP, construct, model_named


@pytest.mark.parametrize(("name", "activation"), [("mlp", relu), ("mlp-tanh", torch.tanh)])
def test_hidden_layers_are_linear_layers_with_their_activation(name, activation):
    model, pixels = narrow(name), images()
    by, x = ByHand(model), ((pixels - 0.4) / 0.3).flatten(1)
    for layer in (0, 1):
        x = activation(by.linear(x, f"hidden.{layer}.linear"))
    torch.testing.assert_close(model(pixels), by.linear(x, "linear"))


def test_the_networks_of_the_literature_have_their_layers():
    sizes = {}
    for name in ("mlp", "mlp-tanh"):
        spec = model_named(name)
        model = spec.build(spec.usual_images, spec.checked({}))
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        sizes[name] = [linear[0].in_features, *(layer.out_features for layer in linear)]
        assert isinstance(model.hidden[0].activation, nn.Tanh if name == "mlp-tanh" else nn.ReLU)
    assert sizes == {"mlp": [784, 1024, 1024, 10], "mlp-tanh": [12, 10, 7, 5, 4, 3, 2]}


def test_vectors_are_images_of_one_row():
    model = MLP((3,), image_size=1, width=12, channels=1, classes=2)
    assert model(torch.rand(5, 1, 1, 12)).shape == (5, 2)
    with pytest.raises(ValueError, match=r"\(batch, 1, 1, 12\), got \(5, 1, 12, 1\)"):
        model(torch.rand(5, 1, 12, 1))


def test_weights_of_tanh_units_start_from_one_over_the_number_of_inputs():
    model = construct(lambda: MLP((400, 400), "tanh", image_size=20), seed=0)
    for layer in (model.hidden[0].linear, model.hidden[1].linear):
        # A normal distribution cut at two deviations has a variance of 0.774 of the uncut one. Over 160,000 draws the
        # estimated deviation has a standard error of a quarter of a percent or less.
        expected = math.sqrt(0.7737 / layer.in_features)
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.01)
        assert layer.weight.abs().max() <= 2 / math.sqrt(layer.in_features)
        assert layer.bias.abs().max() == 0


@pytest.mark.parametrize("hidden", ["", "10-", "10,7", "0-3", "ten"])
def test_layers_are_numbers_joined_by_hyphens(hidden):
    with pytest.raises(UserError, match=r"--model\.hidden"):
        model_named("mlp").checked({"hidden": hidden})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": ()}, "the number of hidden layers must be at least 1, got 0"),
        ({"hidden": (3, 0)}, "hidden must be at least 1, got 0"),
        ({"activation": "sigmoid"}, "activation must be one of relu, tanh, got 'sigmoid'"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**arguments)
