"""A dead network is noticed, not measured further, marked in the records, and no finding rests on it."""

import pytest
from tests.studies.test_information_flow import WITHOUT_DECODERS, Listener, changed

from infoplane.config import FlowConfig, ModelConfig
from infoplane.errors import UserError
from infoplane.findings import find
from infoplane.records.tables import trainings_at_chance
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.information_flow import information_flow
from infoplane.training import Trainer, loop

PATH = "tests.studies.dead_network:DeadNetwork"


@pytest.fixture(scope="module", autouse=True)
def few_updates():
    """The 120 updates of an epoch are enough to call a training dead."""
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(loop, "ENOUGH_UPDATES", 120)
        yield


@pytest.fixture(scope="module")
def dead_flow(small_flow) -> FlowConfig:
    """120 updates an epoch, and no warm-up: dead after the first epoch of three."""
    training = small_flow.training.model_copy(update={"epochs": 3, "batch_size": 1, "warmup_epochs": 0.0})
    measurement = small_flow.measurement.model_copy(update={**WITHOUT_DECODERS, "permutations": 2, "noise_sweep": (1,)})
    update = {"model": ModelConfig(name=PATH), "training": training, "methods": ("adversarial",)}
    update["measurement"] = measurement
    return small_flow.model_copy(update=update)


@pytest.fixture(scope="module")
def dead_run(dead_flow, tmp_path_factory) -> tuple[RunFolder, list[str]]:
    run, listener = RunFolder(tmp_path_factory.mktemp("dead") / "run"), Listener()
    run.begin(STUDY, dead_flow.model_dump(mode="json"), {"device": "cpu"})
    information_flow(dead_flow, run=run, progress=listener)
    assert listener.done == pytest.approx(listener.work)
    return run, listener.lines


def test_a_dead_training_ends_with_one_line_and_advice(dead_run):
    run, lines = dead_run
    ended = [line for line in lines if "ended after" in line]
    assert len(ended) == 1
    assert ended[0].startswith("adversarial: ended after epoch 1: the network answers no better than a constant does (")
    assert "120 of 120 images have all-zero gradients" in ended[0]
    assert "Try another --seed, a longer --training.warmup-epochs" in ended[0]
    assert run.checkpoint_epochs(0, "adversarial") == [1]


def test_a_training_at_chance_after_few_updates_goes_on_and_is_marked(dead_flow, monkeypatch):
    monkeypatch.setattr(loop, "ENOUGH_UPDATES", 361)
    listener = Listener()
    records = information_flow(dead_flow, progress=listener)
    assert len([line for line in listener.lines if "at chance after epoch 1 so far" in line]) == 1
    assert set(records.measurements["epoch"]) == {0, 1, 2, 3}
    assert trainings_at_chance(records.performance) == [(0, "adversarial")]


def test_its_last_epoch_has_accuracies_that_are_marked_and_no_information(dead_run):
    run, _ = dead_run
    performance = run.performance()
    assert set(performance.select("epoch", "at_chance").rows()) == {(0, False), (1, True)}
    assert set(run.measurements()["epoch"]) == {0}
    assert trainings_at_chance(performance) == [(0, "adversarial")]


def test_a_run_that_ended_so_is_complete(dead_run, dead_flow, monkeypatch):
    run, _ = dead_run
    monkeypatch.setattr(Trainer, "train_epoch", None)
    listener = Listener()
    information_flow(dead_flow, run=run, progress=listener)
    assert listener.lines == ["adversarial: complete"]


def test_attack_warnings_are_one_line_for_each_epoch_and_complaint(dead_run):
    _, lines = dead_run
    warned = [line for line in lines if "all-zero gradients at every step" in line]
    assert warned == [
        "adversarial, measuring epoch 0: attack: 60 of 60 images had all-zero gradients at every step; "
        "they were not attacked",
        "adversarial, training epoch 1: attack: 120 of 120 images in 120 batches had all-zero gradients at every step; "
        "they were not attacked",
    ]


def test_who_asks_for_it_gets_all_epochs_measured_and_marked(dead_flow, tmp_path):
    run = RunFolder(tmp_path / "run")
    config = dead_flow.model_copy(update={"training": dead_flow.training.model_copy(update={"epochs": 2})})
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=run)  # ended after epoch 1
    assert set(information_flow(config, run=run, continue_at_chance=True).measurements["epoch"]) == {0, 1, 2}
    assert set(run.performance().filter(epoch=2)["at_chance"]) == {True}
    assert len(FinishedRun(run)) == 1  # who asked for it gets it distorted too


def test_a_network_that_dies_in_the_last_planned_epoch_ended_there_and_can_be_measured_after_all(dead_flow, tmp_path):
    run = RunFolder(tmp_path / "run")
    config = dead_flow.model_copy(update={"training": dead_flow.training.model_copy(update={"epochs": 1})})
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    assert set(information_flow(config, run=run).measurements["epoch"]) == {0}
    with pytest.raises(UserError, match="every training ended at chance"):
        FinishedRun(run)
    assert set(information_flow(config, run=run, continue_at_chance=True).measurements["epoch"]) == {0, 1}
    assert len(FinishedRun(run)) == 1
    listener = Listener()
    information_flow(config, run=run, continue_at_chance=True, progress=listener)
    assert listener.lines == ["adversarial: complete"]


def test_a_warm_up_that_does_not_fit_is_said(small_flow):
    listener = Listener()
    training = small_flow.training.model_copy(update={"epochs": 1, "warmup_epochs": 3.0})
    config = changed(small_flow, measurement={"layers": ("fc3",), "thorough_epochs": 0}, methods=("normal",))
    information_flow(config.model_copy(update={"training": training}), progress=listener)
    assert listener.lines[0].startswith("note: the warm-up takes 3 epochs and training 1")


def test_in_memory_too_the_other_trainings_go_on(dead_flow):
    config = dead_flow.model_copy(update={"methods": ("adversarial", "normal")})
    records = information_flow(config)
    assert trainings_at_chance(records.performance) == [(0, "adversarial"), (0, "normal")]


def test_a_dead_network_is_not_distorted(dead_run):
    run, _ = dead_run
    with pytest.raises(UserError, match="every training ended at chance"):
        FinishedRun(run)


def test_findings_leave_it_out_and_say_so(dead_run):
    run, _ = dead_run
    found = find(run.measurements(), run.performance())
    for claim in found.claims[:-1]:
        assert claim.verdict == "undecided"
        assert claim.reason.endswith("left out, at chance: adversarial training of seed 0")
    assert "left out" not in found.claims[-1].reason
