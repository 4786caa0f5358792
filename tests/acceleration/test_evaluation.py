"""Attacks on networks in evaluation mode compute faster, give the same images, and leave the network as it was."""

import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices, computed_as_chosen, evaluation, for_attack
from infoplane.attacks import L2PGD, LinfPGD
from infoplane.models import LeNet5, WideResNet, construct

BATCH, STEPS = 80, 7


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lenet() -> LeNet5:
    return construct(lambda: LeNet5(mean=0.1307), seed=0).eval()


def digits(size: int = 28, channels: int = 1) -> tuple[Tensor, Tensor]:
    return torch.rand(BATCH, channels, size, size, generator=seeded(1)), torch.arange(BATCH) % 10


def is_faster(network: nn.Module, images: Tensor, steps: int = STEPS) -> bool:
    return for_attack(network, images, steps)[0] is not network


def plainly(attack, model, images, labels) -> Tensor:
    with computed_as_chosen():
        return attack(model, images, labels, generator=seeded())


@pytest.mark.parametrize("attack", [LinfPGD(epsilon=0.1, steps=STEPS), L2PGD(epsilon=1.0, steps=STEPS)])
@pytest.mark.parametrize(
    ("model", "size", "channels"), [(lenet, 28, 1), (lambda: construct(WideResNet, seed=0).eval(), 32, 3)]
)
def test_attacked_images_agree_with_the_plain_way(attack, model, size, channels):
    network, (images, labels) = model(), digits(size, channels)
    assert is_faster(network, images)
    fast = attack(network, images, labels, generator=seeded())
    plain = plainly(attack, network, images, labels)
    changes = [(one - images).flatten(1).double() for one in (fast, plain)]
    # Rounding turns the sign of some gradients near 0, and later steps follow: as for the ways of training, 0.9.
    cosines = F.cosine_similarity(*changes)
    assert cosines.min() > 0.9
    assert cosines.median() > 0.9999
    losses = [F.cross_entropy(network(one), labels).item() for one in (fast, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert fast.stride() == images.stride()


def test_the_network_is_left_as_it_was():
    network, (images, labels) = lenet(), digits()
    network.conv1.weight.grad = torch.ones_like(network.conv1.weight)
    network.fc3.bias.requires_grad_(False)
    before, attributes = copy.deepcopy(network.state_dict()), {name: set(vars(one)) for name, one in named(network)}
    LinfPGD(epsilon=0.1, steps=STEPS)(network, images, labels, generator=seeded())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {name: set(vars(one)) for name, one in named(network)} == attributes
    assert torch.equal(network.conv1.weight.grad, torch.ones_like(network.conv1.weight))
    assert [name for name, weight in network.named_parameters() if not weight.requires_grad] == ["fc3.bias"]
    assert not any(module.training for module in network.modules())


def named(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(network.named_modules())


def test_new_weights_are_used_and_nothing_keeps_the_network_alive():
    network, (images, labels) = lenet(), digits()
    attack = LinfPGD(epsilon=0.1, steps=STEPS)
    attack(network, images, labels, generator=seeded())
    network.load_state_dict(construct(LeNet5, seed=1).state_dict())
    attacked = attack(network, images, labels, generator=seeded())
    torch.testing.assert_close(attacked, plainly(attack, network, images, labels), atol=0.02, rtol=0)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


class Switched(nn.Module):
    """Its path depends on what tracing sees (`scale`), and on what it does not (`settings`)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 10)
        self.scale, self.settings = 1.0, {"sign": 1.0}

    def forward(self, images: Tensor) -> Tensor:
        features = self.second(self.first(images).relu()).mean((2, 3))
        return self.head(features * (self.scale * self.settings["sign"]))


@pytest.mark.parametrize("change", [{"scale": -1.0}, {"settings": {"sign": -1.0}}])
def test_a_network_that_took_another_path_is_not_attacked_along_the_old_one(change):
    network, (images, labels) = construct(Switched, seed=0).eval(), digits()
    attack = LinfPGD(epsilon=0.1, steps=STEPS)
    assert is_faster(network, images)
    before = attack(network, images, labels, generator=seeded())
    for name, value in change.items():
        setattr(network, name, value)
    after = attack(network, images, labels, generator=seeded())
    expected = plainly(attack, network, images, labels)
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=0)
    assert (before - expected).abs().mean() > 0.01


def test_a_replaced_layer_is_used():
    network, (images, labels) = lenet(), digits()
    attack = LinfPGD(epsilon=0.1, steps=STEPS)
    attack(network, images, labels, generator=seeded())
    network.fc3 = construct(lambda: nn.Linear(84, 10), seed=5).eval()
    assert is_faster(network, images)
    attacked = attack(network, images, labels, generator=seeded())
    torch.testing.assert_close(attacked, plainly(attack, network, images, labels), atol=0.02, rtol=0)


class Viewed(nn.Module):
    """`view` refuses the memory format that is fastest elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4 * 24 * 24, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.first(images).relu()).relu().view(-1, 4 * 24 * 24))


def test_a_network_that_flattens_with_view_is_attacked():
    network, (images, labels) = construct(Viewed, seed=0).eval(), digits()
    attack = LinfPGD(epsilon=0.1, steps=STEPS)
    assert is_faster(network, images)
    attacked = attack(network, images, labels, generator=seeded())
    torch.testing.assert_close(attacked, plainly(attack, network, images, labels), atol=0.02, rtol=0)


class Attention(nn.Module):
    """No convolution: every node of its program would run under autograd, which is slower than the network."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return self.head(flat * flat.softmax(dim=1))


def unchanged(network: nn.Module, images: Tensor, steps: int = STEPS) -> bool:
    return not is_faster(network, images, steps)


def test_other_networks_and_conditions_are_computed_as_they_are():
    network, (images, _) = lenet(), digits()
    assert not unchanged(network, images)
    assert unchanged(network, images[:8])  # tracing would cost more than it gains
    assert unchanged(network.double(), images.double())
    network.float()
    assert unchanged(network, images.double())
    assert unchanged(network.train(), images)
    network.eval()
    with torch.autocast("cpu"):
        assert unchanged(network, images)
    with computed_as_chosen():
        assert unchanged(network, images)
    handle = network.conv1.register_forward_hook(lambda *_: None)
    assert unchanged(network, images)
    handle.remove()
    assert not unchanged(network, images)
    assert unchanged(Attention().eval(), images)
    chosen = AcceleratedNetwork(network, Choices(precision="bf16"))
    assert for_attack(chosen, images, STEPS)[0] is chosen


class Counting(nn.Module):
    """Changes at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.calls = nn.Conv2d(1, 2, 3), nn.Linear(2, 10), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.head(self.conv(images).relu().mean((2, 3)))


def test_a_network_that_changes_at_every_call_is_soon_traced_no_more(monkeypatch):
    network, (images, labels) = Counting().eval(), digits()
    traced = []
    trace = evaluation._traced
    monkeypatch.setattr(evaluation, "_traced", lambda *given: traced.append(1) or trace(*given))
    for _ in range(10):
        LinfPGD(epsilon=0.1, steps=STEPS)(network, images, labels, generator=seeded())
    assert len(traced) == evaluation.MOST_TRACES


@pytest.mark.parametrize(("capability", "pooled"), [("AVX512", ("conv1", "conv2")), ("AVX2", ())])
def test_the_choice_of_convolutions_is_the_same_in_every_run(capability, pooled, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    network, (images, _) = lenet(), digits()
    chosen = [for_attack(copy.deepcopy(network), images, STEPS)[0].choices for _ in range(3)]
    assert chosen == [Choices(traced=True, rowwise_pooled=pooled)] * 3
