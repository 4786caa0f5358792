"""The compression studies: networks side by side, quantised layers, what is measured, and how a study continues."""

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import numpy as np
import polars as pl
import pytest
import torch

from infoplane.config import CompressionConfig, QuantisedConfig, TrainingConfig
from infoplane.models import MLP
from infoplane.models.load import construct
from infoplane.records.compression import EPOCH_RANGE, FIXED_RANGE
from infoplane.runs.folder import RunFolder
from infoplane.studies.compression import measured, study, training
from infoplane.studies.compression.measured import Instruments, Layer, bin_range, binned, network_rows
from infoplane.studies.compression.stacked_networks import StackedNetworks, quantised
from infoplane.training import Trainer
from infoplane.training.normal import normal_training

SMALL = (4, 3)


def mlp(seed, activation="tanh", hidden=SMALL):
    return construct(
        lambda: MLP(hidden, activation, image_size=1, width=12, channels=1, classes=2, mean=0.5, std=0.5), seed=seed
    )


@pytest.fixture(scope="module")
def task():
    return training.twelve_bits_task()


# networks side by side


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_each_network_computes_what_its_perceptron_computes(activation, task):
    alone = [mlp(seed, activation) for seed in (3, 4)]
    logits, layers = StackedNetworks(alone, activation)(task.inputs[:50].expand(2, -1, -1))
    images = ((task.inputs[:50] + 1) / 2)[:, None, None, :]
    for number, one in enumerate(alone):
        assert torch.allclose(logits[number], one(images), atol=1e-6)
        assert torch.allclose(layers[0].after[number], one.hidden[0](task.inputs[:50]), atol=1e-6)
    assert not torch.allclose(logits[0], logits[1], atol=1e-2)


def test_each_network_takes_the_steps_of_the_training_loop(task, monkeypatch):
    monkeypatch.setattr(training, "HIDDEN", SMALL)
    together = training.initial_networks("tanh", [0, 1])
    list(training.train(together, [0, 1], task, measured=[0, 2], learning_rate=0.01, batch_size=256))
    settings = TrainingConfig(epochs=2, batch_size=256, optimiser="adamw", learning_rate=0.01, warmup_epochs=0, gamma=1)
    images = (255 * (task.inputs[task.train] + 1) / 2).to(torch.uint8)[:, None, None, :]
    for seed in (0, 1):
        alone = mlp(seed)
        trainer = Trainer(alone, normal_training(), images, task.labels[task.train], settings, seed=seed, training="x")
        trainer.train_epoch()
        trainer.train_epoch()
        # rounding differs between one matrix and a stack of them; 28 steps of Adam amplify it
        assert torch.allclose(together.weights[0][seed], alone.hidden[0].linear.weight.T, atol=1e-4)
        assert torch.allclose(together.biases[-1][seed, 0], alone.linear.bias, atol=1e-4)


def test_networks_are_yielded_at_the_measured_epochs(task, monkeypatch):
    monkeypatch.setattr(training, "HIDDEN", SMALL)
    networks, done = training.initial_networks("tanh", [0]), []
    options = {"learning_rate": 0.01, "batch_size": 1000, "after_epoch": lambda: done.append(None)}
    for snapshot in training.train(networks, [0], task, measured=[0, 1, 3], **options):
        assert snapshot.epoch == len(done)
        assert snapshot.predicted.shape == (1, 4096)
        assert [layer.before.shape for layer in snapshot.layers] == [(1, 4096, 4), (1, 4096, 3)]
    assert len(done) == 3


def test_a_diverged_training_is_named(task, monkeypatch):
    monkeypatch.setattr(training, "HIDDEN", SMALL)
    networks = training.initial_networks("relu", [0])
    networks.biases[0].data.fill_(math.inf)
    with pytest.raises(training.DivergedError, match="diverged in epoch 1: the loss is not finite"):
        list(training.train(networks, [0], task, measured=[0, 1], learning_rate=0.01, batch_size=256))


# quantised layers


def test_outputs_are_rounded_to_the_nearest_level():
    low, high = torch.tensor(-1.0), torch.tensor(2.0)
    levels = [-1.0, 0.0, 1.0, 2.0]  # 2 bits
    outputs = torch.linspace(-1.5, 2.5, 41)
    expected = [min(levels, key=lambda level: abs(level - value)) for value in outputs.tolist()]
    ties = (outputs * 2 % 2 - 1).abs() < 1e-5  # either neighbour is right
    assert torch.equal(quantised(outputs, low, high, 2)[~ties], torch.tensor(expected)[~ties])


def test_gradients_pass_the_rounding_within_the_range_alone():
    outputs = torch.tensor([-3.0, -0.4, 0.2, 0.9, 5.0], requires_grad=True)
    quantised(outputs, torch.tensor(-1.0), torch.tensor(1.0), 2).sum().backward()
    assert outputs.grad.tolist() == [0, 1, 1, 1, 0]


def test_a_constant_layer_stays_constant():
    assert quantised(torch.zeros(5), torch.tensor(0.0), torch.tensor(0.0), 8).tolist() == [0] * 5


def test_a_layer_has_no_more_values_than_its_bits_and_they_cover_its_range(task):
    networks = StackedNetworks([mlp(0), mlp(1)], "tanh", bits=3)
    with torch.no_grad():
        _, layers = networks.eval()(task.inputs.expand(2, -1, -1))
    for number in (0, 1):
        before, after = layers[0].before[number], layers[0].after[number]
        assert 4 < len(after.unique()) <= 8
        assert after.min() == before.min()
        assert after.max().item() == pytest.approx(before.max().item(), abs=1e-6)
        assert (after - before).abs().max() <= (before.max() - before.min()) / 7 / 2 + 1e-6
        assert len(before.unique()) > 100


def test_the_range_follows_the_batches_in_training_and_stays_in_evaluation(task):
    networks = StackedNetworks([mlp(0)], "tanh", bits=3)
    networks.eval()(task.inputs[None])
    first = networks.high[0].clone()
    networks.train()(3 * task.inputs[None])  # a wider range of outputs
    second = networks.high[0].clone()
    assert first < second < networks(3 * task.inputs[None])[1][0].before.max()
    third = networks.high[0].clone()
    networks.eval()(10 * task.inputs[None])
    assert torch.equal(networks.high[0], third)


# what is measured


def entropy(rows):
    return -sum(count / len(rows) * math.log(count / len(rows)) for count in Counter(map(tuple, rows)).values())


def rows_of(before, after=None, ratio=None, activation="tanh", bins=(5,)):
    layer = Layer("hidden.0", before, after)
    ones = torch.full((len(before[0]),), 0.5)
    epochs = list(range(len(before)))
    common = {"seed": 0, "activation": activation, "bits": None}
    return list(network_rows([layer], epochs, ones, Instruments(bins, 0.01, ratio), common))


def value(rows, **where):
    (row,) = [row for row in rows if all(getattr(row, name) == wanted for name, wanted in where.items())]
    return row.value_nats


def test_quantised_values_are_counted_exactly_and_bins_are_of_the_outputs_before():
    generator = torch.Generator().manual_seed(0)
    before = torch.rand(300, 2, generator=generator) * 1.9 - 0.95
    after = (before * 3).round() / 3
    rows = rows_of([before], [after])
    assert value(rows, estimator="exact", quantity="I(X;T)") == pytest.approx(entropy(after.tolist()))
    numbers = [[min(int((one + 1) / 0.4), 4) for one in row] for row in before.tolist()]
    assert value(rows, estimator="binning", quantity="I(X;T)", bin_range=FIXED_RANGE) == pytest.approx(entropy(numbers))
    assert {row.estimator for row in rows} == {"exact", "binning", "kde-bd", "kde-kl"}
    assert {row.bin_width for row in rows if row.bin_range == FIXED_RANGE} == {0.4}


def test_bins_cover_one_range_or_that_of_the_epoch():
    outputs = [torch.tensor([[0.5], [2.0]]), torch.tensor([[1.0], [4.0]])]
    assert bin_range(outputs, 0, FIXED_RANGE, "tanh") == (-1, 1)
    assert bin_range(outputs, 0, FIXED_RANGE, "relu") == (0, 4)
    assert bin_range(outputs, 0, EPOCH_RANGE, "relu") == (0.5, 2)
    assert bin_range([torch.zeros(3, 2)], 0, EPOCH_RANGE, "relu") == (0, 1)


def test_the_largest_output_lies_in_the_last_bin():
    outputs = torch.tensor([[0.0], [0.95], [1.0]])
    assert binned(outputs, 10, 0.0, 1.0, torch.zeros(3))[0].value == pytest.approx(entropy([[0], [9], [9]]))


def test_monte_carlo_lies_between_the_kde_bounds():
    outputs = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    bounds, noisy = rows_of([outputs]), rows_of([outputs], ratio=0.5)
    between = value(noisy, estimator="noisy", noise_mode="fixed")
    assert value(bounds, estimator="kde-bd") < between < value(bounds, estimator="kde-kl")
    (relative,) = [row for row in noisy if row.noise_mode == "relative"]
    assert relative.noise_variance == pytest.approx(0.5 * outputs.var(dim=0, unbiased=False).mean().item())
    assert relative.value_nats < between  # it has more noise


def test_a_dead_layer_has_no_information():
    rows = rows_of([torch.zeros(50, 3)], [torch.zeros(50, 3)], ratio=0.5, activation="relu")
    assert {row.estimator for row in rows} == {"exact", "binning", "noisy"}
    assert [row.value_nats for row in rows] == pytest.approx([0] * len(rows), abs=1e-9)


# the study


@pytest.fixture
def small(monkeypatch):
    """Networks of two small layers, and no noise, which takes most of the time."""
    monkeypatch.setattr(training, "HIDDEN", SMALL)
    monkeypatch.setattr(study, "HIDDEN", SMALL)
    monkeypatch.setattr(measured, "_noisy_rows", lambda *_: iter(()))


def run(config, path, jobs=1):
    folder = RunFolder(path)
    with folder.locked():
        return study.compression_study(config, folder, jobs=jobs)


def test_epochs_are_spaced_logarithmically():
    assert CompressionConfig().epochs_to_measure() == [0, 1, 3, 10, 32, 100, 316, 1000]
    assert CompressionConfig(epochs=2, measured_epochs=9).epochs_to_measure() == [0, 1, 2]


def test_a_study_measures_all_networks_layers_and_epochs(small, tmp_path):
    config = QuantisedConfig(epochs=2, measured_epochs=3, seeds=2, seed=5, bits=(3, 2), bins=(30,))
    records = run(config, tmp_path)
    keys = ["activation", "bits", "seed", "layer", "epoch"]
    exact = records.measurements.filter(estimator="exact", quantity="I(X;T)")
    assert exact.select(keys).n_unique() == len(exact) == 2 * 2 * 2 * 2 * 3
    assert exact["seed"].unique().sort().to_list() == [5, 6]
    assert exact["samples"].unique().to_list() == [4096]
    assert exact["value_nats"].is_between(0, math.log(4096)).all()
    # of each 4 units with 2 bits, 256 values at most
    of_two = exact.filter(bits=2, layer="hidden.0")["value_nats"].max()
    assert of_two <= math.log(256) < exact.filter(bits=3, layer="hidden.0", activation="tanh")["value_nats"].max()
    assert records.accuracies.filter(pl.col("epoch") == 2).group_by("split").agg(pl.col("n").first()).sort(
        "split"
    ).rows() == [("test", 614), ("train", 3482)]


def test_finished_networks_are_not_trained_again_and_more_seeds_are_added(small, tmp_path, monkeypatch):
    config = CompressionConfig(epochs=2, measured_epochs=3, seeds=2, bins=(30,))
    before = run(config, tmp_path)
    (tmp_path / "networks" / "relu-s1-accuracy.parquet").unlink()  # as if it was killed before this file
    trained, train_kind = [], study.train_kind

    def noting(config, kind, seeds):
        trained.append((kind.activation, list(seeds)))
        return train_kind(config, kind, seeds)

    monkeypatch.setattr(study, "train_kind", noting)
    after = run(config, tmp_path)
    assert trained == [("relu", [1])]
    assert after.measurements.equals(before.measurements)
    assert after.accuracies.equals(before.accuracies)
    more = run(config.model_copy(update={"seeds": 3}), tmp_path)
    assert trained[1:] == [("tanh", [2]), ("relu", [2])]
    assert more.measurements["seed"].unique().sort().to_list() == [0, 1, 2]


def test_the_seeds_asked_for_do_not_change_a_network(small):
    kind, config = study._Kind("tanh", 8), QuantisedConfig(epochs=3, measured_epochs=3)
    alone, among = study.train_kind(config, kind, [1, 6]), study.train_kind(config, kind, [0, 1, 2])
    assert list(alone) == [1, 6]
    for one, other in zip(alone[1].before, among[1].before, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
    assert not np.array_equal(alone[1].before[-1][-1], alone[6].before[-1][-1])


def test_processes_give_the_same_records(small, tmp_path, monkeypatch):
    @contextmanager
    def threads(jobs):  # threads see the small networks of this test; the order of work is that of processes
        with ThreadPoolExecutor(jobs) as executor:
            yield executor

    lock, initial_networks = Lock(), study.initial_networks

    def one_at_a_time(*arguments, **options):  # threads share torch's global generator, which draws the weights
        with lock:
            return initial_networks(*arguments, **options)

    monkeypatch.setattr(study, "worker_processes", threads)
    monkeypatch.setattr(study, "initial_networks", one_at_a_time)
    config = CompressionConfig(epochs=1, measured_epochs=3, seeds=2, bins=(30,))
    alone, together = run(config, tmp_path / "1"), run(config, tmp_path / "2", jobs=2)
    assert together.measurements.equals(alone.measurements)
    assert together.accuracies.equals(alone.accuracies)
