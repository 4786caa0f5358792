"""Networks are traced into the right operations, and refused where they cannot be traced."""

import pytest
import torch
import torch.nn.functional as F
from tests.acceleration.networks import Net, conv, four, prepared
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices
from infoplane.acceleration.inner.autograd_fallback import AutogradFallback
from infoplane.acceleration.inner.tracing import TracingError, poolable_convolutions, trace
from infoplane.models import LeNet5, WideResNet


def kinds(network: nn.Module, choices: Choices = PLAIN) -> list[str]:
    return [type(step.operation).__name__ for step in trace(network, choices).steps]


def test_the_operations_of_lenet_and_of_a_residual_block():
    lenet = [
        "PixelNormalisation",
        "RowwisePooledConvolution",
        "Activation",
        "RowwiseConvolution",
        "MaxPooling",
        "Activation",
    ]
    dense = ["Flattening", "Linear", "Activation", "Linear", "Activation", "Linear"]
    assert kinds(LeNet5(), Choices(rowwise_pooled=("conv1",), rowwise=("conv1", "conv2"))) == lenet + dense
    # bn2 is folded into conv1, and the sum uses the fallback
    group1 = ["BatchNorm", "Activation", "Convolution", "Activation", "Convolution", "AutogradFallback"]
    assert kinds(WideResNet())[:8] == ["PixelNormalisation", "Convolution", *group1]
    assert kinds(WideResNet(depth=16)).count("AutogradFallback") == 7  # six sums and the average pooling


class Poolings(nn.Module):
    """Only its first two convolutions are read by a max-pooling in 2x2 and by nothing else."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(9):
            self.add_module(f"conv{number}", nn.Conv2d(1, 1, 1))
        self.pool = nn.MaxPool2d((2, 2), stride=2)

    def forward(self, images: Tensor) -> Tensor:
        features = F.max_pool2d(self.conv0(images), 2)
        features = self.pool(self.conv1(features))
        features = F.max_pool2d(self.conv2(features).relu(), 2)
        seen = self.conv3(features)
        parts = [F.max_pool2d(seen, 2), seen]
        parts.append(F.max_pool2d(self.conv4(features), 3, stride=2))
        parts.append(F.max_pool2d(self.conv5(features), 2, stride=1))
        parts.append(F.max_pool2d(self.conv6(features), 2, padding=1))
        parts.append(F.max_pool2d(self.conv7(features), 2, ceil_mode=True))
        parts.append(F.max_pool2d(self.conv8(self.conv8(features)), 2, return_indices=True)[0])
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def test_convolutions_that_only_a_max_pooling_reads_are_found():
    assert poolable_convolutions(Poolings()) == ("conv0", "conv1")
    assert poolable_convolutions(LeNet5()) == ("conv1", "conv2")
    assert poolable_convolutions(WideResNet()) == ()


def _by_value(net, images):
    return net.linear(images.flatten(1)[:, :4]) if images.sum() > 0 else net.conv0(images)


def _by_place(net, images):
    features = net.conv0(images)
    return F.relu(features, inplace=True) + features


def _added_in_place(net, images):
    features = net.conv0(images)
    other = features
    features += images[:, :1]
    return features + other


def _made(net, images):
    return (images + torch.rand(1)).flatten(1)


def _two(net, images):
    return net.conv0(images), images


@pytest.mark.parametrize("way", [_by_value, _by_place, _added_in_place, _made, _two], ids=lambda way: way.__name__)
def test_networks_that_cannot_be_traced_are_refused(way):
    network = four(way)
    with pytest.raises(TracingError, match="Net"):
        AcceleratedNetwork(network, Choices(traced=True))


def test_a_network_with_other_arguments_than_images_is_refused():
    class Asking(nn.Module):
        def forward(self, images: Tensor, deep: bool = False) -> Tensor:
            return images * 2 if deep else images

    with pytest.raises(TracingError, match="Asking"):
        trace(Asking())


def test_an_unknown_layer_is_named_in_the_error():
    with pytest.raises(AttributeError, match="conv9"):
        AcceleratedNetwork(LeNet5(), Choices(traced=True, rowwise=("conv9",)))


def test_tracing_leaves_the_network_as_it_was():
    def keeping(net, images):
        net.seen = net.conv0(images)
        return net.seen.flatten(1)

    network = Net(keeping, conv0=conv(2), dropout=nn.Dropout()).train()
    network.dropout.eval()
    AcceleratedNetwork(network, Choices(traced=True))
    assert not hasattr(network, "seen")
    assert (network.training, network.conv0.training, network.dropout.training) == (True, True, False)
    assert all(weights.requires_grad for weights in network.parameters())


def test_fallback_steps_say_whether_they_depend_on_the_images():
    network, _ = prepared("called")
    steps = [step for step in trace(network).steps if isinstance(step.operation, AutogradFallback)]
    assert {step.from_images for step in steps} == {True, False}


def test_a_network_with_buffers_of_its_own_is_refused():
    network = four(lambda net, images: net.conv0(images) * net.factor.item())
    network.register_buffer("factor", torch.tensor(2.0))
    with pytest.raises(TracingError, match="buffers of its own"):
        trace(network)


def test_other_flattenings_use_the_fallback():
    network = four(lambda net, images: net.conv0(images).flatten(end_dim=1).flatten(1))
    assert kinds(network) == ["Convolution", "AutogradFallback", "Flattening"]
