"""What networks are read as, and what cannot be read."""

import operator

import pytest
import torch
import torch.nn.functional as F
from tests.acceleration.networks import Net, conv, four, prepared
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, UnreadableError
from infoplane.acceleration.called import Called
from infoplane.acceleration.operations import Activation, BatchNorm, Sum
from infoplane.acceleration.reading import poolable_convolutions, read
from infoplane.models import LeNet5, WideResNet


def kinds(network: nn.Module, choices: Choices = PLAIN) -> list[str]:
    return [type(step.operation).__name__ for step in read(network, choices).steps]


def test_what_lenet_and_a_block_are_read_as():
    lenet = ["Normalising", "PooledConvolutionByRows", "Activation", "ConvolutionByRows", "MaxPooling", "Activation"]
    dense = ["Flattening", "Linear", "Activation", "Linear", "Activation", "Linear"]
    assert kinds(LeNet5(), Choices(pooled=("conv1",), by_rows=("conv1", "conv2"))) == lenet + dense
    group1 = ["BatchNorm", "Activation", "Convolution", "Activation", "Convolution", "Sum"]  # bn2 is folded
    assert kinds(WideResNet())[:8] == ["Normalising", "Convolution", *group1]
    assert "Called" not in kinds(WideResNet(depth=16))


def test_batch_norms_are_carried_where_convolutions_alone_follow():
    operations = [step.operation for step in read(WideResNet()).steps]
    assert [norm.carried for norm in operations if isinstance(norm, BatchNorm)] == [True, True, True, False]
    network, _ = prepared("norms between")
    carried = [one.operation.carried for one in read(network).steps if isinstance(one.operation, BatchNorm)]
    assert carried == [True, True, False, False, False]


def test_nothing_is_written_over_that_others_read():
    network, _ = prepared("raw and activated")
    operations = [step.operation for step in read(network).steps]
    assert not any(one.writes for one in operations if isinstance(one, Activation))
    operations = [step.operation for step in read(WideResNet()).steps]
    assert all(one.writes for one in operations if isinstance(one, Activation))
    assert all(one.writes is not None for one in operations if isinstance(one, Sum))


class Poolings(nn.Module):
    """Of its convolutions only the first two are seen by such a pooling alone."""

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


def test_convolutions_that_a_pooling_alone_sees_are_found():
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
def test_what_cannot_be_read_is_said(way):
    network = four(way)
    with pytest.raises(UnreadableError, match="Net"):
        AcceleratedNetwork(network, Choices(frozen=True))


def test_other_arguments_than_images_cannot_be_read():
    class Asking(nn.Module):
        def forward(self, images: Tensor, deep: bool = False) -> Tensor:
            return images * 2 if deep else images

    with pytest.raises(UnreadableError, match="Asking"):
        read(Asking())


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="conv9"):
        AcceleratedNetwork(LeNet5(), Choices(frozen=True, by_rows=("conv9",)))


def test_reading_leaves_the_network_as_it_was():
    def keeping(net, images):
        net.seen = net.conv0(images)
        return net.seen.flatten(1)

    network = Net(keeping, conv0=conv(2), dropout=nn.Dropout()).train()
    network.dropout.eval()
    AcceleratedNetwork(network, Choices(frozen=True))
    assert not hasattr(network, "seen")
    assert (network.training, network.conv0.training, network.dropout.training) == (True, True, False)
    assert all(weights.requires_grad for weights in network.parameters())


def test_called_parts_name_what_moves():
    network, _ = prepared("called")
    steps = [step for step in read(network).steps if isinstance(step.operation, Called)]
    assert {step.moves for step in steps} == {True, False}


def test_functions_of_the_operator_module_are_known():
    network = four(lambda net, images: operator.add(net.conv0(images), net.conv0(images)).flatten(1))
    assert kinds(network) == ["Convolution", "Convolution", "Sum", "Flattening"]


def test_buffers_beside_layers_may_decide_the_way():
    network = four(lambda net, images: net.conv0(images) * net.factor.item())
    network.register_buffer("factor", torch.tensor(2.0))
    with pytest.raises(UnreadableError, match="buffers of its own"):
        read(network)


def test_other_flattenings_are_called():
    network = four(lambda net, images: net.conv0(images).flatten(end_dim=1).flatten(1))
    assert kinds(network) == ["Convolution", "Called", "Flattening"]
