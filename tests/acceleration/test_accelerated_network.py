"""An accelerated network computes what the plain network does, and attacks on it keep their contract."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, wrap
from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.networks.wrappers import named_layers, unwrapped
from infoplane.training import Trainer, adversarial_training

NETWORKS = {"lenet": LeNet5, "wideresnet": lambda: WideResNet(image_size=28, channels=1)}
ROWS = Choices(rowwise=("conv1",))
LOW = Choices(precision="bf16")


@pytest.fixture
def images(generator) -> Tensor:
    return torch.rand(50, 1, 28, 28, generator=generator)


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(50) % 10


@pytest.fixture(params=NETWORKS)
def network(request) -> nn.Module:
    return construct(NETWORKS[request.param], seed=0).to(memory_format=torch.channels_last).eval()


@pytest.mark.parametrize("epsilon", [8 / 255, 0.3])
def test_in_low_precision_attacks_stay_in_the_ball_and_gradients_agree(network, images, labels, epsilon):
    model = AcceleratedNetwork(network, LOW)
    attacked = LinfPGD(epsilon=epsilon, steps=5, random_start=True)(
        model, images, labels, generator=torch.Generator().manual_seed(1)
    )
    assert attacked.dtype == torch.float32
    assert (attacked - images).abs().max() <= epsilon + 1e-7
    assert 0 <= attacked.min() <= attacked.max() <= 1

    def gradient(of: nn.Module) -> Tensor:
        pixels = images.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(of(pixels), labels, reduction="sum"), pixels)[0].flatten(1)

    assert F.cosine_similarity(gradient(model), gradient(network)).mean() > 0.98


def test_logits_are_float32_and_layers_keep_their_names(network, images):
    model = AcceleratedNetwork(network, LOW)
    assert model(images).dtype == torch.float32
    assert torch.allclose(model(images), network(images), atol=0.05)
    assert unwrapped(model) is network
    assert named_layers(model) == named_layers(network)
    assert list(model.parameters()) == list(network.parameters())


def test_the_plain_choice_wraps_nothing(network):
    assert wrap(network, PLAIN) is network
    assert isinstance(wrap(network, LOW), AcceleratedNetwork)


def test_the_mode_is_that_of_the_network(network):
    assert not AcceleratedNetwork(network, PLAIN).training
    assert AcceleratedNetwork(network.train(), PLAIN).training


@pytest.mark.parametrize("choices", [PLAIN, ROWS, LOW])
def test_training_works_in_every_way_and_gives_a_plain_network(choices):
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    labels = torch.arange(64) % 2
    images[labels == 1, :, :14] = 255
    model = construct(lambda: LeNet5(classes=2), seed=0).to(memory_format=torch.channels_last)
    settings = TrainingConfig(epochs=10, batch_size=32, learning_rate=0.05)
    method = adversarial_training(LinfPGD(epsilon=0.1, steps=2, random_start=True))
    run = Trainer(model, method, images, labels, settings, seed=0, training="adversarial", choices=choices)
    losses = [run.train_epoch().loss for _ in range(10)]
    assert losses[-1] < 0.35 * losses[0]
    assert run.network is model
    assert all(weights.dtype == torch.float32 for weights in model.parameters())
    assert set(run.state_dict()["model"]) == set(model.state_dict())


def test_an_accelerated_attack_gives_the_same_bits_every_time(network, images, labels):
    attack = LinfPGD(epsilon=0.1, steps=3, random_start=True)
    model = AcceleratedNetwork(network, LOW)
    first, second = (attack(model, images, labels, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
