"""A training continues only from a state that it wrote, with the network that it was written of."""

import shutil

import pytest
import torch

from infoplane.errors import UserError
from infoplane.models import LeNet5
from infoplane.runs.folder import RunFolder
from infoplane.runs.state_tensors import split_state
from infoplane.runs.training_state import check_network, read_best_state, read_state, write_state
from infoplane.studies import STUDY
from infoplane.studies.finished import FinishedRun, flow_config
from infoplane.studies.flow import work
from infoplane.studies.flow.information_flow import information_flow

SEED = 4


@pytest.fixture
def own_run(flow_run, tmp_path) -> RunFolder:
    """A copy that a test may change."""
    shutil.copytree(flow_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def unfinished(run: RunFolder) -> None:
    """Take the last epoch of normal training away."""
    for folder in ("measurements", "geometry", "performance"):
        (run.path / folder / f"{STUDY}-s{SEED}-normal-e0001.parquet").unlink()


def replace(run: RunFolder, **facts: object) -> None:
    state = read_state(run, SEED, "normal", 1)
    for name, value in facts.items():
        state[name] = value
    run.write_checkpoint(SEED, "normal", 1, *split_state(state))


def one_line(action) -> str:
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"epoch": None}, "epoch must be a valid integer, got None"),
        ({"epoch": -1}, "epoch must be greater than or equal to 0, got -1"),
        ({"epoch": 7}, "epoch must be 1, got 7"),
        ({"gradient_evaluations": None}, "gradient_evaluations must be a valid number, got None"),
        ({"seconds": "long"}, "seconds must be a valid number, got 'long'"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"stopped": 3}, "stopped must be a valid string, got 3"),
        ({"best_accuracy": 2.0}, "best_accuracy must be less than or equal to 1, got 2.0"),
        ({"model": [1]}, "model must be a valid dictionary"),
        ({"model": {"conv1.weight": 3}}, "model.conv1.weight must be"),
        ({"average": 5}, "average must be a valid dictionary"),
        ({"optimiser": None}, "optimiser must be a valid dictionary"),
    ],
)
def test_facts_of_a_checkpoint_that_are_none_are_one_line(own_run, facts, words):
    replace(own_run, **facts)
    message = one_line(lambda: read_state(own_run, SEED, "normal", 1))
    assert f"the checkpoint of normal training, seed {SEED}, cannot be continued from ({words}" in message
    assert message.endswith("restore it, or start a new run")


@pytest.mark.parametrize("skeleton", [None, 3, [], {"pairs": 3}, {"pairs": [[1]]}, {"tensor": "nobody"}, {"list": 1}])
def test_facts_that_are_no_state_are_one_line(own_run, skeleton):
    own_run.write_checkpoint(SEED, "normal", 1, {"weight": torch.ones(1)}, skeleton)
    assert "cannot be continued from" in one_line(lambda: read_state(own_run, SEED, "normal", 1))


class Other(LeNet5):
    """The same parameters, another function."""

    def forward(self, images):
        return 1.01 * super().forward(images)


class Wider(LeNet5):
    """Other parameters."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.more = torch.nn.Linear(3, 3)


@pytest.fixture
def changed_code(monkeypatch):
    build = work.build_model

    def change(kind):
        def built(config, images):
            network = build(config, images)
            (own,) = [module for module in network.modules() if type(module) is LeNet5]
            own.__class__ = kind
            if kind is Wider:
                own.more = torch.nn.Linear(3, 3)
            return network

        for module in ("flow.work", "finished", "flow.trainers"):
            monkeypatch.setattr(f"infoplane.studies.{module}.build_model", built)

    return change


@pytest.mark.parametrize(
    ("kind", "words"), [(Other, "computes other outputs than when this run wrote"), (Wider, "does not fit the network")]
)
def test_a_network_whose_code_changed_between_two_sittings_is_one_line(own_run, changed_code, kind, words):
    config = flow_config(own_run)
    changed_code(kind)
    assert words in one_line(lambda: list(FinishedRun(own_run)))
    assert words in one_line(lambda: information_flow(config, run=own_run))  # complete: nothing may be added
    unfinished(own_run)
    assert words in one_line(lambda: information_flow(config, run=own_run))


def test_a_network_whose_code_is_the_same_continues(own_run, flow_run):
    unfinished(own_run)
    information_flow(flow_config(own_run), run=own_run)
    assert own_run.measurements().height == flow_run.measurements().height


def test_a_network_that_draws_at_random_is_not_held_to_its_outputs(tmp_path):
    class Drawing(torch.nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1)) + torch.rand(())

    network, run, pixels = Drawing(4, 3), RunFolder(tmp_path), torch.zeros(2, 1, 2, 2)
    before = torch.get_rng_state()
    state = {"model": network.state_dict(), "epoch": 1}
    write_state(run, 0, "normal", 1, state, network, pixels)
    assert read_state(run, 0, "normal", 1)["outputs"] is None
    check_network(network, read_state(run, 0, "normal", 1), pixels, run, 0, "normal")
    assert torch.equal(torch.get_rng_state(), before)


def test_outputs_are_taken_in_evaluation_mode_and_the_mode_is_kept(tmp_path):
    network = torch.nn.Sequential(
        torch.nn.BatchNorm2d(1), torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(4, 3)
    )
    state = {"model": network.state_dict(), "epoch": 1}
    write_state(RunFolder(tmp_path), 0, "normal", 1, state, network, torch.zeros(2, 1, 2, 2))
    assert read_state(RunFolder(tmp_path), 0, "normal", 1)["outputs"].shape == (4, 3)
    assert network[0].num_batches_tracked == 0
    assert network.training


def test_a_kill_between_the_two_checkpoints_of_a_best_epoch_loses_neither(tmp_path, monkeypatch):
    """The epoch is trained again: no later checkpoint may say that an epoch was the best whose weights are gone."""
    network, run = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)), RunFolder(tmp_path)
    state = {"model": network.state_dict(), "epoch": 2}

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        write_state(run, 0, "normal", 2, state, network, torch.zeros(2, 1, 2, 2), best=True)
    assert read_best_state(run, 0, "normal")["epoch"] == 2
    assert run.checkpoint_epochs(0, "normal") == []
