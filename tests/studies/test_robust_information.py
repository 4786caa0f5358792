"""The information that a hidden layer keeps under an attack, and the stopping rule that follows it."""

import json
import math

import pytest
import torch
from tests.training.networks import network
from torch import Tensor, nn

from infoplane.config import DataConfig, FlowConfig, TrainingConfig
from infoplane.errors import UserError
from infoplane.measuring.robust_information import last_hidden_layer, robust_information
from infoplane.models import LeNet5
from infoplane.runs.folder import RunFolder
from infoplane.runs.state_tensors import join_state, split_state
from infoplane.runs.training_state import read_best_state
from infoplane.studies import information_flow
from infoplane.training import Judgement, Trainer, Validation, normal_training

N = 80
LABELS = torch.arange(N) % 2
IMAGES = torch.rand(N, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.4
IMAGES[LABELS == 1] += 0.6  # two classes far apart


def pixels_as_layer() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()


def found(attacked: Tensor) -> float:
    return robust_information(pixels_as_layer(), IMAGES, attacked, LABELS, layer="0").value


def test_separable_classes_keep_their_label_without_an_attack():
    # Decoders of 64 examples keep some doubt, so the bound lies below ln 2, which it cannot exceed.
    assert 0.6 < found(IMAGES) <= math.log(2)


def test_images_that_all_look_alike_keep_nothing():
    assert found(torch.full_like(IMAGES, 0.5)) < 0.1


def test_an_attack_that_exchanges_the_classes_gives_a_negative_value():
    # Decoders that are fitted on these images would find ln 2: the perturbation depends on the label.
    assert found(IMAGES.roll(1, 0)) < -1  # the labels alternate


def test_half_of_the_images_attacked_lie_between():
    half = IMAGES.clone()
    half[: N // 2] = torch.full_like(half[: N // 2], 0.5)
    assert found(torch.full_like(IMAGES, 0.5)) < found(half) < found(IMAGES)


def test_copies_of_an_image_do_not_decode_each_other():
    # 40 images without any structure, each twice: a decoder that has seen the copy knows the label.
    single = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    twice, labels = torch.cat([single, single]), torch.randint(0, 2, (40,), generator=torch.Generator().manual_seed(2))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    value = robust_information(model, twice, twice, torch.cat([labels, labels]), layer="0").value
    assert value < 0.1


class Twice(nn.Module):
    """Runs its second layer twice; its logits are those of the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.head = nn.Linear(16, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.shared(self.shared(self.first(images.flatten(1)))))


def test_the_last_hidden_layer_is_the_last_that_does_not_give_the_logits():
    lenet = LeNet5().eval()
    assert last_hidden_layer(lenet, torch.rand(2, 1, 28, 28), lenet.probed_layers) == "fc2"
    assert last_hidden_layer(lenet, torch.rand(2, 1, 28, 28), ("conv1", "fc3")) == "conv1"
    assert last_hidden_layer(Twice().eval(), IMAGES, ("first", "shared", "head")) == "shared"
    assert last_hidden_layer(pixels_as_layer(), IMAGES, ("1",)) == "1"


BYTES = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
CLASSES = torch.arange(20) % 3


def scripted(path: list[tuple[float, float]], **settings) -> Trainer:
    """Return a trainer whose held-out images give these accuracies and informations, epoch after epoch."""

    class Scripted(Validation):
        def judge(self, model: nn.Module) -> Judgement:
            return Judgement(*path[run.epoch - 1])

    chosen = TrainingConfig(
        **{"epochs": 9, "batch_size": 8, "validation_fraction": 0.1, "stop": "robust-information"} | settings
    )
    held_out = Scripted(BYTES, CLASSES, None)
    run = Trainer(
        network(dtype=torch.float32), normal_training(), BYTES, CLASSES, chosen, seed=0, training="t",
        validation=held_out,
    )  # fmt: skip
    return run


# A constant answer explains 67 % on these images: the share of the largest class, 7 of 20, and three binomial errors.
# Epochs 1 (warm-up), 2 and 6 (at chance) do not compete. Of the others, accuracy rises to the end, and information is
# negative first and highest after epoch 5.
PATH = [(0.9, 0.9), (0.65, 0.8), (0.7, -0.5), (0.75, 0.4), (0.8, 0.7), (0.5, 0.9), (0.85, 0.6), (0.9, 0.7)]


def test_information_decides_when_to_stop_and_accuracy_does_not():
    run = scripted(PATH, patience=2)
    records = []
    while run.stopped is None:
        records.append(run.train_epoch())
    assert (run.epoch, run.best_epoch, run.best_information, run.best_accuracy) == (8, 5, 0.7, 0.8)
    assert [(one.validation_accuracy, one.validation_information) for one in records] == PATH
    assert run.stopped == (
        "decoded information in held-out images was highest after epoch 5, 0.700 nats, and no higher for 2 epochs"
    )


@pytest.mark.parametrize("interrupted", range(1, 8))
def test_an_interrupted_training_stops_at_the_same_epoch(interrupted):
    first, second = scripted(PATH, patience=2), scripted(PATH, patience=2)
    for _ in range(interrupted):
        first.train_epoch()
    second.load_state_dict(join_state(*split_state(first.state_dict())))
    while second.stopped is None:
        second.train_epoch()
    assert (second.epoch, second.best_epoch, second.best_information) == (8, 5, 0.7)


def test_without_an_epoch_better_than_a_constant_answer_nothing_is_best_and_patience_waits():
    run = scripted([(0.5, 0.9), (0.6, 0.8), (0.5, 0.7), (0.6, 0.6)], patience=1)
    for _ in range(4):
        run.train_epoch()
    assert (run.best_epoch, run.best_information, run.stopped) == (0, None, None)


def test_a_longer_warm_up_is_waited_for():
    run = scripted([(0.9, 0.9), (0.9, 0.8), (0.9, 0.7), (0.9, 0.6)], warmup_epochs=3, patience=1)
    for _ in range(4):
        run.train_epoch()
    assert (run.best_epoch, run.best_information, run.stopped) == (4, 0.6, None)


def test_the_rule_needs_held_out_images():
    with pytest.raises(ValueError, match="stop = robust-information needs held-out images"):
        TrainingConfig(stop="robust-information")


def small(**training) -> FlowConfig:
    own = {"epochs": 6, "batch_size": 16, "learning_rate": 0.1, "warmup_epochs": 0, "validation_fraction": 0.3}
    return FlowConfig.model_validate(
        {
            "methods": ("adversarial",),
            "measure_every": 6,
            "data": DataConfig(train_examples=150, test_examples=40),
            "training": {**own, "stop": "robust-information", **training},
            "measurement": {"examples": 40, "thorough_epochs": 0, "permutations": 0, "inputs": 0, "noise_sweep": ()},
        }
    )


def test_a_run_keeps_the_checkpoint_of_the_most_informative_epoch_that_is_not_at_chance(tmp_path):
    run = RunFolder(tmp_path / "run")
    config = small()
    run.begin("information-flow", config.model_dump(mode="json"), {})
    information_flow(config, run=run)
    trained = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in trained if line["event"] == "trained"]
    assert len(epochs) == 6
    # 45 held-out images, some 4 or 5 of each digit: a constant answer explains 1/9 and three binomial errors at most.
    most = 1 / 9 + 3 * math.sqrt(8 / 81 / 45)
    path = {one["epoch"]: one["validation_information"] for one in epochs if one["validation_accuracy"] > most}
    assert 1 <= len(path) < 6
    best = read_best_state(run, 0, "adversarial")
    assert best["best_information"] == max(path.values()) == path[best["epoch"]]


def test_too_few_held_out_images_are_refused():
    with pytest.raises(UserError, match=r"holds out 6, and --stop robust-information fits decoders on at least 10"):
        information_flow(small(validation_fraction=0.04))
