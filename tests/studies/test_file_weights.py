"""Study one on weights from elsewhere: they are loaded, their accuracy is checked, and both are recorded."""

import hashlib

import polars as pl
import pytest
import torch
from tests.models.published import published
from tests.models.small_networks import narrow
from torch import nn

from infoplane.commands.cli import main
from infoplane.config import DataConfig, FlowConfig, MeasurementConfig, ModelConfig, TrainingConfig
from infoplane.data import as_floats, load_split
from infoplane.errors import UserError
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.records.tables import trainings_at_chance
from infoplane.runs.environment import describe_environment
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Silence
from infoplane.studies import STUDY, information_flow
from infoplane.studies.finished import FinishedRun


class Heard(Silence):
    """Keeps what was said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def settings(path, **changed) -> FlowConfig:
    return FlowConfig(
        methods=("adversarial",),
        attacks=(),
        data=DataConfig(name="digits", image_size=16),
        model=ModelConfig(name="preactresnet18", settings={"width": 2}, mean=(0.4,), std=(0.3,), weights=str(path)),
        training=TrainingConfig(epochs=0),
        measurement=MeasurementConfig(
            examples=20, layers=("linear",), permutations=2, thorough_epochs=0, noise_sweep=(), inputs=0
        ),
    ).model_copy(update=changed)


def measured(path, run, config=None):
    heard, config = Heard(), config or settings(path)
    run.begin(STUDY, config.model_dump(mode="json"), describe_environment("cpu"))
    return information_flow(config, run=run, progress=heard), heard.lines


@pytest.fixture(scope="module")
def network():
    """A PreActResNet-18 with random weights, of which the last layer is fitted to the test images."""
    test = load_split("digits", "test", image_size=16)
    model = narrow("preactresnet18", 16, 1, classes=10).float()
    with torch.no_grad(), evaluation_mode(model):
        seen = []
        hook = model.linear.register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
        model(as_floats(test.images))
        hook.remove()
        features = torch.cat([seen[0], torch.ones(len(test), 1)], dim=1).double()
        goal = nn.functional.one_hot(test.labels, 10).double()
        solved = torch.linalg.lstsq(features, goal).solution.float()
        model.linear.weight.copy_(solved[:-1].T)
        model.linear.bias.copy_(solved[-1])
    return model


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    """Its weights as RobustBench names them, in a pickle of a dict, without the normalisation."""
    path = tmp_path_factory.mktemp("weights") / "Published2020.pt"
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in published("preactresnet18", network).items()}}, path
    )
    return path


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("run") / "run")
    return run, *measured(path, run)


def test_the_network_of_the_file_is_measured(run, network):
    _, records, _ = run
    test = load_split("digits", "test", image_size=16)
    with torch.no_grad(), evaluation_mode(network):
        right = (network(as_floats(test.images)).argmax(dim=1) == test.labels).double().mean().item()
    (accuracy,) = records.performance.filter(split="test", examples="original")["accuracy"]
    assert accuracy == pytest.approx(right)
    assert accuracy > 0.2
    assert records.measurements["training"].unique().to_list() == ["adversarial"]
    assert not records.performance["at_chance"].any()


def test_its_accuracy_is_said_before_anything_is_measured(run):
    lines = run[2]
    accuracy, measured_at = (
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("Published2020.pt: accuracy", "epoch 0/0")
    )
    assert accuracy < measured_at
    assert (
        "note: Published2020.pt has no normalisation of pixels: the network has --model.mean 0.4 --model.std 0.3"
        in lines
    )
    assert not any("WARNING" in line for line in lines)


def test_the_run_keeps_the_checksum_and_the_accuracy(run, path):
    kept = run[0].read_config()["environment"]["weights"]
    assert kept["file"] == "Published2020.pt"
    assert kept["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert kept["low"] < kept["accuracy"] < kept["high"]
    assert kept["at_chance"] is False


def test_later_studies_need_the_run_alone(run, network, path):
    moved = path.rename(path.with_suffix(".moved"))
    try:
        (finished,) = FinishedRun(run[0])
    finally:
        moved.rename(path)
    assert torch.equal(finished.model.linear.weight, network.linear.weight)


def test_at_chance_is_said_and_marked_in_the_records(network, tmp_path):
    weights = published("preactresnet18", network)
    weights["linear.weight"] = torch.zeros_like(weights["linear.weight"])
    torch.save(weights, tmp_path / "constant.pt")
    run = RunFolder(tmp_path / "run")
    records, lines = measured(tmp_path / "constant.pt", run)
    assert any(line.startswith("WARNING: accuracy on original images is ") for line in lines)
    assert trainings_at_chance(records.performance) == [(0, "adversarial")]
    assert run.read_config()["environment"]["weights"]["at_chance"] is True
    assert not records.measurements.is_empty()


def test_another_file_does_not_continue_the_run(network, tmp_path):
    weights, run = published("preactresnet18", network), RunFolder(tmp_path / "run")
    torch.save(weights, tmp_path / "w.pt")
    measured(tmp_path / "w.pt", run)
    assert measured(tmp_path / "w.pt", run)[1] == ["adversarial: complete"]
    torch.save({**weights, "linear.bias": weights["linear.bias"] + 1}, tmp_path / "w.pt")
    for table in (run.path / "measurements").iterdir():  # so that it has to be measured again
        table.unlink()
    with pytest.raises(UserError, match=r"w\.pt is not the file that .*run began with; put the old one back"):
        measured(tmp_path / "w.pt", run)


def test_published_wideresnets_have_relus(tmp_path):
    model = narrow("wideresnet", 16, 1, classes=10, widen_factor=2).float()
    torch.save(published("wideresnet", model), tmp_path / "w.pt")
    config = settings(tmp_path / "w.pt", data=DataConfig(name="digits", image_size=16, test_examples=40))
    for slope, noted in ((0.1, True), (0.0, False)):
        own = ModelConfig(
            name="wideresnet",
            settings={"widen_factor": 2, "negative_slope": slope},
            weights=config.model.weights,
        )
        _, lines = measured(None, RunFolder(tmp_path / f"run{slope}"), config.model_copy(update={"model": own}))
        words = "note: published networks of this layout have --model.negative-slope 0, this one has 0.1"
        assert (words in lines) == noted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--weights measures a network that was trained elsewhere: add --epochs 0"),
        (("--epochs", "0"), "--weights is one network: say how it was trained with --methods normal, or"),
        (("--epochs", "0", "--seeds", "2", "--methods", "normal"), "--weights is one network: leave out --seeds 2"),
    ],
)
def test_settings_that_do_not_fit_weights_are_one_line(options, words, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["flow", "digits-lenet5", "--weights", "w.pt", "--run", str(run), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not run.exists()


def test_tables_of_such_a_run_have_one_epoch(run):
    assert run[1].measurements.select(pl.col("epoch").unique()).to_series().to_list() == [0]
