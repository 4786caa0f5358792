"""Networks that draw in evaluation mode: averages are means, same draws are the same, and gradients are averaged."""

import pytest
import torch
from torch import nn

from infoplane.attacks.hygiene import GradientHealth
from infoplane.attacks.oracle import Oracle
from infoplane.networks.gaussian_layer import GaussianLayer
from infoplane.networks.random_passes import AveragedPasses, SameDraws, SingleDraw

IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class NoisyWeights(nn.Module):
    """Logits with weights that are drawn at every pass: their gradient to the images is the drawn weights."""

    def forward(self, images):
        return images.flatten(1) @ torch.randn(16, 3)


class NoisyCode(nn.Module):
    def __init__(self):
        super().__init__()
        self.code = GaussianLayer()

    def forward(self, images):
        return self.code(images.flatten(1), torch.ones(())).unflatten(1, (4, 4)).sum(dim=2)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


def test_averaged_passes_take_the_mean_of_the_softmaxes():
    state = torch.get_rng_state()
    found = AveragedPasses(NoisyWeights(), 5)(IMAGES)
    torch.set_rng_state(state)
    expected = torch.stack([NoisyWeights()(IMAGES).softmax(dim=1) for _ in range(5)]).mean(dim=0)
    torch.testing.assert_close(found.exp(), expected)


def test_gradients_averaged_over_20_draws_have_a_twentieth_of_the_variance():
    """Each gradient is a mean of 20 independent standard normal weights.

    400 gradients of 16 pixels give 6,400 independent terms. The variance of their variance is 2 / 6,400 of its square,
    so five spreads are 9 % of it.
    """

    def variance(draws):
        oracle = Oracle(NoisyWeights(), GradientHealth(1, torch.device("cpu")), draws=draws)
        first = torch.tensor([[1.0, 0, 0]])
        return torch.stack([oracle.gradient(IMAGES[:1], lambda _: first)[1] for _ in range(400)]).var().item()

    assert variance(1) == pytest.approx(1, rel=0.09)
    assert variance(20) == pytest.approx(1 / 20, rel=0.09)


def test_the_same_draws_are_drawn_in_every_pass_and_the_global_generator_stays():
    network, state = SameDraws(NoisyWeights(), seed=3), torch.get_rng_state()
    assert torch.equal(network(IMAGES), network(IMAGES))
    assert not torch.equal(network(IMAGES), SameDraws(NoisyWeights(), seed=4)(IMAGES))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_single_draw_is_another_one_at_each_pass_and_the_network_keeps_its_mean_path():
    network = NoisyCode().eval()
    single = SingleDraw(network)
    assert not torch.equal(single(IMAGES), single(IMAGES))
    assert torch.equal(network(IMAGES), IMAGES.squeeze(1).sum(dim=2))


def test_at_least_one_pass():
    with pytest.raises(ValueError, match="passes must be at least 1, got 0"):
        AveragedPasses(NoisyCode(), 0)
