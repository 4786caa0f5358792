"""The loop: order, schedule, augmentation, counters, and a continued run that equals an unbroken one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.runs.state_tensors import join_state, split_state
from infoplane.training import DivergedError, StepRecord, Trainer, adversarial_training, normal_training

SETTINGS = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.05, milestones=(1, 2), gamma=0.5, warmup_epochs=0)


def bytes_and_labels(number: int = 40, channels: int = 1, size: int = 28) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (number, channels, size, size), generator=source, dtype=torch.uint8)
    return images, torch.arange(number) % 10


class Recorder:
    """A method that only writes down what the loop gives it."""

    reason: str | None = None  # to end the training

    def __init__(self, replays: int = 1) -> None:
        self.replays = replays
        self.batches: list[Tensor] = []
        self.labels: list[Tensor] = []
        self.rates: list[float] = []
        self.draws: list[float] = []
        self.epochs_ended = 0

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        assert model.training
        self.batches.append(images.clone())
        self.labels.append(labels)
        self.rates.append(optimiser.param_groups[0]["lr"])
        self.draws.append(torch.rand((), generator=generator).item())
        return StepRecord(torch.tensor(1.0), torch.tensor(2), 3, 5)

    def end_epoch(self, model: nn.Module) -> str | None:
        self.epochs_ended += 1
        return self.reason

    def state_dict(self) -> dict[str, Any]:
        return {"epochs_ended": self.epochs_ended}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs_ended = state["epochs_ended"]


def trainer(method=None, *, seed: int = 0, training: str = "normal", settings=SETTINGS, **more) -> Trainer:
    model = construct(LeNet5, seed=seed)
    return Trainer(model, method or Recorder(), *bytes_and_labels(), settings, seed=seed, training=training, **more)


def test_the_learning_rate_is_halved_at_milestones_of_epochs_never_of_batches():
    recorder = Recorder()
    run = trainer(recorder)
    for _ in range(3):
        run.train_epoch()
    assert recorder.rates == [0.05] * 3 + [0.025] * 3 + [0.0125] * 3  # 40 images make 3 batches of 16


def test_milestones_in_batches_count_those_of_all_epochs_also_in_a_restored_training():
    settings = SETTINGS.model_copy(update={"milestones": (2, 4), "milestones_in": "batches"})
    recorder = Recorder()
    run = trainer(recorder, settings=settings)
    first = run.train_epoch()
    assert recorder.rates == [0.05, 0.05, 0.025]  # 40 images make 3 batches of 16
    again = trainer(restored := Recorder(), settings=settings)
    again.load_state_dict(run.state_dict())
    second = again.train_epoch()
    assert restored.rates == [0.025, 0.0125, 0.0125]
    assert (first.learning_rate, second.learning_rate) == (0.025, 0.0125)  # at the last update


def test_the_learning_rate_warms_up_update_by_update_and_is_then_the_schedules():
    recorder = Recorder()
    run = trainer(recorder, settings=SETTINGS.model_copy(update={"warmup_epochs": 1.0}))
    records = [run.train_epoch() for _ in range(2)]
    assert recorder.rates == pytest.approx([0.05 / 3, 0.05 * 2 / 3, 0.05] + [0.025] * 3)
    assert [record.learning_rate for record in records] == [0.05, 0.025]


def test_every_image_is_seen_once_per_epoch_as_floats_in_the_unit_interval():
    recorder = Recorder()
    trainer(recorder).train_epoch()
    seen = torch.cat(recorder.batches)
    images, labels = bytes_and_labels()
    assert [len(batch) for batch in recorder.batches] == [16, 16, 8]
    assert torch.equal(seen.flatten(1).sum(1).sort().values, (images.float() / 255).flatten(1).sum(1).sort().values)
    assert torch.equal(torch.cat(recorder.labels).sort().values, labels.sort().values)
    assert (seen.min(), seen.max()) == (0, 1)


def test_trainings_of_a_seed_share_order_but_not_their_own_draws():
    first, second, other = Recorder(), Recorder(), Recorder()
    trainer(first).train_epoch()
    trainer(second, training="adversarial").train_epoch()
    trainer(other, seed=1).train_epoch()
    assert all(torch.equal(a, b) for a, b in zip(first.batches, second.batches, strict=True))
    assert first.draws != second.draws
    assert not torch.equal(first.batches[0], other.batches[0])


def test_each_epoch_has_its_own_order_and_augmentation():
    seen: list[list[float]] = []

    def augmentation(images: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(torch.rand(2, generator=generator).tolist())
        return images * 0.5

    recorder = Recorder()
    run = trainer(recorder, augmentation=augmentation)
    run.train_epoch()
    run.train_epoch()
    assert not torch.equal(recorder.labels[0], recorder.labels[3])
    assert len({tuple(draws) for draws in seen}) == 6
    assert recorder.batches[0].max() <= 0.5


def test_a_method_that_replays_passes_over_a_share_of_the_batches_in_each_epoch():
    once, replaying = Recorder(), Recorder(replays=2)
    trainer(once).train_epoch()
    run = trainer(replaying)
    run.train_epoch()
    assert [len(labels) for labels in replaying.labels] == [16, 8]  # the first and the third of three batches
    run.train_epoch()
    seen = [replaying.labels[place] for place in (0, 2, 1)]
    assert all(torch.equal(a, b) for a, b in zip(seen, once.labels, strict=True))
    run.train_epoch()
    assert not torch.equal(replaying.labels[3], once.labels[0])  # the next pass has its own order


def test_a_method_can_end_the_training():
    recorder = Recorder()
    run = trainer(recorder)
    run.train_epoch()
    assert run.stopped is None
    recorder.reason = "enough"
    run.train_epoch()
    assert (run.stopped, run.epoch) == ("enough", 2)
    assert trainer().stopped is None
    later = trainer()
    later.load_state_dict(run.state_dict())
    assert later.stopped == "enough"


def test_counters_and_records_add_up():
    run = trainer(Recorder())
    heard: list[int] = []
    record = run.train_epoch(heard.append)
    assert (record.epoch, record.loss, record.accuracy, record.learning_rate) == (1, 1.0, 6 / 40, 0.05)
    assert (run.forward_evaluations, run.gradient_evaluations) == (9, 15)
    assert heard == [16, 16, 8]
    assert run.method.epochs_ended == 1


@pytest.mark.parametrize("factory", [LeNet5, lambda: WideResNet(image_size=28, channels=1)])
def test_a_continued_training_gives_the_same_bits_as_an_unbroken_one(factory):
    def fresh() -> Trainer:
        model = construct(factory, seed=0).to(memory_format=torch.channels_last)
        method = adversarial_training(LinfPGD(epsilon=0.1, steps=2, random_start=True))
        return Trainer(model, method, *bytes_and_labels(), SETTINGS, seed=0, training="adversarial")

    unbroken, first, continued = fresh(), fresh(), fresh()
    for _ in range(3):
        unbroken.train_epoch()
    first.train_epoch()
    tensors, skeleton = split_state(first.state_dict())
    stored = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    continued.load_state_dict(join_state(stored, skeleton))  # as a file keeps them: without their memory layout
    torch.rand(5)  # what happens between two sittings must not matter
    for _ in range(2):
        continued.train_epoch()
    expected, found = unbroken.model.state_dict(), continued.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert continued.gradient_evaluations == unbroken.gradient_evaluations


def test_dropout_repeats_with_the_seed_and_spares_the_global_generator():
    def weights() -> Tensor:
        model = construct(lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)), seed=0)
        run = Trainer(model, normal_training(), *bytes_and_labels(), SETTINGS, seed=0, training="normal")
        run.train_epoch()
        return model[2].weight.detach()

    first = weights()
    before = torch.get_rng_state()
    assert torch.equal(weights(), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_learning_lowers_the_loss():
    images = torch.zeros(40, 1, 28, 28, dtype=torch.uint8)
    labels = torch.arange(40) % 2
    images[labels == 1, :, :14] = 255
    model = construct(lambda: LeNet5(classes=2), seed=0)
    settings = TrainingConfig(epochs=12, batch_size=8, learning_rate=0.05)
    run = Trainer(model, normal_training(), images, labels, settings, seed=0, training="normal")
    losses = [run.train_epoch().loss for _ in range(12)]
    assert losses[-1] < 0.1 * losses[0]


def test_a_diverging_run_says_at_which_epoch_and_what_to_try():
    settings = TrainingConfig(epochs=3, batch_size=16, learning_rate=1e10)
    run = trainer(normal_training(), settings=settings)
    with pytest.raises(DivergedError, match=r"diverged in epoch 1: .* lower learning rate than 1e\+10"):
        run.train_epoch()


def test_weights_that_break_in_the_last_step_are_noticed():
    class Poison(Recorder):
        def step(self, model, optimiser, images, labels, *, generator):
            with torch.no_grad():
                next(model.parameters()).fill_(torch.inf)
            return super().step(model, optimiser, images, labels, generator=generator)

    with pytest.raises(DivergedError, match="a weight is not finite"):
        trainer(Poison()).train_epoch()


def test_images_must_be_bytes():
    with pytest.raises(ValueError, match="images must be uint8"):
        Trainer(LeNet5(), Recorder(), torch.rand(4, 1, 28, 28), torch.zeros(4).long(), SETTINGS, seed=0, training="x")


def test_evaluating_between_epochs_changes_nothing():
    run = trainer(normal_training())
    twin = trainer(normal_training())
    run.train_epoch()
    twin.train_epoch()
    with torch.no_grad():
        run.model.eval()(torch.rand(3, 1, 28, 28))
    run.train_epoch()
    twin.train_epoch()
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), twin.model.parameters(), strict=True))
