"""Two processes train as one: the same images in the same places, the same draws, the same weights."""

from typing import Any

import pytest
import torch
from tests.team.processes import on_processes
from torch import Tensor, nn

from infoplane.config import AttackConfig, FlowConfig, TrainingConfig
from infoplane.distributed.team import ALONE, Team
from infoplane.models import LeNet5, construct
from infoplane.randomness import draw_per_image
from infoplane.studies.flow.trainers import build_method
from infoplane.training import Trainer, normal_training
from infoplane.training.catalogue import METHODS
from infoplane.training.method import Stateless, StepRecord
from infoplane.training.named import named_training

BATCH = 32
# Each process takes the penalty of its own images, or draws other noise (docs/training.md): not the same weights.
DIFFERENT = ("nib", "vib", "ceb", "hbar", "adversarial-hbar")
NAMES = (*(spec.name for spec in METHODS if spec.name not in DIFFERENT), "adversarial+awp", "free+awp")


def training_images() -> tuple[Tensor, Tensor]:
    """Batches of 32, 32 and 7, and one of a single image."""
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (72, 1, 16, 16), dtype=torch.uint8, generator=source)
    return images, torch.randint(0, 3, (72,), generator=source)


class InDouble(nn.Module):
    """So precise that sums in another order flip no sign of a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.network = construct(lambda: LeNet5(image_size=16, classes=3), seed=1).double()
        self.first_layer = "network.conv1"

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.double())


def trained(
    name: str, team: Team, epochs: int = 2
) -> tuple[dict[str, Tensor], list[tuple[float, ...]], tuple[int, int]]:
    images, labels = training_images()
    config = FlowConfig(attack=AttackConfig(epsilon=0.1, step_size=0.05, steps=3))
    settings = TrainingConfig(batch_size=BATCH, epochs=epochs, learning_rate=0.05, gradient_clip=1.0)
    sources = [construct(InDouble, seed=5).eval()]
    model = construct(InDouble, seed=1)
    method = build_method(named_training(name, config), config, sources)
    run = Trainer(model, method, images, labels, settings, seed=3, training=name, team=team)
    records = [run.train_epoch() for _ in range(epochs)]
    return (
        dict(model.state_dict()),
        [(record.loss, record.accuracy) for record in records],
        (run.forward_evaluations, run.gradient_evaluations),
    )


def everything(team: Team) -> dict[str, Any]:
    """What all tests of two processes look at: starting processes takes longer than their work."""
    results: dict[str, Any] = {name: trained(name, team) for name in NAMES}
    return results | {work.__name__: work(team) for work in (seen, one_image, normalised, continued)}


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    return on_processes(everything, 2, tmp_path_factory.mktemp("team"))


@pytest.mark.filterwarnings("ignore::infoplane.attacks.AttackWarning")
@pytest.mark.parametrize("name", NAMES)
def test_every_method_gives_the_weights_of_one_process(on_two, name):
    weights, records, evaluations = trained(name, ALONE)
    for rank in range(2):
        theirs, their_records, their_evaluations = on_two[rank][name]
        for key, value in weights.items():
            assert torch.allclose(theirs[key], value, rtol=0, atol=1e-6), (key, (theirs[key] - value).abs().max())
        assert torch.allclose(torch.tensor(their_records), torch.tensor(records), atol=1e-5)
        assert their_evaluations == evaluations


class Recording(Stateless):
    """Keeps what it is given; the weights stay."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.draws: list[Tensor] = []

    def step(self, model, optimiser, images, labels, *, generator) -> StepRecord:
        self.images.append(images)
        self.labels.append(labels)
        self.draws.append(draw_per_image(torch.rand, (len(images), 2), generator, dtype=torch.float32))
        for weights in model.parameters():
            weights.grad = torch.zeros_like(weights)
        optimiser.step()
        return StepRecord(torch.zeros(()), torch.tensor(len(images)), len(images), len(images))


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.where(torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5, images.flip(3), images)


def seen(team: Team) -> tuple[list[Tensor], list[Tensor], list[Tensor], float]:
    images, labels = training_images()
    method = Recording()
    model = construct(lambda: LeNet5(image_size=16, classes=3), seed=0)
    settings = TrainingConfig(batch_size=BATCH, epochs=1)
    run = Trainer(model, method, images, labels, settings, seed=3, training="x", augmentation=flipped, team=team)
    record = run.train_epoch()
    return method.images, method.labels, method.draws, record.accuracy


@pytest.mark.parametrize("processes", [2, 3])
def test_places_of_a_batch_are_dealt_out_without_overlap(processes, on_two, tmp_path):
    whole = seen(ALONE)
    parts = [rank["seen"] for rank in on_two] if processes == 2 else on_processes(seen, processes, tmp_path)
    assert [len(batch) for batch in whole[0]] == [32, 32, 8]
    for kind in range(3):
        for number, batch in enumerate(whole[kind]):
            for rank in range(processes):
                assert torch.equal(parts[rank][kind][number], batch[rank::processes])
    assert [part[3] for part in parts] == [1] * processes


def test_a_batch_smaller_than_the_team_is_everybodys(on_two):
    alone = one_image(ALONE)
    for theirs in (rank["one_image"] for rank in on_two):
        assert theirs[1:] == pytest.approx(alone[1:])
        assert all(torch.allclose(theirs[0][key], value, atol=1e-12) for key, value in alone[0].items())


def one_image(team: Team) -> tuple[dict[str, Tensor], float, float, int]:
    images, labels = training_images()
    model = construct(InDouble, seed=1)
    settings = TrainingConfig(batch_size=1, epochs=1, learning_rate=0.1)
    run = Trainer(model, normal_training(), images[:1], labels[:1], settings, seed=3, training="normal", team=team)
    record = run.train_epoch()
    return dict(model.state_dict()), record.loss, record.accuracy, run.gradient_evaluations


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        self.linear = nn.Linear(256, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.bn(images).flatten(1))


def normalised(team: Team) -> dict[str, Tensor]:
    images, labels = training_images()
    model = construct(Normalised, seed=1)
    settings = TrainingConfig(batch_size=BATCH, epochs=1, learning_rate=0.05)
    Trainer(model, normal_training(), images, labels, settings, seed=3, training="normal", team=team).train_epoch()
    return dict(model.state_dict())


def test_batch_statistics_are_each_process_own_and_the_leaders_are_kept(on_two):
    first, second = (rank["normalised"] for rank in on_two)
    assert all(torch.equal(first[key], second[key]) for key in first)
    expected = nn.BatchNorm2d(1)
    for images in seen(ALONE)[0]:
        expected(images[::2])  # normalising does not depend on the weights before it: there are none
    # `seen` flips images, which leaves their mean and variance
    assert torch.allclose(first["bn.running_mean"], expected.running_mean, atol=1e-6)
    assert torch.allclose(first["bn.running_var"], expected.running_var, atol=1e-6)


def continued(team: Team) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    images, labels = training_images()
    config = FlowConfig(attack=AttackConfig(epsilon=0.1, step_size=0.05, steps=3))
    settings = TrainingConfig(batch_size=BATCH, epochs=2, learning_rate=0.05)

    def fresh() -> Trainer:
        method = build_method(
            named_training("free", config), config, []
        )  # remembers a perturbation of the process's own images
        return Trainer(construct(InDouble, seed=1), method, images, labels, settings, seed=3, training="x", team=team)

    unbroken, before, after = fresh(), fresh(), fresh()
    for _ in range(4):
        unbroken.train_epoch()
    for _ in range(2):
        before.train_epoch()
    after.load_state_dict(team.tell(before.state_dict()))
    for _ in range(2):
        after.train_epoch()
    return dict(unbroken.model.state_dict()), dict(after.model.state_dict())


def test_the_leaders_state_continues_all(on_two):
    for unbroken, after in (rank["continued"] for rank in on_two):
        assert all(torch.equal(unbroken[key], after[key]) for key in unbroken)
