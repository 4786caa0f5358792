"""Networks read as lists of operations give the logits and gradients of the networks, and only while weights rest."""

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from tests.acceleration.networks import LAST, NETWORKS, Net, conv, prepared, there_and_back
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices
from infoplane.acceleration.reading import read
from infoplane.attacks import LinfPGD
from infoplane.models import LeNet5, WideResNet, construct


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


def test_several_tensors_at_once_are_refused():
    network = Net(lambda net, images: torch.split(net.conv0(images), 1, dim=1)[0].flatten(1), conv0=conv(2))
    model = AcceleratedNetwork(network.eval(), Choices(frozen=True))
    with pytest.raises(RuntimeError, match="split gives several tensors"):
        there_and_back(model, torch.rand(2, 2, 4, 4))


@pytest.mark.parametrize(
    "why", ["weights may move", "training mode", "dropout", "a hook", "a hook back", "no gradient asked for"]
)
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
    elif why == "a hook back":
        network.conv1.register_full_backward_pre_hook(lambda *given: None)
    before = copy.deepcopy(network.state_dict())
    with model.weights_held_still() if why != "weights may move" else contextlib.nullcontext():
        found = model(images)
        after = copy.deepcopy(network.state_dict())
        network.load_state_dict(before)
        assert torch.equal(found, network(images))
        assert all(torch.equal(after[name], value) for name, value in network.state_dict().items())
    assert len(heard) == 2 * (why == "a hook")


def test_a_network_that_goes_another_way_than_it_was_read_goes_the_usual_one():
    network = Net(lambda net, images: net.conv0(images).flatten(1) * net.factor, conv0=conv(2)).eval()
    network.factor = 1
    model = AcceleratedNetwork(network, Choices(frozen=True))
    images = torch.rand(2, 2, 4, 4, requires_grad=True)
    with model.weights_held_still():
        assert goes_by_operations(model, images)
    network.factor = 2
    with model.weights_held_still():
        assert not goes_by_operations(model, images)
        assert torch.equal(model(images), network(images))


def test_a_batch_norm_of_what_does_not_depend_on_the_images(generator):
    def forward(net, images):
        return (net.conv0(images) + net.bn(net.conv1(net.grid[None]))).flatten(1)

    network = Net(forward, conv0=conv(2), conv1=conv(), bn=nn.BatchNorm2d(4)).double().eval()
    network.grid = nn.Parameter(torch.rand(4, 4, 4, generator=generator, dtype=torch.float64))
    images = torch.rand(2, 2, 4, 4, generator=generator, dtype=torch.float64)
    network.bn.running_mean += 1
    found, expected = (
        there_and_back(one, images) for one in (AcceleratedNetwork(network, Choices(frozen=True)), network)
    )
    assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-10) for pair in zip(found, expected, strict=True))


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
