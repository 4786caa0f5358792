"""CEB descends the loss of its paper, and its penalty sets in slowly."""

import math

import pytest
import torch
from tests.training.networks import assert_moved_by, backward_network, batch, coded_network, network, seeded, sgd
from torch import Tensor

from infoplane.attacks import LinfPGD
from infoplane.config import FlowConfig
from infoplane.errors import UserError
from infoplane.models import BottleneckMLP, construct
from infoplane.networks.gaussian_layer import Code
from infoplane.randomness import isolated_global_generator
from infoplane.training import CEBTraining
from infoplane.training.ceb import residual_information
from infoplane.training.methods.ceb import CEB
from infoplane.training.named import named_training


def perceptron() -> BottleneckMLP:
    """Unit noise and means of the classes, in float64."""
    return construct(lambda: BottleneckMLP((10,), 4, (), "unit", image_size=8, classes=3), seed=0).double().train()


def log_density(point: Tensor, mean: Tensor) -> Tensor:
    """Of N(mean, 1) at a point."""
    return -((point - mean) ** 2) / 2 - math.log(2 * math.pi) / 2


def slow_loss(model: BottleneckMLP, images: Tensor, labels: Tensor, rho: float) -> Tensor:
    """Image by image and unit by unit; the caller seeds the draw."""
    noise = torch.randn(len(images), 4, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for image, label, drawn in zip(images, labels, noise, strict=True):
        mean = model.encode(torch.relu(model.hidden[0][0](2 * image.flatten() - 1)))
        code, residual = [], torch.zeros((), dtype=torch.float64)
        for unit in range(4):
            point = mean[unit] + drawn[unit]
            code.append(point)
            backward = log_density(point, model.class_means[label, unit])
            residual = residual + log_density(point, mean[unit]) - backward
        scores = model.linear(torch.stack(code))
        total = total - scores[label] + torch.log(torch.exp(scores).sum()) + math.exp(-rho) * residual
    return total / len(images)


@pytest.mark.parametrize("rho", [-1.0, 0.0, 3.0])
def test_a_step_has_the_loss_and_the_gradients_of_the_paper_in_float64(rho):
    model, before, (images, labels) = perceptron(), perceptron(), batch()
    with isolated_global_generator(3):
        record = CEBTraining(rho).step(model, sgd(model), images, labels, generator=seeded())
    with isolated_global_generator(3):
        loss = slow_loss(before, images, labels, rho)
    assert record.loss.item() == pytest.approx(loss.item(), abs=1e-6)
    gradients = list(torch.autograd.grad(loss, list(before.parameters())))
    assert_moved_by(model, before, gradients)
    names = list(dict(before.named_parameters()))
    assert gradients[names.index("class_means")].abs().max() > 1e-3
    assert gradients[names.index("encode.weight")].abs().max() > 1e-3


def test_the_residual_information_is_a_divergence_on_average():
    # Of N(1, 4) from N(0, 1): (1 + 4 - ln 4 - 1) / 2 nats.
    mean, variance = torch.ones(200_000, 1).double(), torch.tensor(4.0).double()
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    code = Code(mean, variance, mean + 2 * noise)
    found = residual_information(code, torch.zeros(3, 1).double(), torch.zeros(200_000, dtype=torch.long))
    # one term is (z^2 - noise^2) / 2 + constant with a standard deviation of 2.9: four of 2.9 / sqrt(200,000)
    assert found.item() == pytest.approx((4 - math.log(4)) / 2, abs=0.026)


@pytest.mark.parametrize("variance", [torch.tensor(0.5), torch.tensor([0.5, 2.0]), torch.full((3, 2), 0.7)])
def test_the_residual_information_is_that_of_torch_for_every_shape_of_the_variance(variance):
    draws = torch.Generator().manual_seed(0)
    mean, drawn = (torch.randn(3, 2, generator=draws) for _ in range(2))
    means, labels = torch.randn(4, 2, generator=draws), torch.tensor([3, 0, 3])
    e = torch.distributions.Normal(mean, variance.sqrt().expand(3, 2))
    b = torch.distributions.Normal(means[labels], 1.0)
    expected = (e.log_prob(drawn) - b.log_prob(drawn)).sum(dim=1).mean()
    found = residual_information(Code(mean, variance, drawn), means, labels)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_rho_falls_from_100_in_a_straight_line_and_stays():
    method, model = CEBTraining(4.0, annealing_updates=3), perceptron()
    rhos = []
    for _ in range(5):
        rhos.append(method.rho)
        method.step(model, sgd(model), *batch(), generator=seeded())
    assert rhos == pytest.approx([100, 68, 36, 4, 4])


def test_the_first_update_is_one_without_a_penalty():
    model, images, labels = perceptron(), *batch()
    before = model.class_means.detach().clone()
    method = CEBTraining(0.0, annealing_updates=10)
    for _ in range(2):
        method.step(model, sgd(model), images, labels, generator=seeded())
    assert torch.allclose(model.class_means, before, atol=1e-12)  # only the penalty trains them


def test_a_continued_annealing_goes_on_where_it_was():
    method, model = CEBTraining(4.0, annealing_updates=3), perceptron()
    method.step(model, sgd(model), *batch(), generator=seeded())
    other = CEBTraining(4.0, annealing_updates=3)
    other.load_state_dict(method.state_dict())
    assert other.rho == method.rho == pytest.approx(68)


def test_training_draws_codes_to_the_means_of_their_classes():
    distances = []
    for rho in (6.0, -2.0):
        model, (images, labels) = perceptron(), batch(12)
        optimiser, method = torch.optim.Adam(model.parameters(), lr=0.02), CEBTraining(rho)
        with isolated_global_generator(0):
            for _ in range(80):
                method.step(model, optimiser, images, labels, generator=seeded())
        with torch.no_grad():
            codes = model.encode(model.hidden(model.normalise(images).flatten(1)))
            distances.append((codes - model.class_means[labels]).square().sum(dim=1).mean().item() / 2)
    # In nats, I(X; Z | Y) of each: below a tenth under a weight of e^2, above one nat under a weight of e^-6.
    assert distances[1] < 0.1
    assert distances[0] > 1


def test_a_network_that_cannot_be_trained_is_refused():
    with pytest.raises(UserError, match=r"--methods: ceb: Coded has no class_means, .*; add --model mlp-ceb"):
        CEB.check_network(coded_network(), batch()[0])
    network_without_noise = network()
    network_without_noise.class_means = torch.nn.Parameter(torch.zeros(3, 4))
    with pytest.raises(UserError, match=r"--methods: ceb: Small has no GaussianLayer, .*; add --model mlp-ceb"):
        CEB.check_network(network_without_noise, batch()[0])
    wrong = backward_network()
    wrong.class_means = torch.nn.Parameter(torch.zeros(2, 4))
    with pytest.raises(UserError, match=r"class_means must be \(3, 4\) for code, got \(2, 4\)"):
        CEB.check_network(wrong, batch()[0])
    CEB.check_network(backward_network(), batch()[0])


def test_rho_must_be_finite():
    with pytest.raises(ValueError, match="rho must be finite, got nan"):
        CEBTraining(math.nan)


def test_settings_and_length_of_the_training_reach_the_method():
    training = named_training("ceb", FlowConfig(methods=("ceb",), method={"ceb_rho": 2.0}))
    method = training.build(lambda _share: LinfPGD(epsilon=0.1, steps=1), [], updates=40)
    model, rhos = perceptron(), []
    for _ in range(11):
        rhos.append(method.rho)
        method.step(model, sgd(model), *batch(), generator=seeded())
    assert rhos[0] == 100
    assert rhos[9] > 2
    assert rhos[10] == 2  # after a quarter of the updates
