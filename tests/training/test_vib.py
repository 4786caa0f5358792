"""VIB descends the loss of its paper."""

import math

import pytest
import torch
from tests.training.networks import assert_moved_by, batch, coded_network, network, seeded, sgd
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.config import FlowConfig
from infoplane.errors import UserError
from infoplane.models import BottleneckMLP, construct
from infoplane.networks.gaussian_layer import Code, recorded_codes
from infoplane.randomness import isolated_global_generator
from infoplane.training import Batch, BatchLoss, normal_training, vib_training
from infoplane.training.methods.vib import VIB
from infoplane.training.named import named_training
from infoplane.training.vib import rate


def perceptron() -> BottleneckMLP:
    """Noise per image and unit, in float64."""
    return construct(lambda: BottleneckMLP((10,), 4, image_size=8, classes=3), seed=0).double().train()


def slow_loss(model: BottleneckMLP, images: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Image by image and unit by unit; the caller seeds the draw."""
    noise = torch.randn(len(images), 4, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for image, label, drawn in zip(images, labels, noise, strict=True):
        hidden = torch.relu(model.hidden[0][0](2 * image.flatten() - 1))
        encoded = model.encode(hidden)
        code, divergence = [], torch.zeros((), dtype=torch.float64)
        for unit in range(4):
            mean, deviation = encoded[unit], torch.log1p(torch.exp(encoded[4 + unit] - 5))
            code.append(mean + deviation * drawn[unit])
            divergence = divergence + (mean**2 + deviation**2) / 2 - torch.log(deviation) - 0.5
        scores = model.linear(torch.stack(code))
        total = total - scores[label] + torch.log(torch.exp(scores).sum()) + beta * divergence
    return total / len(images)


def loss_of(beta: float, model: nn.Module, images: Tensor, labels: Tensor) -> BatchLoss:
    with isolated_global_generator(3):
        return vib_training(beta).loss(model, Batch(images, images, labels))


@pytest.mark.parametrize("beta", [0.0, 0.01, 2.0])
def test_the_loss_is_that_of_the_paper_in_float64(beta):
    model, (images, labels) = perceptron(), batch()
    found = loss_of(beta, model, images, labels)
    with isolated_global_generator(3):
        expected = slow_loss(model, images, labels, beta)
    assert found.loss.dtype == torch.float64
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_step_descends_the_gradient_of_means_and_variances():
    model, before, (images, labels) = perceptron(), perceptron(), batch()
    with isolated_global_generator(3):
        vib_training(0.7).step(model, sgd(model), images, labels, generator=seeded())
    with isolated_global_generator(3):
        loss = slow_loss(before, images, labels, 0.7)
    gradients = list(torch.autograd.grad(loss, list(before.parameters())))
    assert_moved_by(model, before, gradients)
    of_means, of_variances = gradients[list(dict(before.named_parameters())).index("encode.weight")].chunk(2)
    assert of_means.abs().max() > 1e-3
    assert of_variances.abs().max() > 1e-3


def test_the_rate_has_its_closed_form():
    # One unit of N(2, 1) has (2^2) / 2 = 2 nats; of N(0, e^2): (e^2 - 2 - 1) / 2. The mean of both images is taken.
    means = torch.tensor([[2.0], [0.0]], dtype=torch.float64)
    variances = torch.tensor([[1.0], [math.e**2]], dtype=torch.float64)
    expected = (2 + (math.e**2 - 3) / 2) / 2
    assert rate(Code(means, variances, means)).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (5, 3)])
def test_the_rate_is_that_of_torch_for_every_shape_of_the_variance(shape):
    draws = torch.Generator().manual_seed(0)
    means = torch.randn(5, 3, generator=draws, dtype=torch.float64)
    variances = torch.rand(shape, generator=draws, dtype=torch.float64) + 0.1
    code = torch.distributions.Normal(means, variances.sqrt().expand(5, 3))
    reference = torch.distributions.kl_divergence(code, torch.distributions.Normal(0.0, 1.0)).sum(dim=1).mean()
    assert rate(Code(means, variances, means)).item() == pytest.approx(reference.item(), abs=1e-9)


def test_a_larger_beta_leaves_a_lower_rate():
    images, labels = batch(12)
    rates = []
    for beta in (1e-3, 1.0):
        model = perceptron()
        optimiser, method = torch.optim.Adam(model.parameters(), lr=0.02), vib_training(beta)
        with isolated_global_generator(0):
            for _ in range(60):
                method.step(model, optimiser, images, labels, generator=seeded())
        with recorded_codes(model.eval()) as codes, torch.no_grad():
            model(images)
        rates.append(rate(codes["code"]).item())
    # 12 images of 3 classes need ln 3 nats; a beta of 1 weighs a nat of the rate as much as one of the cross-entropy.
    assert rates[0] > math.log(3) > rates[1]


def test_beta_zero_is_normal_training_of_the_stochastic_network():
    one, other, (images, labels) = coded_network(), coded_network(), batch()
    for method, model in ((vib_training(0.0), one), (normal_training(), other)):
        with isolated_global_generator(1):
            method.step(model, sgd(model), images, labels, generator=seeded())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_beta_must_be_at_least_zero(beta):
    with pytest.raises(ValueError, match=rf"beta must be at least 0 and finite, got {beta}"):
        vib_training(beta)


def test_a_network_without_noise_is_refused():
    with pytest.raises(UserError, match=r"--methods: vib trains a network with noise of its own .*; add --model mlp-v"):
        VIB.check_network(network(), batch()[0])
    VIB.check_network(coded_network(), batch()[0])
    with pytest.raises(ValueError, match="Small has no GaussianLayer"):
        loss_of(1.0, network(), *batch())


def test_the_setting_reaches_the_loss():
    training = named_training("vib", FlowConfig(methods=("vib",), method={"vib_beta": 0.25}))
    method = training.build(lambda _share: LinfPGD(epsilon=0.1, steps=1), [])
    model, (images, labels) = coded_network().eval(), batch()
    found = method.loss(model, Batch(images, images, labels)).loss
    assert torch.equal(found, loss_of(0.25, model, images, labels).loss)
