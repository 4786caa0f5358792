"""What the loop does beside plain descent: AdamW, clipping, averaged weights, held-out images."""

import pytest
import torch
from tests.training.networks import network
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.runs.state_tensors import join_state, split_state
from infoplane.training import FreeTraining, Trainer, Validation, normal_training
from infoplane.training.method import Stateless, StepRecord

SOURCE = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (20, 1, 8, 8), generator=SOURCE, dtype=torch.uint8)
LABELS = torch.arange(20) % 3


def trainer(method=None, validation=None, **settings) -> Trainer:
    chosen = TrainingConfig(**({"epochs": 3, "batch_size": 8, "learning_rate": 0.05, "warmup_epochs": 0} | settings))
    model = network(dtype=torch.float32)
    return Trainer(
        model, method or normal_training(), IMAGES, LABELS, chosen, seed=0, training="normal", validation=validation
    )


class Watching(Stateless):
    """Steps along a given gradient and writes down each update."""

    def __init__(self, size: float = 1.0) -> None:
        self.size = size
        self.rates: list[float] = []
        self.moves: list[Tensor] = []

    def step(self, model, optimiser, images, labels, *, generator) -> StepRecord:
        before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, self.size)
        optimiser.step()
        self.rates.append(optimiser.param_groups[0]["lr"])
        self.moves.append(nn.utils.parameters_to_vector(model.parameters()).detach() - before)
        return StepRecord(torch.tensor(0.0), torch.tensor(0), 0, 0)


def test_schedules_that_move_within_an_epoch_do_so_batch_by_batch():
    method = Watching()
    run = trainer(method, schedule="cosine", epochs=2)
    run.train_epoch()
    expected = [0.05 * (1 + torch.tensor(torch.pi * step / 6).cos().item()) / 2 for step in range(3)]
    assert method.rates == pytest.approx(expected)


def test_gradients_longer_than_asked_for_are_shortened_and_shorter_ones_are_not():
    for size, longest in ((1.0, 0.5), (1e-4, 0.5)):
        method = Watching(size)
        run = trainer(method, gradient_clip=longest, momentum=0.0)
        run.train_epoch()
        norm = size * sum(parameter.numel() for parameter in run.model.parameters()) ** 0.5
        assert method.moves[0].norm().item() == pytest.approx(0.05 * min(norm, longest), rel=1e-3)


def test_adamw_steps_by_the_sign_at_first_and_decays_apart_from_the_gradient():
    method = Watching(size=-3.0)
    run = trainer(method, optimiser="adamw", learning_rate=0.01, weight_decay=0.1, epochs=1, batch_size=20)
    before = nn.utils.parameters_to_vector(run.model.parameters()).detach().clone()
    run.train_epoch()
    assert torch.allclose(method.moves[0], 0.01 - 0.01 * 0.1 * before, atol=1e-6)


def test_adam_and_adamw_keep_a_share_of_the_mean_gradient_and_adam_adds_the_penalty_to_it():
    for name, share in (("adam", 0.5), ("adamw", 0.8)):
        run = trainer(Watching(size=-3.0), optimiser=name, learning_rate=0.01, momentum=share, weight_decay=0.1)
        (group,) = run.state_dict()["optimiser"]["param_groups"]
        assert group["betas"] == (share, 0.999)
    method = Watching(size=-3.0)
    run = trainer(method, optimiser="adam", learning_rate=0.01, weight_decay=1e6, epochs=1, batch_size=20)
    before = nn.utils.parameters_to_vector(run.model.parameters()).detach().clone()
    run.train_epoch()
    away = before.abs() > 1e-3  # there the penalty's gradient is more than 3: Adam steps towards zero
    assert torch.allclose(method.moves[0][away], -0.01 * before.sign()[away], atol=1e-6)


def test_averaged_weights_follow_their_recurrence_and_statistics_are_the_models():
    run = trainer(average_decay=0.75)
    expected = [weights.detach().clone() for weights in run.model.parameters()]
    updates = 0
    step = run.method.step

    def following(*given, **more) -> StepRecord:
        nonlocal updates
        record = step(*given, **more)
        for average, weights in zip(expected, run.model.parameters(), strict=True):
            average.copy_(weights if updates == 0 else 0.75 * average + 0.25 * weights)  # it begins at the first update
        updates += 1
        return record

    object.__setattr__(run.method, "step", following)
    run.train_epoch()
    run.train_epoch()
    assert all(
        torch.allclose(found, wanted, atol=1e-6)
        for found, wanted in zip(run.network.parameters(), expected, strict=True)
    )
    assert torch.equal(run.network.norm.running_mean, run.model.norm.running_mean)
    assert not torch.equal(run.network.linear.weight, run.model.linear.weight)


def test_without_averaging_the_model_itself_is_measured():
    run = trainer()
    assert run.network is run.model


def test_averages_and_the_best_epoch_survive_a_continued_run():
    held_out = Validation(IMAGES, LABELS, None)
    unbroken, first, continued = (trainer(validation=held_out, average_decay=0.9) for _ in range(3))
    for _ in range(3):
        unbroken.train_epoch()
    first.train_epoch()
    continued.load_state_dict(join_state(*split_state(first.state_dict())))
    for _ in range(2):
        continued.train_epoch()
    found, expected = continued.network.state_dict(), unbroken.network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (continued.best_epoch, continued.best_accuracy) == (unbroken.best_epoch, unbroken.best_accuracy)


@pytest.mark.parametrize("attack", [None, LinfPGD(epsilon=0.1, steps=3, random_start=True)])
def test_validation_counts_right_answers_under_attack_and_repeats_itself(attack):
    model = network(dtype=torch.float32)
    pixels = IMAGES.float() / 255
    with evaluation_mode(model):
        if attack is not None:
            pixels = attack(model, pixels, LABELS, generator=torch.Generator().manual_seed(0))
        expected = (model(pixels).argmax(1) == LABELS).double().mean().item()
    held_out = Validation(IMAGES, LABELS, attack)
    before = model.norm.running_mean.clone()
    assert held_out.accuracy(model) == expected == held_out.accuracy(model)
    assert torch.equal(model.norm.running_mean, before)
    assert model.training


def scripted(accuracies: list[float], **settings) -> list[Trainer | None]:
    class Scripted(Validation):
        def accuracy(self, model: nn.Module) -> float:
            return accuracies.pop(0)

    run = trainer(validation=Scripted(IMAGES, LABELS, None), validation_fraction=0.1, **settings)
    while accuracies and run.stopped is None:
        run.train_epoch()
    return run


def test_the_best_epoch_is_the_first_with_the_highest_accuracy():
    run = scripted([0.2, 0.6, 0.5, 0.6])
    assert (run.best_epoch, run.best_accuracy, run.stopped) == (2, 0.6, None)


def test_patience_ends_the_training_and_says_why():
    run = scripted([0.2, 0.6, 0.5, 0.6, 0.9], patience=2)
    assert run.epoch == 4
    assert run.stopped == "accuracy on held-out images was highest after epoch 2, 60.0%, and no higher for 2 epochs"


def test_patience_without_held_out_images_is_refused():
    with pytest.raises(ValueError, match="patience needs held-out images"):
        TrainingConfig(patience=3)


def test_records_say_what_held_out_images_gave():
    run = trainer(validation=Validation(IMAGES, LABELS, None))
    assert run.train_epoch().validation_accuracy == run.best_accuracy
    assert trainer().train_epoch().validation_accuracy is None


def test_an_epoch_without_a_batch_of_its_own_changes_nothing():
    run = trainer(FreeTraining(0.1, replays=5), epochs=5)  # three batches, five parts
    records = [run.train_epoch() for _ in range(5)]
    assert [record.accuracy for record in records[3:]] == [0, 0]
    assert run.gradient_evaluations == 5 * 20
