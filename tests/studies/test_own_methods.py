"""Training methods of the user's own are trained, recorded and continued like those of infoplane."""

import sys

import pytest
from polars.testing import assert_frame_equal
from tests.studies.test_flow_of_methods import KEY, begun, settings

from infoplane.errors import UserError
from infoplane.studies.flow.information_flow import information_flow

SOURCE = """
from dataclasses import replace

import torch
import torch.nn.functional as F
from infoplane.training import (
    BatchLoss, Cost, LossMethod, Stateless, StepRecord, adversarial_training, normal_training
)

def pgd(attack):
    return adversarial_training(attack)

def plain(training):
    assert training.batch_size == 20
    return normal_training()

def smoothed_loss(model, batch):
    logits = model(batch.attacked)
    loss = F.cross_entropy(logits, batch.labels, label_smoothing=0.1)
    return BatchLoss(loss, (logits.argmax(dim=1) == batch.labels).sum())

def smoothed(attack):
    return replace(adversarial_training(attack), loss=smoothed_loss)

class Counting(Stateless):
    def __init__(self, epsilon):
        self.epsilon, self.count = epsilon, 0
    def step(self, model, optimiser, images, labels, *, generator):
        optimiser.zero_grad()
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimiser.step()
        self.count += 1
        return StepRecord(loss.detach(), (logits.argmax(dim=1) == labels).sum(), len(images), len(images))
    def state_dict(self):
        return {"count": self.count}
    def load_state_dict(self, state):
        self.count = state["count"]

def number():
    return 3

def bare_loss():
    return smoothed_loss

def raising(attack):
    raise ValueError("no such attack")

def asking(attack, temperature):
    return adversarial_training(attack)

def wrong_loss():
    return LossMethod(loss=lambda model, batch: model(batch.images).sum(), cost=Cost(1, 1))

def constant_loss():
    return LossMethod(loss=lambda model, batch: BatchLoss(torch.ones(()), torch.ones(())), cost=Cost(1, 1))

class WrongStep(Stateless):
    def step(self, model, optimiser, images, labels, *, generator):
        return 0.5

class RaisingStep(Stateless):
    def step(self, model, optimiser, images, labels, *, generator):
        raise RuntimeError("no\\nluck")

class NoReplays(Counting):
    replays = 0
    def __init__(self):
        pass

MANY = 3
"""


@pytest.fixture
def own(small_flow, tmp_path, monkeypatch):
    """Make the settings of a study of methods of `SOURCE`, by their names."""
    module = f"own_methods_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(*names, **changes):
        methods = tuple(f"{module}:{name[1:]}" if name.startswith(":") else name for name in names)
        return settings(small_flow, methods=methods, **changes)

    return make


def performance(config, training):
    """Accuracies and losses of one training, but for its name and seconds."""
    found = information_flow(config).performance.filter(training=training)
    return found.drop("training", "seconds").sort(KEY[1:])


@pytest.mark.parametrize(("name", "twin"), [(":plain", "normal"), (":plain+awp", "normal+awp")])
def test_a_method_of_ones_own_trains_as_the_same_method_of_infoplane(name, twin, own):
    found, expected = performance(own(name), name[1:]), performance(own(twin), twin)
    assert_frame_equal(found, expected)


def test_a_method_that_asks_for_the_attack_gets_that_of_the_settings_and_a_growing_ball(own):
    """The first epoch is the warm-up; draws are seeded by the training's name, so accuracies are near, not equal."""
    found = performance(own(":pgd", ":smoothed+awp"), "pgd")
    expected = performance(own("adversarial"), "adversarial")
    assert found["gradient_evaluations"].to_list() == expected["gradient_evaluations"].to_list()
    assert (found["loss"] - expected["loss"]).abs().max() < 0.3


def test_a_run_of_ones_own_methods_continues_to_the_same_records(own, tmp_path):
    config = own(":Counting+awp", ":smoothed+awp", epochs=2)
    whole = information_flow(config)
    run = begun(config, tmp_path / "run")
    information_flow(config, run=run, keep_checkpoints=True)
    for path in (tmp_path / "run").glob("*/*e0002*"):  # as if it had been killed before
        path.unlink()
    again = information_flow(config, run=run)
    assert_frame_equal(again.performance.drop("seconds").sort(KEY), whole.performance.drop("seconds").sort(KEY))
    assert set(again.performance["training"]) == {"Counting+awp", "smoothed+awp"}
    kept = run.read_config()["environment"]["methods"]
    assert set(kept) == {"Counting+awp", "smoothed+awp"}


def test_a_method_whose_code_has_changed_does_not_continue_a_run(own, tmp_path):
    config = own(":smoothed")
    module = config.methods[0].partition(":")[0]
    run = begun(config, tmp_path / "run")
    information_flow(config, run=run)
    source = tmp_path / f"{module}.py"
    source.write_text(f"# a remark changes nothing\n{SOURCE}")
    del sys.modules[module]
    information_flow(config, run=run)
    source.write_text(SOURCE.replace("label_smoothing=0.1", "label_smoothing=0.3"))
    del sys.modules[module]
    with pytest.raises(
        UserError, match="a step of the training method smoothed does something else than when this run"
    ):
        information_flow(config, run=run)
    source.unlink()
    del sys.modules[module]
    with pytest.raises(UserError, match=f"no module '{module}'"):
        information_flow(config, run=run)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":missing", "has no function 'missing'"),
        (":MANY", "is a int; name a function that returns the training method"),
        (":number", "returned int; it must return an infoplane.training.LossMethod, or an object with step, replays"),
        (":bare_loss", "returned function; it must return an infoplane.training.LossMethod"),
        (":raising", "raised ValueError: no such attack"),
        (":asking", "asks for temperature; only attack, epsilon, training can be passed"),
        (":wrong_loss", "has a loss that returned a tensor of shape .*; it must return infoplane.training.BatchLoss"),
        (":constant_loss", "has a loss that does not depend on the weights"),
        (":WrongStep", "has a step that returned float; it must return an infoplane.training.StepRecord"),
        (":RaisingStep", "raised RuntimeError: no luck while training; correct it"),
        (":RaisingStep+awp", "raised RuntimeError: no luck while training; correct it"),
        (":NoReplays", "must have replays of at least 1, got 0"),
    ],
)
def test_what_is_no_method_is_one_line_before_anything_is_trained(name, message, own, monkeypatch):
    monkeypatch.setattr("infoplane.training.Trainer.train_epoch", lambda *_: pytest.fail("something was trained"))
    with pytest.raises(UserError, match=message) as caught:
        information_flow(own("normal", name))
    assert "\n" not in str(caught.value)
    assert ":" + name.strip(":").partition("+")[0] in str(caught.value) or "'missing'" in str(caught.value)


def test_best_epochs_of_a_method_without_attack_go_by_original_images(own):
    from infoplane.training.named import named_trainings

    found = named_trainings(own(":plain", ":pgd", ":Counting", "normal", "normal+awp", "trades"))
    assert [training.attacks for training in found] == [False, True, True, False, False, True]
