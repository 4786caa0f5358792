"""The callback for Lightning, in real fits: it measures the right weights, and training goes on as without it."""

import copy
import csv
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from tests.loops.tiny import CLASSES, SETTINGS, accuracies, accuracy, examples
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import infoplane
from infoplane.attacks import LinfPGD
from infoplane.errors import UserError

pl = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed: pip install 'infoplane[lightning]'")
from lightning.pytorch.loggers import CSVLogger  # noqa: E402
from lightning.pytorch.strategies import FSDPStrategy  # noqa: E402

from infoplane.loops.lightning import InformationPlaneCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:The '.*dataloader' does not have many workers",
    "ignore:.*LeafSpec.* is deprecated",
    "ignore:.*exists and is",
)
TRAINING, MEASURED = examples(60, seed=0), examples(40, seed=1)
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}


class WithoutForward(pl.LightningModule):
    """It has all that measuring could disturb: dropout, statistics of batches, shuffled data, validation."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, CLASSES)
        )

    def training_step(self, batch, _index):
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, _index):
        self.log("validation_loss", F.cross_entropy(self.net(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Classifier(WithoutForward):
    def forward(self, images):
        return self.net(images)


def watched(**options):
    return InformationPlaneCallback(*MEASURED, layers=["net.5"], settings=SETTINGS, **options)


def fit(*callbacks, model=None, epochs=2, trainer=QUIET, checkpoint=None, validates=True):
    pl.seed_everything(3, verbose=False)
    model = model or Classifier()
    before = copy.deepcopy(model)
    loader = DataLoader(TensorDataset(*TRAINING), batch_size=20, shuffle=True)
    trainer = pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), **trainer)
    held_out = DataLoader(TensorDataset(*MEASURED), batch_size=20) if validates else None
    trainer.fit(model, loader, held_out, ckpt_path=checkpoint)
    return before, model


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """One fit with an attack, a logger and a run folder, which several tests look at."""
    folder = tmp_path_factory.mktemp("lightning")
    callback = watched(attack=LinfPGD(epsilon=0.1, step_size=0.05, steps=2), run=folder / "run", thorough_every=1)
    trainer = {**QUIET, "logger": CSVLogger(folder, name="", version="log")}
    return callback.plane, callback, folder, *fit(callback, trainer=trainer)


def test_trained_weights_are_those_of_training_without_the_callback(fitted):
    *_, watched_model = fitted
    _, alone = fit()
    for (name, own), other in zip(alone.state_dict().items(), watched_model.state_dict().values(), strict=True):
        assert torch.equal(own, other), name


def test_epoch_zero_is_the_untrained_network_and_the_last_the_trained_one(fitted):
    _, callback, _, before, after = fitted
    found = accuracies(callback.plane.performance)
    assert list(found) == [0, 1, 2]
    assert found[0] == accuracy(before, *MEASURED)
    assert found[2] == accuracy(after, *MEASURED)
    assert found[0] != found[2]


def test_only_the_last_epoch_has_the_baseline_of_pixels(fitted):
    plane = fitted[1].plane
    assert plane.measurements.filter(layer="pixels")["epoch"].unique().to_list() == [2]


def test_the_run_folder_holds_all_epochs(fitted):
    _, callback, folder, *_ = fitted
    run = infoplane.load_run(folder / "run")
    assert run.performance.sort("epoch", "examples").equals(callback.plane.performance.sort("epoch", "examples"))


def test_scalars_reach_the_logger_at_their_steps(fitted):
    _, callback, folder, *_ = fitted
    with (folder / "log" / "metrics.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["original/accuracy"]]
    assert [int(row["step"]) for row in rows] == [0, 3, 6]
    assert [float(row["original/accuracy"]) for row in rows] == list(accuracies(callback.plane.performance).values())
    assert all(float(row["adversarial/net.5/I(T;Y)_decoded_nats"]) < 2 for row in rows)


def test_epochs_between_are_left_out_but_not_the_last():
    callback = watched(every=2)
    fit(callback, epochs=3)
    assert list(accuracies(callback.plane.performance)) == [0, 2, 3]
    decoded = callback.plane.measurements.filter(estimator="decoded")
    assert sorted(decoded["epoch"].unique()) == [0, 3]


def test_early_stopping_ends_with_a_last_epoch():
    callback = watched()
    fit(callback, pl.callbacks.EarlyStopping("validation_loss", stopping_threshold=100.0), epochs=9)
    assert callback.plane.measurements.filter(layer="pixels")["epoch"].unique().to_list() == [1]


def test_a_training_that_ends_within_an_epoch_counts_it():
    callback = watched()
    _, after = fit(callback, epochs=-1, trainer={**QUIET, "max_steps": 4})
    found = accuracies(callback.plane.performance)
    assert list(found) == [0, 1, 2]
    assert found[2] == accuracy(after, *MEASURED)


def test_training_from_a_checkpoint_continues_the_run(tmp_path):
    keep = {**QUIET, "enable_checkpointing": True}

    def checkpoints():
        return pl.callbacks.ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)

    fit(watched(run=tmp_path / "run"), checkpoints(), epochs=1, trainer=keep)
    continued = watched(run=tmp_path / "run")
    _, after = fit(continued, checkpoints(), epochs=2, trainer=keep, checkpoint=tmp_path / "epoch=0.ckpt")
    assert list(accuracies(continued.plane.performance)) == [2]
    found = accuracies(infoplane.load_run(tmp_path / "run").performance)
    assert list(found) == [0, 1, 2]
    assert found[2] == accuracy(after, *MEASURED)


def test_another_training_is_not_mixed_into_a_run(fitted):
    _, _, folder, *_ = fitted
    with pytest.raises(UserError, match="already holds a training 'normal' of seed 0; name another folder with run="):
        fit(watched(run=folder / "run"))


def test_a_trial_run_of_one_batch_writes_nothing(tmp_path):
    callback = watched(run=tmp_path / "run")
    fit(callback, trainer={**QUIET, "fast_dev_run": True})
    assert list(accuracies(callback.plane.performance)) == [0, 1]
    assert not (tmp_path / "run").exists()


def test_a_module_without_forward_names_its_network():
    callback = InformationPlaneCallback(*MEASURED, layers=["5"], settings=SETTINGS, network=lambda module: module.net)
    _, after = fit(callback, model=WithoutForward(), epochs=1)
    assert accuracies(callback.plane.performance)[1] == accuracy(after.net, *MEASURED)
    with pytest.raises(UserError, match=r"WithoutForward has no forward\(\); add one .* network=lambda module"):
        fit(watched(), model=WithoutForward())


def test_a_network_that_processes_divide_is_refused():
    trainer = SimpleNamespace(strategy=object.__new__(FSDPStrategy), world_size=2)  # a real one needs GPUs
    with pytest.raises(UserError, match="FSDPStrategy is not supported: each process needs the whole network"):
        watched().on_fit_start(trainer, Classifier())


def test_arguments_are_checked_before_training():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        watched(every=0)
    with pytest.raises(ValueError, match="thorough_every must be at least 1, got 0"):
        watched(thorough_every=0)
    with pytest.raises(ValueError, match="images"):
        InformationPlaneCallback(MEASURED[0] * 255, MEASURED[1])


def test_two_processes_measure_together_and_train_as_without(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_PROCESSES, str(tmp_path / "run")], capture_output=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


# In a process of its own: processes that are forked cannot use polars once their parent has.
ON_TWO_PROCESSES = """
import sys
import torch
from infoplane import InformationPlane, load_run
from tests.loops.test_lightning import MEASURED, QUIET, SETTINGS, InformationPlaneCallback, fit

# The second process has the last layer, behind BatchNorm, whose statistics differ. Validation would align them.
layers = ["net.1", "net.2", "net.5"]
callback = InformationPlaneCallback(*MEASURED, layers=layers, settings=SETTINGS, run=sys.argv[1])
two = {**QUIET, "devices": 2, "strategy": "ddp_fork"}
_, alone = fit(epochs=1, trainer=two, validates=False)
_, watched = fit(callback, epochs=1, trainer=two, validates=False)
for own, other in zip(alone.state_dict().values(), watched.state_dict().values(), strict=True):
    assert torch.equal(own, other)

run, plane = load_run(sys.argv[1]), InformationPlane(*MEASURED, layers=layers, settings=SETTINGS)
plane.measure(watched, epoch=1, final=True)
for found, expected in ((run.geometry, plane.geometry), (run.performance, plane.performance)):
    assert found.filter(epoch=1).equals(expected), (found, expected)
assert sorted(run.measurements["epoch"].unique()) == [0, 1]
"""
