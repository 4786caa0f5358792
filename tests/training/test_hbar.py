"""HBaR descends the loss of its paper, on the hidden layers after their ReLU."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import assert_moved_by, batch, network, project, seeded, sgd, uniform_start
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.errors import UserError
from infoplane.models import LeNet5, construct
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.training import Batch, adversarial_hbar_training, hbar_training, hsic_bottleneck
from infoplane.training.hbar import pass_with_hidden
from infoplane.training.methods.hbar import HBAR

EPSILON = 0.1


def slow_hsic(kernel: Tensor, other: Tensor) -> Tensor:
    """tr(R_A R_B) with R = K H (K H + eps m I)^-1, as the paper writes it, by explicit inverses."""
    size = len(kernel)
    centring = torch.eye(size, dtype=torch.double) - torch.ones(size, size, dtype=torch.double) / size

    def smoother(matrix: Tensor) -> Tensor:
        centred = matrix @ centring
        return centred @ torch.linalg.inv(centred + 1e-5 * size * torch.eye(size, dtype=torch.double))

    return torch.trace(smoother(kernel) @ smoother(other))


def slow_kernel(samples: Tensor) -> Tensor:
    """exp(-d2 / (2 * 25 * dim)) pair by pair."""
    rows = samples.flatten(1)
    return torch.stack(
        [torch.stack([torch.exp(-((a - b) ** 2).sum() / (50 * rows.shape[1])) for b in rows]) for a in rows]
    )


def slow_bottleneck(
    images: Tensor, labels: Tensor, hidden: list[Tensor], classes: int, of_input: float, of_label: float
) -> Tensor:
    one_hot = torch.zeros(len(labels), classes, dtype=torch.double)
    for row, label in enumerate(labels):
        one_hot[row, label] = 1
    label_kernel = one_hot @ one_hot.T
    return sum(
        of_input * slow_hsic(slow_kernel(images), slow_kernel(outputs))
        - of_label * slow_hsic(label_kernel, slow_kernel(outputs))
        for outputs in hidden
    )


def hidden_of(model: nn.Module, images: Tensor) -> list[Tensor]:
    """`network` has one hidden layer with weights: its convolution."""
    return [torch.relu(model.conv(2 * images - 1))]


def weight_gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_the_loss_is_that_of_the_paper_in_float64():
    model, (images, labels) = network(), batch(12)
    found = hbar_training(input_weight=1, label_weight=50).loss(model, Batch(images, images, labels))
    expected = F.cross_entropy(network()(images), labels) + slow_bottleneck(
        images, labels, hidden_of(model, images), 3, 1, 50
    )
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert found.correct == (network()(images).argmax(1) == labels).sum()


def test_a_step_descends_the_loss():
    model, before, (images, labels) = network(), network(), batch()
    hbar_training(input_weight=0.5, label_weight=2).step(model, sgd(model), images, labels, generator=seeded())
    loss = F.cross_entropy(before(images), labels) + slow_bottleneck(
        images, labels, hidden_of(before, images), 3, 0.5, 2
    )
    assert_moved_by(model, before, weight_gradients(loss, before))


def test_with_attacks_the_cross_entropy_is_on_attacked_images_and_the_bottleneck_on_original_ones():
    model, before, (images, labels) = network(), network(), batch()
    attack = LinfPGD(epsilon=EPSILON, steps=1, step_size=EPSILON, random_start=True)
    method = adversarial_hbar_training(attack, input_weight=0.3, label_weight=0.8)
    record = method.step(model, sgd(model), images, labels, generator=seeded())
    start = uniform_start(images, EPSILON, seeded()).requires_grad_()
    with evaluation_mode(before):
        (slope,) = torch.autograd.grad(F.cross_entropy(before(start), labels), start)
    attacked = project(start.detach() + EPSILON * slope.sign(), images, EPSILON)
    logits = before(attacked)
    loss = F.cross_entropy(logits, labels) + slow_bottleneck(images, labels, hidden_of(before, images), 3, 0.3, 0.8)
    assert_moved_by(model, before, weight_gradients(loss, before))
    assert record.loss.item() == pytest.approx(loss.item(), abs=1e-6)
    assert record.correct == (logits.argmax(1) == labels).sum()


def test_hidden_layers_of_lenet_are_taken_after_their_relu_and_without_the_logits():
    model, images = construct(lambda: LeNet5(image_size=28), seed=0), torch.rand(3, 1, 28, 28)
    logits, hidden = pass_with_hidden(model, images)
    recorded = {}
    for name in ("conv1", "conv2", "fc1", "fc2"):
        model.get_submodule(name).register_forward_hook(
            lambda _module, _args, output, name=name: recorded.__setitem__(name, output.detach().clone())
        )
    assert torch.equal(model(images), logits)
    assert [tuple(outputs.shape) for outputs in hidden] == [tuple(one.flatten(1).shape) for one in recorded.values()]
    for outputs, before in zip(hidden, recorded.values(), strict=True):
        assert torch.equal(outputs, before.flatten(1).relu())


def test_a_layer_with_an_activation_of_its_own_is_taken_as_it_is():
    class Tanh(nn.Sequential):
        probed_layers = ("0", "1")

    model = Tanh(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh()), nn.Linear(5, 3)).double()
    images, _ = batch()
    _, hidden = pass_with_hidden(model, images)
    assert torch.equal(hidden[0], model[0](images))
    assert hidden[0].min() < 0


def test_an_in_place_relu_behind_a_layer_leaves_its_gradients_right():
    layers = [nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)]
    plain = construct(lambda: nn.Sequential(*layers), seed=0).double()
    in_place = nn.Sequential(layers[0], layers[1], nn.ReLU(inplace=True), layers[3])
    images, labels = batch()
    method = hbar_training(input_weight=1, label_weight=2)
    losses = [method.loss(model, Batch(images, images, labels)).loss for model in (plain, in_place)]
    first, second = (weight_gradients(loss, plain) for loss in losses)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(first, second, strict=True))


def test_hooks_leave_with_the_step():
    model = network()
    hbar_training(input_weight=1, label_weight=2).step(model, sgd(model), *batch(), generator=seeded())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_label_term_gathers_the_classes():
    """Trained by the bottleneck alone, hidden outputs of a class end closer than those of two classes."""
    source = torch.Generator().manual_seed(0)
    images, labels = torch.rand(30, 1, 8, 8, generator=source, dtype=torch.double), torch.arange(30) % 3
    model = construct(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU()), seed=0).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)

    def ratio() -> float:
        outputs = model(images).detach().numpy()
        distances = np.linalg.norm(outputs[:, None] - outputs[None], axis=2)
        same = labels.numpy()[:, None] == labels.numpy()[None]
        return float(distances[~same].mean() / distances[same].mean())

    before = ratio()
    for _ in range(60):
        optimiser.zero_grad()
        hsic_bottleneck(images, labels, [model(images)], classes=3, input_weight=1e-3, label_weight=1).backward()
        optimiser.step()
    assert before < 1.2  # random images have no classes
    assert ratio() > 1.5


@pytest.mark.parametrize("name", ["input_weight", "label_weight"])
def test_weights_must_be_positive(name):
    weights = {"input_weight": 1.0, "label_weight": 1.0, name: -1.0}
    with pytest.raises(ValueError, match=rf"{name} must be positive and finite, got -1\.0"):
        hbar_training(**weights)
    with pytest.raises(ValueError, match=rf"{name} must be positive and finite, got -1\.0"):
        adversarial_hbar_training(LinfPGD(epsilon=0.1, steps=1), **weights)


def test_a_network_without_hidden_layers_is_refused_before_training():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    with pytest.raises(UserError, match=r"HBaR needs a hidden layer: .* only the logits ran; choose another --model"):
        HBAR.check_network(model, batch(2)[0])
