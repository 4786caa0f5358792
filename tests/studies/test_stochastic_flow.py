"""Networks with noise of their own in study one: accuracy by averaged draws stands beside that of the mean path."""

import polars as pl
import pytest
import torch

from infoplane.commands.cli import main
from infoplane.config import FlowConfig
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import isolated_global_generator, stable_seed
from infoplane.records.tables import LATER_COLUMNS
from infoplane.report.page_tables import accuracy_html
from infoplane.runs.folder import RunFolder
from infoplane.runs.parquet import PERFORMANCE, table_content, table_of
from infoplane.runs.progress import Silence
from infoplane.runs.training_state import read_state
from infoplane.studies import STUDY
from infoplane.studies.finished import flow_config
from infoplane.studies.flow.ended import measured_weights
from infoplane.studies.flow.information_flow import information_flow
from infoplane.studies.parts import build_model, load_test_images


class Listener(Silence):
    """Keeps the lines that a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def stochastic(small_flow, tmp_path_factory) -> tuple[RunFolder, list[str]]:
    """The run of one epoch, and the lines that it said."""
    settings = small_flow.model_dump() | {"methods": ("vib",), "method": {"vib_beta": 0.01}}
    settings["model"] = {"name": "mlp-vib", "settings": {"hidden": "16", "code": 4}}
    settings["training"] |= {"epochs": 1, "optimiser": "adam", "learning_rate": 0.01}
    settings["measurement"] |= {"layers": ("code",), "thorough_epochs": 0}
    config = FlowConfig.model_validate(settings)
    run, listener = RunFolder(tmp_path_factory.mktemp("stochastic") / "run"), Listener()
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=run, progress=listener)
    return run, listener.lines


def network(run: RunFolder, training: str) -> tuple[torch.nn.Module, FlowConfig]:
    config = flow_config(run)
    test, _ = load_test_images(config, "cpu")
    model = build_model(config, test)
    model.load_state_dict(measured_weights(read_state(run, 0, training, 1)))
    return model.eval(), config


def test_accuracy_and_loss_by_draws_are_those_of_draws_made_one_by_one(stochastic):
    run, _ = stochastic
    model, config = network(run, "vib")
    test, _ = load_test_images(config, "cpu")
    pixels = as_pixels(test.images)
    with torch.no_grad(), isolated_global_generator(stable_seed(stable_seed(0, "draws"), 0)):
        encoded = model.encode(model.hidden(model.normalise(pixels).flatten(1)))
        mean, deviation = encoded[:, :4], torch.log1p(torch.exp(encoded[:, 4:] - 5))
        total = torch.zeros(len(pixels), 10)
        noise = torch.randn(12, len(pixels), 4)
        for drawn in noise:
            total += model.linear(mean + deviation * drawn).softmax(dim=1) / 12
    last = pl.col("epoch") == 1
    (row,) = run.performance().filter(last, training="vib", split="test", examples="original").to_dicts()
    assert row["draws"] == 12
    assert row["drawn_accuracy"] == (total.argmax(1) == test.labels).double().mean().item()
    chosen = total[torch.arange(len(pixels)), test.labels]
    assert row["drawn_loss"] == pytest.approx(-chosen.log().mean().item(), rel=1e-4)
    with torch.no_grad():
        mean_path = (model(pixels).argmax(1) == test.labels).double().mean().item()
    assert row["accuracy"] == mean_path


def test_every_row_has_both_accuracies(stochastic):
    run, _ = stochastic
    rows = run.performance()
    assert set(rows.select("split", "examples").unique().rows()) == {
        ("train", "original"), ("test", "original"), ("test", "adversarial"), ("test", "random")
    }  # fmt: skip
    assert rows.select(pl.col("draws", "drawn_accuracy", "drawn_loss").null_count()).row(0) == (0, 0, 0)


def test_lines_table_and_page_show_both(stochastic):
    run, lines = stochastic
    (row,) = run.performance().filter(epoch=1, training="vib", split="test", examples="original").to_dicts()
    both = f"test {row['accuracy']:.1%} ({row['drawn_accuracy']:.1%} by 12 draws)"
    assert any(both in line for line in lines)
    page = accuracy_html(run.performance())
    heads = [part.partition("</th>")[0] for part in page.split('<th scope="col">')[3:]]
    examples = ("train", "test", "test, adversarial", "test, random")
    assert heads[0::2] == list(examples)
    assert heads[1::2] == ["train, 12 draws", "test, 12 draws", "test, 12 draws, adversarial", "test, 12 draws, random"]
    assert f"<td>{100 * row['drawn_accuracy']:.2f} %</td>" in page


def test_networks_without_noise_have_no_such_accuracies(flow_run):
    assert flow_run.performance()["drawn_accuracy"].null_count() == len(flow_run.performance())
    assert "draws" not in accuracy_html(flow_run.performance())


def test_records_that_are_older_than_the_columns_are_read(flow_run, tmp_path):
    table = flow_run.performance()
    older = table_content(table.drop(*LATER_COLUMNS))
    assert table_of(older, PERFORMANCE, tmp_path / "older.parquet").equals(table)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--methods", "vib"], "vib trains a network with noise of its own (a GaussianLayer); add --model mlp-vib"),
        (["--methods", "ceb", "--model", "mlp-vib"], "BottleneckMLP has no class_means"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(options, words, tmp_path, capsys):
    assert main(["flow", "digits-lenet5", "--run", str(tmp_path / "run"), *options, "--deterministic"]) == 2
    found = capsys.readouterr().err.strip().splitlines()
    assert words in found[-1]
    assert "add --model mlp-" in found[-1]
    assert not list((tmp_path / "run").glob("**/*.safetensors"))
