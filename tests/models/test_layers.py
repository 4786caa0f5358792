import pytest
import torch
from torch import nn

from infoplane.measuring.probes import record_activations
from infoplane.models import LeNet5, WideResNet, default_layers
from infoplane.networks.gaussian_layer import GaussianLayer


@pytest.mark.parametrize("factory", [LeNet5, WideResNet])
def test_a_network_that_says_what_to_probe_is_believed(factory):
    model = factory()
    assert default_layers(model) == model.probed_layers
    assert default_layers(nn.DataParallel(model)) == model.probed_layers


def test_otherwise_all_convolutions_and_linear_layers_are_probed_in_order():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU()), nn.Linear(2, 2)
    )
    assert default_layers(model) == ("0", "2.0", "3")
    assert default_layers(nn.DataParallel(model)) == ("0", "2.0", "3")


def test_layers_that_add_noise_of_their_own_are_probed_too():
    model = nn.ModuleDict({"encode": nn.Linear(2, 2), "code": GaussianLayer(), "relu": nn.ReLU()})
    assert default_layers(model) == ("encode", "code")


def test_the_linear_layer_that_attention_never_calls_is_left_out():
    model = nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, batch_first=True).eval()
    assert default_layers(model) == ("linear1", "linear2")
    with torch.no_grad(), record_activations(model, default_layers(model)) as recorded:
        model(torch.zeros(2, 3, 4))
    assert recorded["linear1"].shape == (2, 3 * 8)


def test_a_network_without_such_layers_asks_for_names():
    with pytest.raises(ValueError, match="Sequential has no Conv2d or Linear layer; name the layers to probe"):
        default_layers(nn.Sequential(nn.ReLU()))
