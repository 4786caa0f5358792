"""NIB descends the loss of its paper; networks that it cannot train are refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import assert_moved_by, batch, coded_network, network, seeded, sgd
from torch import Tensor, nn

from infoplane.errors import UserError
from infoplane.estimators import kde_information
from infoplane.models.bottleneck_mlp import BottleneckMLP
from infoplane.networks.gaussian_layer import recorded_codes
from infoplane.training import Batch, nib_training
from infoplane.training.methods.nib import NIB
from infoplane.training.named import named_training


def slow_bound(means: Tensor, variance: Tensor) -> Tensor:
    """The bound of the paper, pair by pair: -(1/N) sum_i ln (1/N) sum_j exp(-|f_i - f_j|^2 / (2 s2))."""
    total = torch.zeros((), dtype=torch.double)
    for one in means:
        kernels = [torch.exp(-((one - other) ** 2).sum() / (2 * variance)) for other in means]
        total = total - torch.log(sum(kernels) / len(means)) / len(means)
    return total


def slow_loss(model: nn.Module, images: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Cross-entropy of one draw, and beta times the squared bound; the caller seeds the draw."""
    features = torch.relu(model.norm(model.conv(2 * images - 1)))
    means, variance = model.encode(features.flatten(1)), F.softplus(model.raw_variance)
    logits = model.linear(means + variance.sqrt() * torch.randn_like(means))
    cross_entropy = -sum(row[label] - row.logsumexp(0) for row, label in zip(logits, labels, strict=True)) / len(labels)
    return cross_entropy + beta * slow_bound(means, variance) ** 2


@pytest.mark.parametrize("beta", [0.01, 1.5])
def test_the_loss_is_that_of_the_paper_in_float64(beta):
    model, (images, labels) = coded_network(), batch()
    torch.manual_seed(3)
    found = nib_training(beta=beta).loss(model, Batch(images, images, labels))
    torch.manual_seed(3)
    expected = slow_loss(coded_network(), images, labels, beta)
    assert found.loss.dtype == torch.float64
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_step_descends_the_gradient_of_mean_and_variance():
    model, before, (images, labels) = coded_network(), coded_network(), batch()
    torch.manual_seed(4)
    nib_training(beta=0.7).step(model, sgd(model), images, labels, generator=seeded())
    torch.manual_seed(4)
    loss = slow_loss(before, images, labels, 0.7)
    assert_moved_by(model, before, list(torch.autograd.grad(loss, list(before.parameters()))))


def test_without_cross_entropy_the_penalty_is_beta_times_the_squared_bound_of_kde_information():
    model, (images, labels) = coded_network().eval(), batch()  # no draw: the cross-entropy is that of the means
    with recorded_codes(model) as codes:
        plain = F.cross_entropy(model(images), labels)
    (code,) = codes.values()
    information = kde_information(code.mean.detach(), labels, noise_variance=code.variance.item()).input_upper.value
    loss = nib_training(beta=0.3).loss(model, Batch(images, images, labels)).loss
    assert (loss - plain).item() == pytest.approx(0.3 * information**2, abs=1e-6)


def test_training_with_a_larger_beta_leaves_less_information():
    torch.manual_seed(0)
    images, labels = batch(12)
    found = []
    for beta in (1e-3, 10.0):
        model = coded_network()
        optimiser, method = torch.optim.Adam(model.parameters(), lr=0.02), nib_training(beta=beta)
        for _ in range(60):
            method.step(model, optimiser, images, labels, generator=seeded())
        with recorded_codes(model.eval()) as codes, torch.no_grad():
            model(images)
        found.append(slow_bound(codes["code"].mean, codes["code"].variance).item())
    # After 60 steps beta = 1e-3 keeps most of ln 12 = 2.48 nats, and beta = 10 next to nothing.
    assert found[0] > math.log(3)
    assert found[1] < 0.1


def test_beta_must_be_positive():
    with pytest.raises(ValueError, match=r"beta must be positive and finite, got 0\.0"):
        nib_training(beta=0.0)


def test_a_network_without_noise_is_refused_before_training():
    with pytest.raises(UserError, match=r"nib trains a network with noise of its own .*; add --model mlp-nib"):
        NIB.check_network(network(), batch()[0])


def test_noise_that_differs_by_unit_is_refused_before_training():
    model = BottleneckMLP(hidden=(8,), code=4, image_size=8, classes=3).double()
    with pytest.raises(UserError, match=r"nib needs noise of one variance.*; add --model mlp-nib"):
        NIB.check_network(model, batch(2)[0])


@pytest.mark.parametrize("noise", ["scalar", "unit"])
def test_noise_of_one_variance_is_accepted_and_the_network_left_as_it_was(noise):
    model = BottleneckMLP(hidden=(8,), code=4, noise=noise, image_size=8, classes=3).double().train()
    NIB.check_network(model, batch(2)[0])
    assert all(module.training for module in model.modules())


def test_the_setting_reaches_the_loss():
    from infoplane.attacks import LinfPGD
    from infoplane.config import FlowConfig

    training = named_training("nib", FlowConfig(methods=("nib",), method={"nib_beta": 0.25}))
    method = training.build(lambda _share: LinfPGD(epsilon=0.1, steps=1), [])
    model, (images, labels) = coded_network().eval(), batch()
    expected = nib_training(beta=0.25).loss(model, Batch(images, images, labels)).loss
    assert torch.equal(method.loss(model, Batch(images, images, labels)).loss, expected)
