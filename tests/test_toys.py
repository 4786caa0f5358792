"""Adding a dataset, a network or a distortion takes its own file and one line in a list."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.drawing_little import rendering_only
from tests.toys.dataset import TOY_DATASET
from tests.toys.distortion import TOY_DISTORTION
from tests.toys.model import TOY_MODEL

from infoplane.commands.cli import main
from infoplane.commands.option_names import option_names
from infoplane.data import DATASETS
from infoplane.distortions import DISTORTIONS
from infoplane.models import MODELS
from infoplane.runs.folder import RunFolder

FLOW = ("flow", "digits-lenet5", "--data.name", "toy-squares", "--model", "toy-layers", "--device", "cpu")
SMALL = (
    *("--epochs", "1", "--training.batch-size", "20", "--examples", "40", "--methods", "normal"),
    *("--measurement.permutations", "2", "--measurement.decoder-permutations", "0", "--measurement.noise-sweep"),
)


@pytest.fixture(autouse=True)
def toys_in_the_lists():
    """The one line that each takes."""
    toys = ((DATASETS, TOY_DATASET), (MODELS, TOY_MODEL), (DISTORTIONS, TOY_DISTORTION))
    for things, toy in toys:
        things.append(toy)
    yield
    for things, toy in toys:
        things.remove(toy)


def printed(capsys, *arguments) -> str:
    with contextlib.suppress(SystemExit):  # by which the parser ends after its own help
        assert main(arguments) == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def refused(capsys, *arguments) -> str:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_help_lists_them_with_their_descriptions(capsys):
    facts = "toy-squares: squares of two sizes (2 classes, 16x16 pixels, grey)"
    assert facts in printed(capsys, "data", "--help")
    everything = printed(capsys, "flow", "--help-all")
    assert facts in everything
    assert "toy-layers: two linear layers" in everything
    assert "--model.hidden-units INT Units of the hidden layer. (default of toy-layers: 6)" in everything
    screen = printed(capsys, "flow", "--help")
    assert "toy-squares" in screen
    assert "toy-layers" in screen
    fading = printed(capsys, "distortion", "--help")
    assert "toy-fading: destroys contrast" in fading
    assert "Share of contrast removed; 0 changes nothing and is always measured. (default: 0 0.5 1)" in fading


def test_a_name_that_is_none_is_answered_with_theirs(capsys, tmp_path):
    run = ("--run", str(tmp_path / "run"))
    assert "toy-squares" in refused(capsys, "data", "toy-square")
    assert "did you mean 'toy-squares'?" in refused(capsys, "flow", "digits-lenet5", "--data.name", "toy-square", *run)
    assert "did you mean 'toy-layers'?" in refused(capsys, "flow", "digits-lenet5", "--model", "toy-layer", *run)
    assert "did you mean 'toy-fading'?" in refused(capsys, "distortion", str(tmp_path), "--distortions", "toy-fade")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model.hidden-units", "0"), "--model.hidden-units must be greater than or equal to 1, got 0"),
        (
            ("--model.depth", "16"),
            "--model.depth: the model toy-layers has no setting 'depth'; it has only hidden_units",
        ),
        (("--model.hidden-unit", "3"), "did you mean --model.hidden-units?"),
    ],
)
def test_a_setting_that_the_network_refuses_is_one_line(options, words, capsys, tmp_path):
    assert words in refused(capsys, *FLOW, *options, "--run", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_settings_of_all_networks_are_options():
    from infoplane.commands.flow import FlowOptions

    assert {"--model.depth", "--model.widen-factor", "--model.hidden-units"} <= set(option_names(FlowOptions))


def test_they_are_verified_trained_measured_distorted_and_reported(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only())
    assert printed(capsys, "data", "toy-squares") == "ok toy squares comes with infoplane"
    run = str(tmp_path / "run")
    assert main([*FLOW, *SMALL, "--model.hidden-units", "5", "--run", run, "--quiet"]) == 0
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert settings["data"]["name"] == "toy-squares"
    assert settings["model"]["settings"] == {"hidden_units": 5}
    assert main([*FLOW, *SMALL, "--model.hidden-units", "5", "--run", run, "--quiet"]) == 0  # continued
    assert "model.settings.hidden_units = 5" in refused(capsys, *FLOW, *SMALL, "--run", run, "--quiet")
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only("information-flow", "distortion"))
    assert main(["distortion", run, "--distortions", "toy-fading", "--toy-fading", "0.25", "1", "--quiet"]) == 0
    levels = RunFolder(tmp_path / "run").performance().filter(distortion="toy-fading", examples="original")["level"]
    assert levels.to_list() == [0, 0.25, 1]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "toy-layers on toy-squares" in page
    assert "destroys contrast" in page
    drawn = {path.stem for path in (tmp_path / "run" / "figures").glob("*.svg")}
    assert {"information-flow-normal-s0", "distortion-s0", "distortion-sheet-toy-fading-s0"} <= drawn


def test_the_lists_need_no_torch():
    code = """
import sys, infoplane.commands.cli
from infoplane.data import DATASETS
from infoplane.distortions import DISTORTIONS
from infoplane.models import MODELS

[one.summary for one in DATASETS], [one.settings for one in MODELS], [one.levels for one in DISTORTIONS]
for command in (["data", "--help"], ["flow", "--help"], ["flow", "--help-all"], ["distortion", "--help"]):
    try:
        infoplane.commands.cli.main(command)
    except SystemExit:
        pass
assert not {"torch", "numpy"} & {*sys.modules}
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_recipes_state_all_settings_of_their_network():
    from infoplane.models import model_named
    from infoplane.recipes import RECIPES

    for recipe in RECIPES.values():
        model = recipe.config.model
        assert model_named(model.name).checked(model.settings).model_dump() == model.settings


@pytest.mark.parametrize("toy", ["dataset", "model", "distortion"])
def test_the_page_that_says_how_to_add_one_shows_the_toy_of_these_tests(toy):
    page = (Path(__file__).parents[1] / "docs" / f"add-a-{toy}.md").read_text()
    assert f"```python\n{(Path(__file__).parent / 'toys' / f'{toy}.py').read_text()}```" in page
