"""The table of layers: shapes, parameters and cost of any network."""

import pytest
import torch
from tests.models.small_networks import NAMES, narrow
from torch import nn

import infoplane
from infoplane.models import LeNet5, ResNet, VisionTransformer


def rows(table):
    return {row.name: row for row in table}


def test_the_cost_of_a_convolution_and_a_linear_layer_is_that_of_their_definition():
    table = rows(infoplane.layers(LeNet5()))
    assert table["conv1"].shape == (6, 24, 24)
    assert table["conv1"].units == 6 * 24 * 24
    assert table["conv1"].multiply_adds == 6 * 24 * 24 * 1 * 5 * 5
    assert table["conv2"].multiply_adds == 16 * 8 * 8 * 6 * 5 * 5
    assert table["fc1"].multiply_adds == 256 * 120
    assert table["fc1"].parameters == 256 * 120 + 120


def test_resnet18_takes_the_multiply_adds_that_the_field_states():
    # 0.56 billion at 32 pixels: the sum over the layers of Table 1 of He et al. (2016) with a 3x3 stem.
    stages = [4 * 9 * 64 * 64 * 32**2]
    stages += [(9 * c * c // 2 + 3 * 9 * c * c + c * c // 2) * (32 * 64 // c) ** 2 for c in (128, 256, 512)]
    table = infoplane.layers(ResNet(18))
    assert table.multiply_adds == 9 * 3 * 64 * 32**2 + sum(stages) + 512 * 10
    assert table.parameters == 11_173_962
    assert rows(table)["stage1"].multiply_adds == stages[0]


@pytest.mark.parametrize("tokens", ["cls", "mean"])
def test_attention_costs_its_two_products_too(tokens):
    number = 64 + (tokens == "cls")
    model = VisionTransformer(tokens, width=12, blocks=1, heads=3)
    table = rows(infoplane.layers(model))
    projections = number * 4 * 12 * 12
    assert table["blocks.0.attention"].multiply_adds == projections + 2 * number**2 * 12
    layer = nn.MultiheadAttention(12, 3, batch_first=True)

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = layer

        def forward(self, images):
            return self.attention(images, images, images)[0]

    found = rows(infoplane.layers(Own(), torch.zeros(2, number, 12)))["attention"]
    assert found.multiply_adds == projections + 2 * number**2 * 12


@pytest.mark.parametrize("name", NAMES)
def test_every_network_of_the_list_states_its_size(name):
    model = narrow(name)
    table = infoplane.layers(model)
    assert [row.name for row in table if row.probed] == sorted(
        model.probed_layers, key=[row.name for row in table].index
    )
    assert [row.name for row in table] == [name for name, _ in model.named_modules() if name]
    assert table.parameters == sum(weights.numel() for weights in model.parameters())
    assert table[0].shape == (3, 32, 32)


def test_the_network_is_left_as_it_was():
    model = ResNet(18, width=2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    infoplane.layers(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_any_module_takes_images_and_layers_that_do_not_run_are_shown():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    model[1].unused = nn.ReLU()
    table = infoplane.layers(model, torch.zeros(5, 1, 3, 4))
    assert [(row.name, row.shape, row.units) for row in table] == [
        ("0", (12,), 12),
        ("1", (3,), 3),
        ("1.unused", None, None),
    ]
    assert rows(table)["1.unused"].multiply_adds == 0
    with pytest.raises(ValueError, match="Sequential does not state the size of its images; give images"):
        infoplane.layers(model)


def test_a_layer_that_runs_twice_costs_both_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, images):
            return self.linear(self.linear(images))

    assert rows(infoplane.layers(Twice(), torch.zeros(1, 4)))["linear"].multiply_adds == 2 * 16


def test_the_printed_table_has_a_line_for_each_layer_and_marks_the_probed_ones():
    lines = repr(infoplane.layers(LeNet5())).splitlines()
    assert lines[0].split() == ["layer", "type", "output", "shape", "units", "parameters", "multiply-adds"]
    assert lines[2].split() == ["conv1*", "Conv2d", "6", "x", "24", "x", "24", "3,456", "156", "86,400"]
    assert lines[-2].split() == ["the", "network", "44,426", "281,640"]
    assert lines[-1] == "* probed by default; multiply-adds of one image"
    assert len(lines) == 1 + 6 + 2
