"""Networks read as lists of operations give the logits and gradients of the networks, and only while weights rest."""

import contextlib
import copy
import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, UnreadableError
from infoplane.acceleration.called import Called
from infoplane.acceleration.operations import Activation, BatchNorm, Sum
from infoplane.acceleration.reading import poolable_convolutions, read
from infoplane.attacks import LinfPGD
from infoplane.models import LeNet5, WideResNet, construct

LAST = torch.channels_last


class Net(nn.Module):
    """Layers, and a function of them and the images."""

    def __init__(self, way, **layers: nn.Module) -> None:
        super().__init__()
        self.way = way
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, images: Tensor) -> Tensor:
        return self.way(self, images)


def conv(channels_in: int = 4, channels_out: int = 4, **named) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, **named)


def norm() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(4)


def _after_the_sum(net, images):
    """As in a ResNet: the activation follows the sum, and what it gives goes two ways."""
    features = net.relu(net.bn0(net.conv0(images)))
    features = F.relu(net.bn1(net.conv1(features)) + features)
    return net.linear(F.avg_pool2d(features, 16).flatten(1))


def _raw_and_activated(net, images):
    """What is activated is also read as it was: nothing may be written over."""
    features = net.conv0(images)
    return net.linear((F.relu(features) + features - F.leaky_relu(features, 0.3)).mean((2, 3)))


def _norms_between(net, images):
    """BatchNorms whose scale can be carried, and others: read twice, before a sum, before the logits."""
    features = net.conv0(images)
    features = net.conv1(F.relu(net.bn0(features + images[:, :1])))
    seen = F.leaky_relu(net.bn1(torch.add(features, features)), 0.2)
    features = net.conv2(seen) + net.conv3(seen)
    features = net.bn2(features) + net.bn3(features)
    return net.bn4(F.max_pool2d(features, 3, stride=2, padding=1)).flatten(1)


def _called(net, images):
    """Functions that are no operations of ours, some of them of nothing that depends on the images."""
    features = torch.sigmoid(net.conv0(images)) * net.gain
    features = torch.cat([features, features.pow(2)], dim=1)[:, ::2]
    shape = features.shape
    features = features.reshape(shape[0], -1).view(shape)
    features *= 3
    return net.linear(net.dropout(net.elu(features - 1)).mean(dim=(2, 3)))


def _again(net, images):
    """One convolution twice, one BatchNorm after two convolutions."""
    features = net.conv1(net.conv1(net.conv0(images)))
    features = net.bn0(features) + net.bn0(net.conv1(features))
    features += net.conv1(images.repeat(1, 2, 1, 1))
    return net.linear(nn.functional.adaptive_avg_pool2d(features, 1).flatten(start_dim=1))


def _beside(net, images):
    """A part that nobody reads, and sums of a tensor with itself."""
    net.conv1(images.repeat(1, 2, 1, 1))
    features = net.dropout(net.conv0(images))
    features = net.dropout(features) + features
    return torch.flatten(net.identity(features), 1)


def _active_sum(net, images):
    """Each activation masks the sum's gradient, which both are given."""
    other = net.conv1(images.repeat(1, 2, 1, 1))
    features = net.conv1(F.leaky_relu(net.conv0(images), 0.2) + F.leaky_relu(other, 0.3))
    features = F.leaky_relu(net.conv1(features), 0.2) + (F.leaky_relu(features, 0.3) - 1)
    return net.linear(features.mean((2, 3)))


def _aliases(net, images):
    """What lies in the memory of something that is needed again is not written over."""
    features = F.relu(net.conv0(images))
    features = features.flatten(1) + torch.sigmoid(net.conv0(images)).flatten(1)
    return F.leaky_relu(torch.tanh(features), 0.3) + features


def _partly_carried(net, images):
    """Convolutions that cannot carry the BatchNorm before them: grouped, or not alone."""
    features = F.relu(net.bn0(net.conv0(images) + images[:, :1]))
    features = net.grouped(F.relu(net.bn1(net.conv1(features) + F.max_pool2d(features, 3, 1, 1))))
    return net.linear(features.mean((2, 3)))


def _unusual(net, images):
    """Relatives of what we know, which go another way; and one gradient for many."""
    features = net.falling(net.conv0(images) + 1.0) + F.leaky_relu(images[:, :1], -0.4)
    features = torch.flatten(net.padded(features), 2).unflatten(2, (9, 9))[..., :8, :8] + net.overlapping(features)
    further = net.conv1(features)
    return net.linear(further.mean((2, 3)) * features.mean((2, 3)))


def four(way, **more: nn.Module) -> Net:
    return Net(way, conv0=conv(2), conv1=conv(), linear=nn.Linear(4, 3), **more)


NETWORKS = {
    "lenet": lambda: LeNet5(image_size=16, channels=2, mean=0.2, std=0.4),
    "wide": lambda: WideResNet(depth=16, image_size=16, channels=2),
    "wide, 40 px": lambda: WideResNet(image_size=40, channels=2, mean=0.1),
    "after the sum": lambda: four(_after_the_sum, relu=nn.ReLU(inplace=True), bn0=norm(), bn1=norm()),
    "raw and activated": lambda: four(_raw_and_activated),
    "norms between": lambda: four(
        _norms_between, conv2=conv(), conv3=conv(bias=False), **{f"bn{number}": norm() for number in range(5)}
    ),
    "called": lambda: four(_called, dropout=nn.Dropout(0.5), elu=nn.ELU()),
    "again": lambda: four(_again, bn0=norm()),
    "beside": lambda: four(_beside, dropout=nn.Dropout(0.5), identity=nn.Identity()),
    "active sum": lambda: four(_active_sum),
    "aliases": lambda: four(_aliases),
    "partly carried": lambda: four(_partly_carried, bn0=norm(), bn1=norm(), grouped=conv(groups=2)),
    "unusual": lambda: four(
        _unusual,
        falling=nn.LeakyReLU(-0.5),
        padded=nn.AvgPool2d(2, padding=1, count_include_pad=False),
        overlapping=nn.AvgPool2d(3, stride=2, padding=1, divisor_override=3),
    ),
    "sequence": lambda: nn.Sequential(
        conv(2),
        norm(),
        nn.LeakyReLU(0.1, inplace=True),
        nn.MaxPool2d(2),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(4, 3),
    ),
}


def prepared(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """Return a network with statistics and scales of either sign, and images."""
    network = construct(NETWORKS[name], seed=0)
    source = torch.Generator().manual_seed(3)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in layer.state_dict().values():
                tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.3)
            with torch.no_grad():
                layer.weight[::2] *= -1
    size = 40 if "40" in name else 16
    images = torch.rand(3, 2, size, size, generator=source, dtype=torch.float64)
    return network.to(dtype).to(memory_format=LAST).eval(), images.to(dtype)


def there_and_back(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.clone().requires_grad_()
    held = model.weights_held_still() if isinstance(model, AcceleratedNetwork) else contextlib.nullcontext()
    with held:
        logits = model(pixels)
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(logits.dtype)
        (gradient,) = torch.autograd.grad((logits * weights).sum(), pixels)
    return logits.detach(), gradient


def goes_by_operations(model: AcceleratedNetwork, images: Tensor) -> bool:
    return type(model(images).grad_fn).__name__ in ("_PassBackward", "ToCopyBackward0")


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_logits_and_gradients(name, layout):
    network, images = prepared(name)
    network.to(memory_format=layout)
    model = AcceleratedNetwork(network, Choices(frozen=True))
    expected = there_and_back(network, images)
    for _ in range(2):  # also with what the first pass left
        found = there_and_back(model, images.contiguous(memory_format=layout))
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)
            assert one.abs().sum() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_lower_precision_is_that_of_autocast(name):
    network, images = prepared(name, torch.float32)
    low = [there_and_back(AcceleratedNetwork(network, Choices(precision="bf16", frozen=on)), images) for on in (0, 1)]
    assert all(tensor.dtype == torch.float32 for pair in low for tensor in pair)
    for one, other in zip(*low, strict=True):
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.95


def test_every_kind_of_convolution_at_once(generator):
    network = construct(lambda: WideResNet(image_size=16, channels=1), seed=0).double().eval()
    images = torch.rand(4, 1, 16, 16, generator=generator, dtype=torch.float64)
    choices = Choices(frozen=True, by_rows=("group2.0.conv1",), by_groups=("stem",))
    names = [type(step.operation).__name__ for step in read(network, choices).steps]
    assert {"Convolution", "ConvolutionByRows", "ConvolutionByGroups", "StridedPoints"} <= set(names)
    found, expected = there_and_back(AcceleratedNetwork(network, choices), images), there_and_back(network, images)
    assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-10) for pair in zip(found, expected, strict=True))


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


def test_several_tensors_at_once_are_refused():
    network = Net(lambda net, images: torch.split(net.conv0(images), 1, dim=1)[0].flatten(1), conv0=conv(2))
    model = AcceleratedNetwork(network.eval(), Choices(frozen=True))
    with pytest.raises(RuntimeError, match="split gives several tensors"):
        there_and_back(model, torch.rand(2, 2, 4, 4))


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


@pytest.mark.parametrize("why", ["weights may move", "training mode", "dropout", "a hook", "no gradient asked for"])
def test_elsewhere_the_usual_way(why):
    network, images = prepared("norms between")
    network.add_module("dropout", nn.Dropout().eval())
    model = AcceleratedNetwork(network, Choices(frozen=True))
    images.requires_grad_(why != "no gradient asked for")
    with model.weights_held_still():
        assert goes_by_operations(model, images) == (why != "no gradient asked for")
    assert not goes_by_operations(model, images)
    heard = []
    if why == "training mode":
        model.train()
    elif why == "dropout":
        network.dropout.train()
    elif why == "a hook":
        network.conv1.register_forward_hook(lambda *given: heard.append(given))
    before = copy.deepcopy(network.state_dict())
    with model.weights_held_still() if why != "weights may move" else contextlib.nullcontext():
        found = model(images)
        after = copy.deepcopy(network.state_dict())
        network.load_state_dict(before)
        assert torch.equal(found, network(images))
        assert all(torch.equal(after[name], value) for name, value in network.state_dict().items())
    assert len(heard) == 2 * (why == "a hook")


def test_weights_are_let_go_again_also_after_an_error():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).eval()
    network[1].bias.requires_grad_(False)
    model = AcceleratedNetwork(network, Choices(frozen=True))
    with contextlib.suppress(RuntimeError), model.weights_held_still():
        assert not any(weights.requires_grad for weights in network.parameters())
        raise RuntimeError
    assert [weights.requires_grad for weights in network.parameters()] == [True, True, True, False]
    assert not goes_by_operations(model, torch.rand(2, 2, requires_grad=True))


def test_moved_weights_are_seen_and_gradients_come_before_they_move():
    network, images = prepared("wide")
    model = AcceleratedNetwork(network, Choices(frozen=True))
    before = there_and_back(model, images)
    with torch.no_grad():
        for tensor in (*network.parameters(), network.bn.running_var):
            tensor.mul_(1.3)
    found, expected = there_and_back(model, images), there_and_back(network, images)
    assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-10) for pair in zip(found, expected, strict=True))
    assert not torch.allclose(found[1], before[1])
    images.requires_grad_()
    with model.weights_held_still():
        logits = model(images)
    with pytest.raises(RuntimeError, match="let go since"):
        torch.autograd.grad(logits.sum(), images)


def test_two_passes_before_going_back_do_not_mix(generator):
    network, images = prepared("wide")
    others = torch.rand(images.shape, generator=generator, dtype=torch.float64)
    pixels = [images.clone().requires_grad_(), others.clone().requires_grad_()]
    model = AcceleratedNetwork(network, Choices(frozen=True))
    with model.weights_held_still():
        logits = [model(one) for one in pixels]
        back = [torch.autograd.grad(one.square().sum(), two)[0] for one, two in zip(logits, pixels, strict=True)]
    for one, two in zip(back, pixels, strict=True):
        (expected,) = torch.autograd.grad(network(two).square().sum(), two)
        assert torch.allclose(one, expected, rtol=1e-10, atol=1e-10)


LAYERS = {
    "lenet": (LeNet5, {"by_rows": ("conv2",), "pooled": ("conv1",)}),
    "wideresnet": (lambda: WideResNet(image_size=28, channels=1), {"by_groups": ("stem",)}),
}


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", LAYERS)
def test_an_attack_finds_all_but_the_same_images(name, precision):
    factory, layers = LAYERS[name]
    network = construct(factory, seed=0).to(memory_format=LAST).eval()
    images, labels = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(2)), torch.arange(64) % 10
    attack = LinfPGD(epsilon=0.1, steps=3, random_start=True)

    def attacked(choices: Choices) -> Tensor:
        model = AcceleratedNetwork(network, choices)
        return attack(model, images, labels, generator=torch.Generator().manual_seed(1))

    def apart(one: Tensor, other: Tensor) -> float:
        return ((one - other).abs() > 1e-4).double().mean().item()

    plain, expected = attacked(Choices()), attacked(Choices(precision=precision))
    found = attacked(Choices(precision=precision, frozen=True, **layers))
    # sums in another order flip signs of gradients that are all but zero; bfloat16 itself turns more of them
    assert apart(found, plain) < apart(expected, plain) + 0.01
    assert precision == "32" or apart(found, plain) > 0.01
    assert all(weights.requires_grad and weights.grad is None for weights in network.parameters())


def test_weights_are_prepared_once_per_attack(monkeypatch):
    calls = []
    from infoplane.acceleration import row_products

    made = row_products.banded
    monkeypatch.setattr(row_products, "banded", lambda *given: (calls.append(1), made(*given))[1])
    network = construct(LeNet5, seed=0).eval()
    images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)
    model = AcceleratedNetwork(network, Choices(frozen=True, by_rows=("conv1",)))
    for attacks in (1, 2):
        LinfPGD(epsilon=0.1, steps=3)(model, images, labels, generator=torch.Generator())
        assert len(calls) == attacks


def test_functions_of_the_operator_module_are_known():
    network = four(lambda net, images: operator.add(net.conv0(images), net.conv0(images)).flatten(1))
    assert kinds(network) == ["Convolution", "Convolution", "Sum", "Flattening"]
