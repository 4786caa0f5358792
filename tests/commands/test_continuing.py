"""A run is continued by its recipe and folder alone; settings that are typed must be those of the run."""

import shutil
from pathlib import Path

import pytest

import infoplane.report.html as html
from infoplane import studies
from infoplane.commands.cli import main
from infoplane.runs.folder import RunFolder

OPTIONS = [
    "--data.train-examples=50",
    "--data.test-examples=40",
    "--training.epochs=0",
    "--measurement.layers=fc3",
    "--measurement.permutations=2",
    "--measurement.thorough-epochs=0",
    "--measurement.noise-sweep=1",
    "--methods=normal",
]


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(html, "write_report", lambda run, found, **_: run.path / "report.html")


def flow(path: Path, *arguments: str, recipe: str = "digits-lenet5") -> int:
    return main(["flow", recipe, "--run", str(path), "--device", "cpu", *arguments])


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A run with settings of its own."""
    path = tmp_path_factory.mktemp("continuing") / "run"
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(html, "write_report", lambda run, found, **_: run.path / "report.html")
        assert flow(path, *OPTIONS) == 0
    return path


@pytest.fixture
def own_run(begun, tmp_path) -> Path:
    """A copy."""
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


def settings(path: Path):
    return RunFolder(path).read_config()["settings"]


def test_a_run_is_continued_with_its_own_settings_and_says_which_they_are(own_run, capsys):
    before = settings(own_run)
    assert flow(own_run) == 0
    printed = capsys.readouterr().out
    assert f"note: {own_run} is continued with its own settings: methods = ['normal'], data.train_examples" in printed
    assert "training.epochs = 0" in printed
    assert "normal: complete" in printed
    assert settings(own_run) == before


def test_more_seeds_need_nothing_but_their_number(own_run, capsys, monkeypatch):
    before = settings(own_run)
    assert flow(own_run, "--seeds", "2") == 0
    assert settings(own_run) == before | {"seeds": 2}
    assert set(RunFolder(own_run).performance()["seed"]) == {0, 1}
    assert flow(own_run) == 0
    assert "seeds = 2" in capsys.readouterr().out
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # the demo would start two processes that have nothing to do
    assert main(["demo", "--run", str(own_run), "--quiet"]) == 0
    assert settings(own_run) == before | {"seeds": 2}


def test_places_are_printed_as_they_are_named(own_run, tmp_path, capsys):
    strange = tmp_path / "[red]a[" / "b]"
    strange.parent.mkdir()
    own_run.rename(strange)
    assert flow(strange) == 0
    printed = capsys.readouterr().out
    assert f"figures: {strange / 'figures'}\n" in printed
    assert f"report:  {strange / 'report.html'}\n" in printed


@pytest.mark.parametrize(
    ("arguments", "recipe", "words"),
    [
        (("--measurement.bin-width", "0.25"), "digits-lenet5", "methods = ['normal'], but this one asks for"),
        (("--seed", "1"), "digits-lenet5", "seed = 0, but this one asks for 1"),
        ((), "mnist-lenet5", "recipe = 'digits-lenet5', but this one asks for 'mnist-lenet5'"),
        (("--model", "wideresnet"), "digits-lenet5", "methods = ['normal'], but this one asks for"),
    ],
)
def test_other_settings_and_recipes_are_still_refused(arguments, recipe, words, own_run, capsys):
    assert flow(own_run, *arguments, recipe=recipe) == 2
    assert f"{own_run} holds a run with {words}" in capsys.readouterr().err


def test_settings_that_computed_nothing_are_not_taken(tmp_path, monkeypatch):
    RunFolder(tmp_path).begin(studies.STUDY, {"recipe": "digits-lenet5", "seed": 7}, {})
    seen = []
    monkeypatch.setattr(studies, "information_flow", lambda config, **more: seen.append(config) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        flow(tmp_path)
    assert [config.seed for config in seen] == [0]
