"""`AveragedDraws` is the mean of the softmax over draws; what has no random part runs once."""

import math

import pytest
import torch
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.models import BottleneckMLP, construct
from infoplane.networks.averaged_draws import AveragedDraws
from infoplane.networks.gaussian_layer import GaussianLayer, drawing, recorded_codes
from infoplane.randomness import isolated_global_generator


class Noisy(nn.Module):
    """The one pixel is the mean of a code of one unit, and the code is the logit of the second of two classes."""

    def __init__(self, variance: float | Tensor = 1.0) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.code = GaussianLayer()
        self.second = GaussianLayer()
        self.decoder = nn.Identity()
        self.variance = torch.as_tensor(variance)

    def forward(self, images: Tensor) -> Tensor:
        code = self.second(self.code(self.encoder(images.flatten(1)), self.variance), torch.zeros(()))
        return self.decoder(torch.cat([torch.zeros_like(code), code], dim=1))


def bottleneck(noise: str = "diagonal") -> BottleneckMLP:
    return construct(lambda: BottleneckMLP((16,), 8, (5,), noise, image_size=4, classes=3), seed=0).double().eval()


def pixels(rows: int = 5, size: int = 4) -> Tensor:
    return torch.rand(rows, 1, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_mean_probability_is_that_of_a_logit_under_gaussian_noise():
    model, images = Noisy(4.0).double().eval(), torch.tensor([0.2, 0.9]).double().reshape(2, 1, 1, 1)
    with isolated_global_generator(0), torch.no_grad():
        found = AveragedDraws(model, draws=40_000)(images).exp()
    grid = torch.linspace(-10, 10, 20_001, dtype=torch.float64)  # in standard deviations
    density = (-grid.square() / 2).exp() / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    for pixel, row in zip(images.flatten(), found, strict=True):
        truth = (density * torch.sigmoid(pixel + 2 * grid)).sum()
        # a probability of 0 to 1 has a standard deviation below 1/2: four of 0.5 / sqrt(40,000)
        assert row[1].item() == pytest.approx(truth.item(), abs=0.01)
    assert torch.allclose(found.sum(dim=1), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("noise", ["diagonal", "scalar", "unit"])
def test_it_is_the_log_of_the_mean_softmax_of_each_draw(noise):
    model, images = bottleneck(noise), pixels()
    with isolated_global_generator(3):
        found = AveragedDraws(model, draws=4)(images)
    with isolated_global_generator(3), recorded_codes(model) as codes, drawing(model, draws=4, rows=5):
        model(images)
        code = codes["code"]
    with isolated_global_generator(3):
        noise_of_each = torch.randn(4, 5, 8, dtype=torch.float64)
    means = []
    for row in range(5):
        total = torch.zeros(3, dtype=torch.float64)
        for draw in range(4):
            deviation = code.variance.sqrt().expand(5, 8)[row]
            drawn = code.mean[row] + deviation * noise_of_each[draw, row]
            assert torch.allclose(code.drawn[draw * 5 + row], drawn)
            total += model.linear(model.decoder(drawn[None]))[0].softmax(dim=0) / 4
        means.append(total)
    assert torch.allclose(found, torch.stack(means).log(), atol=1e-12)


def test_the_encoder_runs_once_per_image_and_the_decoder_once_per_draw():
    model, rows = Noisy().eval(), []
    for part in (model.encoder, model.second, model.decoder):
        part.register_forward_hook(lambda _module, args, _output: rows.append(len(args[0])))
    AveragedDraws(model, draws=7)(torch.rand(3, 1, 1, 1))
    assert rows == [3, 21, 21]


def test_without_noise_it_is_the_network_itself():
    model, images = Noisy(0.0).eval(), torch.rand(3, 1, 1, 1)
    assert torch.allclose(AveragedDraws(model)(images), model(images).log_softmax(dim=1))


def test_draws_differ_between_passes_and_are_repeated_from_a_seed():
    averaged, images = AveragedDraws(bottleneck()), pixels()
    with isolated_global_generator(0):
        first, second = averaged(images), averaged(images)
    with isolated_global_generator(0):
        again = averaged(images)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_more_draws_vary_less():
    model, images = bottleneck("unit"), pixels(1)
    spreads = []
    for draws in (1, 25):
        averaged = AveragedDraws(model, draws)
        with isolated_global_generator(0), torch.no_grad():
            spreads.append(torch.stack([averaged(images)[0].softmax(dim=0)[0] for _ in range(200)]).std().item())
    # the spread falls by sqrt(25) = 5; of 200 values it is known to 5 %, so their ratio to 21 % at three of these
    assert spreads[0] / spreads[1] == pytest.approx(5, rel=0.21)


def test_gradients_reach_the_images_and_an_attack_raises_the_loss_through_the_draws():
    model, images, labels = bottleneck(), pixels().float(), torch.tensor([0, 1, 2, 0, 1])
    averaged = AveragedDraws(model.float(), draws=20)
    loss = nn.CrossEntropyLoss()
    attack = LinfPGD(epsilon=0.3, steps=5, random_start=True)
    attacked = attack(averaged, images, labels, generator=torch.Generator().manual_seed(0))
    with isolated_global_generator(0), torch.no_grad():
        assert loss(averaged(attacked), labels) > loss(averaged(images), labels) + 0.01


def test_the_network_is_left_on_its_mean_path():
    model, images = bottleneck(), pixels()
    before = model(images)
    AveragedDraws(model)(images)
    assert torch.equal(model(images), before)
    with pytest.raises(ValueError, match="takes images of shape"), drawing(model, draws=3, rows=5):
        model(images[:, :, :2])
    assert torch.equal(model(images), before)
    assert model.train()(images).shape == before.shape  # a training pass draws once


def test_a_network_without_noise_of_its_own_is_refused():
    with pytest.raises(ValueError, match="Linear has no GaussianLayer, so it adds no noise of its own"):
        AveragedDraws(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        AveragedDraws(bottleneck(), draws=0)


def test_logits_that_miss_the_draws_are_refused():
    class Skipping(Noisy):
        def forward(self, images: Tensor) -> Tensor:
            super().forward(images)
            return images.flatten(1).expand(-1, 2)

    with pytest.raises(ValueError, match="Skipping returned 3 rows for 12 draws of 3 images"):
        AveragedDraws(Skipping().eval())(torch.rand(3, 1, 1, 1))


def test_several_draws_need_the_number_of_rows():
    with pytest.raises(ValueError, match="rows must be given, got None with draws = 3"), drawing(bottleneck(), draws=3):
        pass
