"""The plane measures the same examples with the same permutations, and leaves the model as it was."""

import math

import polars as pl
import pytest
import torch
from torch import nn

from infoplane.attacks import LinfPGD
from infoplane.config import MeasurementConfig
from infoplane.measuring import evaluate as evaluation
from infoplane.measuring.decoders import MISTAKES
from infoplane.models import LeNet5, construct
from infoplane.randomness import seeded_generator
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION, MISTAKEN_INFORMATION, TRUE_INFORMATION
from infoplane.studies import Plane

SETTINGS = MeasurementConfig(permutations=5)
ATTACK = LinfPGD(epsilon=0.1, steps=2)


def examples(number: int = 60):
    source = torch.Generator().manual_seed(0)
    return torch.rand(number, 1, 28, 28, generator=source), torch.arange(number) % 10


def plane(**more) -> Plane:
    return Plane(*examples(), attack=ATTACK, settings=SETTINGS, **more)


def test_all_layers_are_measured_on_original_and_adversarial_examples():
    records = plane().measure(construct(LeNet5, seed=0), epoch=0)
    measured = {(row.examples, row.layer_index, row.layer, row.features) for row in records.measurements}
    assert {(row.examples, row.layer_index, row.layer, row.features) for row in records.geometry} == measured
    layers = [("conv1", 3456), ("conv2", 1024), ("fc1", 120), ("fc2", 84), ("fc3", 10)]
    assert measured == {
        (examples, index, layer, features)
        for examples in ("original", "adversarial")
        for index, (layer, features) in enumerate(layers)
    }
    assert [row.examples for row in records.performance] == ["original", "adversarial"]
    assert records.performance[1].loss > records.performance[0].loss


def test_copies_of_images_are_counted_and_tell_nothing_about_labels_without_a_relation():
    source = torch.Generator().manual_seed(0)
    images, labels = torch.rand(150, 1, 28, 28, generator=source), torch.arange(150) % 10
    twice = Plane(images.repeat(2, 1, 1, 1), labels.repeat(2), layers=["fc1"], settings=SETTINGS)
    rows = twice.measure(construct(LeNet5, seed=0), epoch=0, final=True).measurements
    assert {row.copies for row in rows} == {150}
    labelled = [row for row in rows if row.quantity == LABEL_INFORMATION]
    assert len(labelled) > 5
    for row in labelled:
        reached = 0 if row.estimator == "decoded" else row.null_quantile95_nats
        # Decoders have no null here, and the Monte Carlo estimate has draws of its own.
        told = row.interval_low if row.estimator in {"decoded", "noisy"} else row.value_nats
        assert told <= reached + 1e-3


def test_a_plain_function_is_an_attack():
    def darkened(model, images, labels, *, generator, target=None):
        return images / 2

    images, labels = examples()
    model = construct(LeNet5, seed=0)
    plane = Plane(images, labels, attack=darkened, settings=SETTINGS)
    records = plane.measure(model, epoch=0, thorough=False)
    assert records.performance[1].loss == evaluation.evaluate(model.eval(), images / 2, labels).loss


@pytest.mark.parametrize("final", [False, True])
def test_the_classes_that_attacked_examples_are_taken_for_are_recorded_and_finally_decoded(final):
    images, labels = examples()
    model = construct(LeNet5, seed=0)
    records = plane().measure(model, epoch=0, final=final)
    source = seeded_generator(0, "measuring attack", "normal", 0)
    attacked = evaluation.attack_images(model.eval(), ATTACK, images, labels, generator=source)
    found = evaluation.evaluate(model, attacked, labels)
    wrong = int((found.predicted != labels).sum())
    assert wrong >= MISTAKES
    (predictions,) = [row.predictions for row in records.performance if row.examples == "adversarial"]
    assert predictions == evaluation.prediction_counts(labels, found.predicted, found.confidence)
    assert sum(cell["n"] for cell in predictions) == len(labels)
    decoded = [row for row in records.measurements if row.quantity in (MISTAKEN_INFORMATION, TRUE_INFORMATION)]
    attacked = [row.samples for row in decoded if row.examples == "adversarial"]
    assert attacked == [wrong] * (24 if final else 0)  # two classes, two decoders, five layers and the pixels


def test_the_model_is_left_in_its_modes_with_its_buffers():
    model = nn.Sequential(nn.Conv2d(1, 2, 5), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(1152, 10))
    model.train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plane(layers=["0", "4"]).measure(model, epoch=0)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_in_training_is_measured_as_in_evaluation():
    def network() -> nn.Sequential:
        layers = [nn.Conv2d(1, 2, 5), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(1152, 10)]
        return nn.Sequential(*layers)

    training, evaluating = (construct(network, seed=0).train(mode) for mode in (True, False))
    assert plane(layers=["4"]).measure(training, epoch=0) == plane(layers=["4"]).measure(evaluating, epoch=0)
    assert training[1].num_batches_tracked == 0
    assert training[2].training


def test_an_epoch_that_is_measured_again_replaces_its_rows():
    model, measuring = construct(LeNet5, seed=0), plane(layers=["fc3"])
    first = measuring.measure(model, epoch=3, thorough=False)
    assert measuring.measure(model, epoch=3, thorough=False) == first
    assert len(measuring.measurements) == len(first.measurements)
    assert len(measuring.geometry) == len(first.geometry)
    assert measuring.performance["accuracy"].len() == 2
    other = measuring.measure(construct(LeNet5, seed=1), epoch=3, thorough=False)
    assert measuring.performance["loss"].to_list() == [row.loss for row in other.performance]
    measuring.measure(model, epoch=4, thorough=False)
    measuring.measure(model, epoch=3, training="adversarial", thorough=False)
    assert measuring.performance["epoch"].to_list() == [3, 3, 4, 4, 3, 3]


def test_permutations_are_shared_by_layers_conditions_and_epochs(monkeypatch):
    from infoplane.measuring import instruments

    seen = []
    original = instruments.kde_sweep

    def spy(activations, labels, *, generator, **more):
        seen.append(torch.randperm(9, generator=torch.Generator().manual_seed(generator.initial_seed())).tolist())
        return original(activations, labels, generator=generator, **more)

    monkeypatch.setattr(instruments, "kde_sweep", spy)
    measuring = plane(layers=["fc2", "fc3"])
    measuring.measure(construct(LeNet5, seed=0), epoch=0)
    measuring.measure(construct(LeNet5, seed=0), epoch=1, training="adversarial")
    assert len(seen) == 8
    assert all(permutation == seen[0] for permutation in seen)


def test_an_untrained_network_on_random_images_reaches_only_its_null():
    table = plane().measure(construct(LeNet5, seed=0), epoch=0).measurements
    conv1 = [row for row in table if row.layer == "conv1" and row.quantity == LABEL_INFORMATION]
    binned = next(row for row in conv1 if row.estimator == "binning")
    assert binned.value_nats <= binned.null_quantile95_nats + 1e-9
    decoded = next(row for row in conv1 if row.estimator == "decoded")
    assert -0.1 < decoded.value_nats <= 0.0


def test_activations_too_large_for_memory_are_gathered_layer_by_layer(monkeypatch):
    model, images = construct(LeNet5, seed=0).eval(), examples()[0]
    together = dict(evaluation.layer_activations(model, images, model.probed_layers))
    passes = []
    handle = model.register_forward_hook(lambda module, args, output: passes.append(len(args[0])))
    monkeypatch.setattr(evaluation, "ACTIVATION_BYTES", 60 * 4 * 1200)  # conv1 alone, then the others by two or more
    apart = dict(evaluation.layer_activations(model, images, model.probed_layers))
    handle.remove()
    assert list(apart) == list(model.probed_layers)
    assert all(torch.equal(apart[layer], together[layer]) for layer in apart)
    assert passes == [1, 60, 60, 60]  # sizes; conv1; conv2 and fc1; fc2 and fc3


def test_without_an_attack_only_originals_are_measured():
    records = Plane(*examples(), settings=SETTINGS).measure(construct(LeNet5, seed=0), epoch=0)
    assert {row.examples for row in records.measurements} == {"original"}


def test_a_broken_layer_is_named():
    model = construct(LeNet5, seed=0)
    with torch.no_grad():
        model.fc1.weight.fill_(torch.inf)
    with pytest.raises(ValueError, match="fc1"):
        Plane(*examples(), settings=SETTINGS).measure(model, epoch=0)


def test_the_tables_have_the_columns_of_the_records():
    measuring = plane()
    assert measuring.measurements.is_empty()
    measuring.measure(construct(LeNet5, seed=0), epoch=0, gradient_evaluations=12)
    assert measuring.performance["gradient_evaluations"].to_list() == [12, 12]
    assert measuring.measurements.schema["group_means"] == pl.List(pl.Float64())


def test_a_dead_layer_is_not_called_saturated():
    model = construct(LeNet5, seed=0)
    with torch.no_grad():
        model.fc1.weight.zero_()
    dead = Plane(*examples(), layers=["fc1", "fc2"], settings=SETTINGS)
    records = dead.measure(model, epoch=0).measurements
    inputs = [row for row in records if row.quantity == INPUT_INFORMATION]
    assert [row.value_nats for row in inputs] == pytest.approx([0.0] * len(inputs), abs=1e-12)
    assert all(row.ceiling_nats == pytest.approx(math.log(60)) and not row.saturated for row in inputs)


def test_every_call_of_a_reused_module_is_measured():
    class Reusing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.activation, self.last = nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            hidden = self.activation(self.first(images.flatten(1)))
            return self.activation(self.last(hidden))

    records = plane(layers=["activation", "last"]).measure(construct(Reusing, seed=0), epoch=0).measurements
    assert list(dict.fromkeys((row.layer_index, row.layer) for row in records if row.examples == "original")) == [
        (0, "activation"),
        (1, "activation#2"),
        (2, "last"),
    ]
