"""`infoplane measure`: a folder of checkpoints becomes a run that is as a loop of one's own would have saved it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.torch import save_file
from tests.loops.own_loops import ATTACK, SETTINGS, examples, small

import infoplane
from infoplane.commands import cli
from infoplane.loops import saving
from infoplane.loops.checkpoints import thorough_epochs
from infoplane.measuring.plane import Plane
from infoplane.records import PIXELS
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import loop_settings
from infoplane.studies.finished import FinishedRun

MAKE = "tests.loops.own_loops:make"


@pytest.fixture(autouse=True)
def _without_drawing(monkeypatch):
    monkeypatch.setattr("infoplane.report.html.write_report", lambda run: run.path / "report.html")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A folder with three checkpoints and the images."""
    folder = tmp_path_factory.mktemp("given")
    images, labels = examples()
    arrays = {"images": (images[:, 0] * 255).round().byte().numpy(), "labels": labels.numpy()}
    np.savez(folder / "images.npz", **arrays, class_names=np.array(["cat", "dog", "owl"]))
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": small(1).state_dict(), "epoch": 1}, folder / "checkpoints" / "epoch1.pt")
    save_file(
        {f"module.{name}": value for name, value in small(2).state_dict().items()},
        folder / "checkpoints/e2.safetensors",
    )
    torch.save(small(10).state_dict(), folder / "checkpoints" / "epoch-10.pth")
    return folder


def arguments(given: Path, run: Path, *more: object, thorough: int = 1) -> list[str]:
    settings = ["--measurement.permutations", "2", "--measurement.decoder-permutations", "1"]
    settings += ["--measurement.noise-sweep", "1.0", "--measurement.inputs", "0"]
    settings += ["--measurement.thorough-epochs", str(thorough)]
    attack = ["--attacks", "pgd", "--attack.epsilon", "0.1", "--attack.step-size", "0.05", "--attack.steps", "3"]
    named = [given / "checkpoints", "--model", MAKE, "--data", given / "images.npz", "--run", run]
    return list(map(str, ["measure", *named, *settings, *attack, *more]))


@pytest.fixture(scope="module")
def run(given, tmp_path_factory) -> Path:
    """The run; tests do not change it."""
    path = tmp_path_factory.mktemp("measured") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("infoplane.report.html.write_report", lambda run: run.path / "report.html")
        assert cli.main(arguments(given, path)) == 0
    return path


def refused(capsys, *typed) -> str:
    assert cli.main(list(map(str, typed))) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_the_records_are_those_of_a_plane_in_a_loop_of_ones_own(run):
    settings = SETTINGS.model_copy(update={"thorough_epochs": 1})
    own = Plane(*examples(), attack=ATTACK, settings=settings, layers=("hidden", "last"))
    for epoch in (1, 2, 10):
        own.measure(small(epoch), epoch=epoch, thorough=epoch == 10, final=epoch == 10)
    found = infoplane.load_run(run)
    keys = ["epoch", "layer_index", "examples", "estimator", "quantity", "kind", "noise_mode", "noise_ratio", "samples"]
    assert_frame_equal(found.measurements.sort(*keys), own.measurements.sort(*keys))
    assert_frame_equal(found.performance.sort("epoch", "examples"), own.performance.sort("epoch", "examples"))


def test_the_last_epoch_is_the_final_one(run):
    measurements = infoplane.load_run(run).measurements
    assert set(measurements.filter(layer=PIXELS)["epoch"]) == {10}
    assert set(measurements.filter(estimator="decoded")["epoch"]) == {10}


def test_the_run_says_where_everything_came_from(run, given):
    settings = loop_settings(RunFolder(run))
    assert settings is not None
    assert settings.data.folder == str(given / "images.npz")
    assert settings.data.class_names == ("cat", "dog", "owl")
    assert settings.builder is not None
    assert settings.builder.name == MAKE
    assert set(settings.checkpoints) == {
        "s0-normal-e0001/epoch1.pt",
        "s0-normal-e0002/e2.safetensors",
        "s0-normal-e0010/epoch-10.pth",
    }


def test_epochs_that_are_measured_are_not_measured_again(given, tmp_path, monkeypatch, capsys):
    measured, original = [], Plane.measure

    def spy(self, model, **more):
        measured.append((more["epoch"], more["final"]))
        return original(self, model, **more)

    monkeypatch.setattr(Plane, "measure", spy)
    copy = tmp_path / "given"
    (copy / "checkpoints").mkdir(parents=True)
    for name in ("images.npz", "checkpoints/epoch1.pt", "checkpoints/e2.safetensors"):
        (copy / name).write_bytes((given / name).read_bytes())
    assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 0
    assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 0
    assert measured == [(1, False), (2, True)]
    torch.save(small(5).state_dict(), copy / "checkpoints" / "epoch1.pt")  # other weights under the same name
    (copy / "checkpoints/epoch-10.pth").write_bytes((given / "checkpoints/epoch-10.pth").read_bytes())
    capsys.readouterr()
    assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 0
    assert measured[2:] == [(1, False), (10, True)]
    assert "epoch 2 (e2.safetensors): measured already" in capsys.readouterr().out
    for name in ("e2.safetensors", "epoch-10.pth"):
        (copy / "checkpoints" / name).unlink()
    assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 0
    assert measured[4:] == [(1, True)]  # the last one now


def test_files_of_two_trainings_with_the_same_names_are_told_apart(given, tmp_path, monkeypatch):
    for training, weights in (("normal", 1), ("other", 2)):
        (tmp_path / training / "checkpoints").mkdir(parents=True)
        (tmp_path / training / "images.npz").write_bytes((given / "images.npz").read_bytes())
        torch.save(small(weights).state_dict(), tmp_path / training / "checkpoints" / "epoch1.pt")
        assert cli.main(arguments(tmp_path / training, tmp_path / "run", "--training", training, thorough=0)) == 0
    settings = loop_settings(RunFolder(tmp_path / "run"))
    checksums = {name: hashlib.sha256((tmp_path / name / "checkpoints/epoch1.pt").read_bytes()).hexdigest()
                 for name in ("normal", "other")}  # fmt: skip
    assert settings.checkpoints == {f"s0-{name}-e0001/epoch1.pt": sha256 for name, sha256 in checksums.items()}
    monkeypatch.setattr(Plane, "measure", lambda *_, **__: pytest.fail("measured again"))
    assert cli.main(arguments(tmp_path / "normal", tmp_path / "run", "--training", "normal", thorough=0)) == 0


def test_a_file_that_gets_another_epoch_is_measured_again(given, tmp_path, monkeypatch):
    copy = tmp_path / "given"
    (copy / "checkpoints").mkdir(parents=True)
    (copy / "images.npz").write_bytes((given / "images.npz").read_bytes())
    for weights, name in enumerate(("a.pt", "b.pt")):
        torch.save(small(weights).state_dict(), copy / "checkpoints" / name)
    measured, original = [], Plane.measure

    def spy(self, model, **more):
        measured.append(more["epoch"])
        return original(self, model, **more)

    monkeypatch.setattr(Plane, "measure", spy)
    assert cli.main(arguments(copy, tmp_path / "run", "--epochs", 1, 2, thorough=0)) == 0
    assert cli.main(arguments(copy, tmp_path / "run", "--epochs", 2, 1, thorough=0)) == 0
    assert measured == [1, 2, 1, 2]


def test_a_file_that_was_replaced_is_measured_also_if_the_first_attempt_was_killed(given, tmp_path, monkeypatch):
    copy = tmp_path / "given"
    (copy / "checkpoints").mkdir(parents=True)
    for name in ("images.npz", "checkpoints/epoch1.pt"):
        (copy / name).write_bytes((given / name).read_bytes())
    assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 0
    torch.save(small(5).state_dict(), copy / "checkpoints" / "epoch1.pt")

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(saving, "_write_records", killed)
        assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 130
    assert cli.main(arguments(copy, tmp_path / "run", thorough=0)) == 0
    assert cli.main(arguments(copy, tmp_path / "fresh", thorough=0)) == 0
    again, fresh = (infoplane.load_run(tmp_path / name).performance["loss"].to_list() for name in ("run", "fresh"))
    assert again == fresh


def test_the_commands_for_finished_networks_know_the_function(run):
    (network,) = FinishedRun(RunFolder(run))
    assert (network.epoch, network.layers) == (10, ("hidden", "last"))


def test_the_function_of_the_run_is_imported_only_if_it_is_typed(run, capsys):
    line = refused(capsys, "distortion", run)
    assert f"names the function '{MAKE}' as its model, and this command would import that code" in line


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--attack.epsilon", "0.05"], "holds a run with other attacks (adversarial: LinfPGD("),
        (["--training", "../x"], "infoplane: --training must be at most 100 letters, digits and . _ + -"),
        (
            ["--measurement.bin-width", "3"],
            "holds a run with other settings of the measurement (bin_width 0.5, not 3.0)",
        ),
        (["--model", "tests.loops.own_loops:Small"], f"was measured with --model {MAKE}"),
    ],
)
def test_a_run_of_other_settings_is_refused_before_anything_is_measured(more, words, given, run, capsys, monkeypatch):
    monkeypatch.setattr(Plane, "measure", lambda *_, **__: pytest.fail("measured"))
    assert words in refused(capsys, *arguments(given, run, *more))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            ["--measurement.examples-drawn", "each-epoch"],
            "examples-drawn each-epoch: checkpoints are measured on one",
        ),
        (["--measurement.splits", "test", "train"], "splits train: checkpoints are measured on test images"),
        (["--measurement.budget", ".5"], "budget: checkpoints are not trained here"),
    ],
)
def test_settings_that_only_a_training_has_are_refused(more, words, given, tmp_path, capsys):
    line = refused(capsys, *arguments(given, tmp_path / "run", *more))
    assert f"--measurement.{words}" in line
    assert line.endswith("; leave it out, or use infoplane flow")
    assert not (tmp_path / "run" / "measurements").exists()


def test_weights_of_another_network_are_refused_by_name(given, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other" / "epoch1.pt")
    typed = arguments(given, tmp_path / "run")
    typed[1] = str(tmp_path / "other")
    assert f"{tmp_path}/other/epoch1.pt does not fit the model {MAKE}: missing" in refused(capsys, *typed)


def test_a_failed_measurement_leaves_no_folder(given, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    torch.save({name: weight * torch.nan for name, weight in small().state_dict().items()}, tmp_path / "other/e1.pt")
    typed = arguments(given, tmp_path / "run")
    typed[1] = str(tmp_path / "other")
    assert "must be finite" in refused(capsys, *typed)
    assert not (tmp_path / "run").exists()


def test_a_file_that_could_run_code_is_refused(given, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    torch.save(small(), tmp_path / "other" / "epoch1.pt")
    typed = arguments(given, tmp_path / "run")
    typed[1] = str(tmp_path / "other")
    line = refused(capsys, *typed)
    assert line.startswith(f"infoplane: {tmp_path}/other/epoch1.pt holds more than tensors")


def test_an_attack_that_must_train_a_network_is_refused(given, tmp_path, capsys):
    assert "this command trains none" in refused(capsys, *arguments(given, tmp_path / "run", "--attacks", "transfer"))


def test_expensive_estimators_are_spaced_evenly_and_taken_at_the_last_epoch():
    def chosen(number):
        return sorted(thorough_epochs([1, 2, 4, 8, 16], SETTINGS.model_copy(update={"thorough_epochs": number})))

    assert [chosen(number) for number in (0, 1, 2, 3, 9)] == [[], [16], [1, 16], [1, 4, 16], [1, 2, 4, 8, 16]]
