"""A traced program gives the logits and gradients of the network, and runs only while weights are frozen."""

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from tests.acceleration.networks import LAST, NETWORKS, Net, conv, forward_and_backward, prepared
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices
from infoplane.acceleration.inner import rowwise_convolution
from infoplane.acceleration.inner.tracing import trace
from infoplane.attacks import LinfPGD
from infoplane.models import LeNet5, WideResNet, construct


def runs_traced(model: AcceleratedNetwork, images: Tensor) -> bool:
    return type(model(images).grad_fn).__name__ in ("_PassBackward", "ToCopyBackward0")


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_gradients_are_those_of_the_network(name, layout):
    network, images = prepared(name)
    network.to(memory_format=layout)
    model = AcceleratedNetwork(network, Choices(traced=True))
    expected = forward_and_backward(network, images)
    for _ in range(2):  # the second pass uses what the first one prepared
        found = forward_and_backward(model, images.contiguous(memory_format=layout))
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)
            assert one.abs().sum() > 0


# Of 50 layers, rounding to bfloat16 alone turns the gradient of either way by 20 degrees.
@pytest.mark.parametrize("name", [name for name in NETWORKS if "bottlenecks" not in name])
def test_lower_precision_agrees_with_autocast(name):
    network, images = prepared(name, torch.float32)
    low = [
        forward_and_backward(AcceleratedNetwork(network, Choices(precision="bf16", traced=on)), images)
        for on in (False, True)
    ]
    assert all(tensor.dtype == torch.float32 for pair in low for tensor in pair)
    for one, other in zip(*low, strict=True):
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.95


def test_usual_and_rowwise_convolutions_in_one_network(generator):
    network = construct(lambda: WideResNet(image_size=16, channels=1), seed=0).double().eval()
    images = torch.rand(4, 1, 16, 16, generator=generator, dtype=torch.float64)
    choices = Choices(traced=True, rowwise=("group2.0.conv1",))
    names = [type(step.operation).__name__ for step in trace(network, choices).steps]
    assert {"Convolution", "RowwiseConvolution"} <= set(names)
    found, expected = (
        forward_and_backward(AcceleratedNetwork(network, choices), images),
        forward_and_backward(network, images),
    )
    assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-10) for pair in zip(found, expected, strict=True))


def test_a_node_that_gives_several_tensors_is_refused():
    network = Net(lambda net, images: torch.split(net.conv0(images), 1, dim=1)[0].flatten(1), conv0=conv(2))
    model = AcceleratedNetwork(network.eval(), Choices(traced=True))
    with pytest.raises(RuntimeError, match="split gives several tensors"):
        forward_and_backward(model, torch.rand(2, 2, 4, 4))


@pytest.mark.parametrize(
    "why", ["weights may move", "training mode", "dropout", "a hook", "a hook back", "no gradient asked for"]
)
def test_other_passes_use_autograd(why):
    network, images = prepared("norms between")
    network.add_module("dropout", nn.Dropout().eval())
    model = AcceleratedNetwork(network, Choices(traced=True))
    images.requires_grad_(why != "no gradient asked for")
    with model.frozen_weights():
        assert runs_traced(model, images) == (why != "no gradient asked for")
    assert not runs_traced(model, images)
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
    with model.frozen_weights() if why != "weights may move" else contextlib.nullcontext():
        found = model(images)
        after = copy.deepcopy(network.state_dict())
        network.load_state_dict(before)
        assert torch.equal(found, network(images))
        assert all(torch.equal(after[name], value) for name, value in network.state_dict().items())
    assert len(heard) == 2 * (why == "a hook")


def test_a_network_with_a_changed_attribute_uses_autograd():
    network = Net(lambda net, images: net.conv0(images).flatten(1) * net.factor, conv0=conv(2)).eval()
    network.factor = 1
    model = AcceleratedNetwork(network, Choices(traced=True))
    images = torch.rand(2, 2, 4, 4, requires_grad=True)
    with model.frozen_weights():
        assert runs_traced(model, images)
    network.factor = 2
    with model.frozen_weights():
        assert not runs_traced(model, images)
        assert torch.equal(model(images), network(images))


def test_a_batch_norm_of_a_tensor_that_does_not_depend_on_the_images(generator):
    def forward(net, images):
        return (net.conv0(images) + net.bn(net.conv1(net.grid[None]))).flatten(1)

    network = Net(forward, conv0=conv(2), conv1=conv(), bn=nn.BatchNorm2d(4)).double().eval()
    network.grid = nn.Parameter(torch.rand(4, 4, 4, generator=generator, dtype=torch.float64))
    images = torch.rand(2, 2, 4, 4, generator=generator, dtype=torch.float64)
    network.bn.running_mean += 1
    found, expected = (
        forward_and_backward(one, images) for one in (AcceleratedNetwork(network, Choices(traced=True)), network)
    )
    assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-10) for pair in zip(found, expected, strict=True))


def test_weights_need_gradients_again_after_an_error():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).eval()
    network[1].bias.requires_grad_(False)
    model = AcceleratedNetwork(network, Choices(traced=True))
    with contextlib.suppress(RuntimeError), model.frozen_weights():
        assert not any(weights.requires_grad for weights in network.parameters())
        raise RuntimeError
    assert [weights.requires_grad for weights in network.parameters()] == [True, True, True, False]
    assert not runs_traced(model, torch.rand(2, 2, requires_grad=True))


def test_changed_weights_are_used_and_gradients_must_be_taken_before():
    network, images = prepared("wide")
    model = AcceleratedNetwork(network, Choices(traced=True))
    before = forward_and_backward(model, images)
    with torch.no_grad():
        for tensor in (*network.parameters(), network.bn.running_var):
            tensor.mul_(1.3)
    found, expected = forward_and_backward(model, images), forward_and_backward(network, images)
    assert all(torch.allclose(*pair, rtol=1e-10, atol=1e-10) for pair in zip(found, expected, strict=True))
    assert not torch.allclose(found[1], before[1])
    images.requires_grad_()
    with model.frozen_weights():
        logits = model(images)
    with pytest.raises(RuntimeError, match="may have changed"):
        torch.autograd.grad(logits.sum(), images)


def test_two_forward_passes_before_two_backward_passes_do_not_mix(generator):
    network, images = prepared("wide")
    others = torch.rand(images.shape, generator=generator, dtype=torch.float64)
    pixels = [images.clone().requires_grad_(), others.clone().requires_grad_()]
    model = AcceleratedNetwork(network, Choices(traced=True))
    with model.frozen_weights():
        logits = [model(one) for one in pixels]
        back = [torch.autograd.grad(one.square().sum(), two)[0] for one, two in zip(logits, pixels, strict=True)]
    for one, two in zip(back, pixels, strict=True):
        (expected,) = torch.autograd.grad(network(two).square().sum(), two)
        assert torch.allclose(one, expected, rtol=1e-10, atol=1e-10)


LAYERS = {
    "lenet": (LeNet5, {"rowwise": ("conv2",), "rowwise_pooled": ("conv1",)}),
    "wideresnet": (lambda: WideResNet(image_size=28, channels=1), {"rowwise": ("stem",)}),
}


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", LAYERS)
def test_an_attack_finds_nearly_the_same_images(name, precision):
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
    found = attacked(Choices(precision=precision, traced=True, **layers))
    # sums in another order flip signs of gradients that are all but zero; bfloat16 itself turns more of them
    assert apart(found, plain) < apart(expected, plain) + 0.01
    assert precision == "32" or apart(found, plain) > 0.01
    assert all(weights.requires_grad and weights.grad is None for weights in network.parameters())


def test_weights_are_prepared_once_per_attack(monkeypatch):
    calls = []
    made = rowwise_convolution.banded
    monkeypatch.setattr(rowwise_convolution, "banded", lambda *given: (calls.append(1), made(*given))[1])
    network = construct(LeNet5, seed=0).eval()
    images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)
    model = AcceleratedNetwork(network, Choices(traced=True, rowwise=("conv1",)))
    for attacks in (1, 2):
        LinfPGD(epsilon=0.1, steps=3)(model, images, labels, generator=torch.Generator())
        assert len(calls) == attacks
