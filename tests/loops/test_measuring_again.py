"""The commands for finished networks read a saved plane; what a run cannot know, they ask for in one line."""

import json

import polars as pl
import pytest
import torch
from tests.loops.own_loops import examples, make, plane, small

from infoplane.commands import cli
from infoplane.config import DistortionConfig
from infoplane.errors import UserError
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.runs.folder import RunFolder
from infoplane.studies.distortion import distortion_study
from infoplane.studies.evaluation import chosen_images
from infoplane.studies.finished import FinishedRun, flow_config
from infoplane.studies.where import where_lost

HERE = "tests.loops.own_loops"
MAKE = f"{HERE}:make"


def refused(capsys, *arguments) -> str:
    assert cli.main(list(map(str, arguments))) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_the_network_is_built_by_the_function_and_gets_the_kept_weights(saved):
    (network,) = FinishedRun(RunFolder(saved), model=MAKE)
    assert network.layers == ("hidden", "last")
    assert (network.training, network.seed, network.epoch) == ("normal", 0, 1)
    images, _ = examples()
    assert torch.equal(network.images, images)
    with torch.no_grad(), evaluation_mode(network.model):
        assert torch.equal(network.model(images), small(1)(images))


def test_the_attacked_examples_are_those_that_the_plane_measured(saved, finished):
    (network,) = FinishedRun(RunFolder(saved), model=MAKE)
    with torch.no_grad(), evaluation_mode(network.model):
        predicted = network.model(network.versions()["adversarial"]).argmax(dim=1)
    accuracy = (predicted == network.labels).double().mean().item()
    recorded = finished.performance.filter(epoch=1, examples="adversarial")["accuracy"].item()
    assert accuracy == pytest.approx(recorded)


def test_images_between_bytes_are_evaluated_as_they_are(tmp_path):
    images, labels = examples()
    own = plane()
    own._images = own._kept.pixels = images * 0.999
    own.measure(small(), epoch=0, thorough=False)
    finished = FinishedRun(RunFolder(own.save(tmp_path / "run")), model=MAKE)
    chosen = chosen_images(finished.test, 10, 0, finished.test_pixels)
    assert torch.equal(chosen.pixels, (images * 0.999)[chosen.indices])
    assert torch.equal(chosen.labels, labels[chosen.indices])


def test_study_two_measures_a_saved_plane(own_copy):
    run, config = RunFolder(own_copy), DistortionConfig(distortions=("shuffling",), levels={"shuffling": (3.0,)})
    records = distortion_study(run, config, model=MAKE)
    shown = records.performance.filter(pl.col("examples") == "original").sort("level")
    assert shown["level"].to_list() == [1.0, 3.0]
    original = run.performance().filter(pl.col("distortion").is_null(), pl.col("examples") == "original", epoch=1)
    assert shown["accuracy"][0] == original["accuracy"].item()
    assert set(records.measurements["layer"]) == {"hidden", "last"}


def test_lost_labels_are_found_in_the_networks_of_ones_own_loop(own_copy):
    found = where_lost(RunFolder(own_copy), examples=30, model=MAKE)
    assert set(found.layers["layer"]) == {"hidden", "last"}
    assert "original" in set(found.layers["examples"])


def test_distortions_of_an_earlier_network_are_not_mixed_with_those_of_a_later_one(tmp_path):
    own, config = plane(attack=None), DistortionConfig(distortions=("shuffling",), levels={"shuffling": (3.0,)})
    own.measure(small(0), epoch=0, thorough=False)
    run = RunFolder(own.save(tmp_path / "run"))
    distortion_study(run, config, model=MAKE)
    distortion_study(run, config, model=MAKE)  # complete
    own.measure(small(1), epoch=1, thorough=False)
    own.save(run.path)
    with pytest.raises(UserError, match="at epoch 0, and its network is now of epoch 1; delete them first: rm "):
        distortion_study(run, config, model=MAKE)
    for path in run.path.glob("*/distortion-s0-normal-*"):
        path.unlink()
    assert set(distortion_study(run, config, model=MAKE).performance["epoch"]) == {1}


def test_each_training_has_its_own_last_epoch(tmp_path):
    own = plane()
    own.measure(small(0), epoch=5, training="long", thorough=False)
    own.measure(small(1), epoch=2, training="short", thorough=False)
    networks = list(FinishedRun(RunFolder(own.save(tmp_path / "run")), model=MAKE))
    assert [(network.training, network.epoch) for network in networks] == [("long", 5), ("short", 2)]


def test_other_code_of_the_network_is_refused(saved, monkeypatch):
    def doubled():
        model = make()
        model.register_forward_hook(lambda module, args, output: 2 * output)
        return model

    monkeypatch.setattr(f"{HERE}.make", doubled)
    with pytest.raises(UserError, match="computes other outputs"):
        list(FinishedRun(RunFolder(saved), model=MAKE))


def test_a_function_that_returns_another_network_is_refused(saved, monkeypatch):
    monkeypatch.setattr(f"{HERE}.make", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3)))
    with pytest.raises(UserError, match=r"does not fit the model that --model names: missing 1.weight, 1.bias"):
        list(FinishedRun(RunFolder(saved), model=MAKE))


@pytest.mark.parametrize("command", ["distortion", "evaluate", "attacks", "where"])
def test_a_command_asks_for_the_network(command, saved, capsys):
    line = refused(capsys, command, saved)
    assert "a run keeps weights, not code: type --model PACKAGE.MODULE:FUNCTION" in line
    assert "(Small)" in line


@pytest.mark.parametrize("command", ["distortion", "evaluate", "attacks", "where"])
def test_the_images_of_the_run_are_used_and_no_others(command, saved, capsys):
    line = refused(capsys, command, saved, "--model", MAKE, "--data", "digits")
    assert "keeps the images that its training loop measured; leave it out" in line


def test_an_attack_without_a_name_must_be_typed(tmp_path, capsys):
    own = plane(attack={"mine": lambda model, images, labels, *, generator: images})
    own.measure(small(), epoch=0, thorough=False)
    line = refused(capsys, "distortion", own.save(tmp_path / "run"), "--model", MAKE)
    assert "no command can make the examples 'mine' again, which came from tests.loops" in line
    assert "type --attacks" in line


@pytest.mark.parametrize(("command", "advice"), [("evaluate", "type --attack.epsilon"), ("attacks", "no epsilon")])
def test_a_run_without_an_attack_has_no_epsilon(command, advice, tmp_path, capsys):
    own = plane(attack=None)
    own.measure(small(), epoch=0, thorough=False)
    assert advice in refused(capsys, command, own.save(tmp_path / "run"), "--model", MAKE)


def test_an_attack_that_must_train_a_network_is_refused(saved, capsys):
    line = refused(capsys, "attacks", saved, "--model", MAKE, "--attacks", "transfer")
    assert "trains a network of its own on the training images" in line


def test_study_one_does_not_continue_a_saved_plane(saved):
    with pytest.raises(UserError, match="infoplane flow cannot continue"):
        flow_config(RunFolder(saved))


def test_missing_images_are_named(own_copy):
    (own_copy / "images.safetensors").unlink()
    with pytest.raises(UserError, match=r"images.safetensors is missing; restore it, or save the plane again"):
        FinishedRun(RunFolder(own_copy), model=MAKE)


def test_damaged_images_are_named(own_copy):
    path = own_copy / "images.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"images.safetensors was changed after infoplane wrote it"):
        FinishedRun(RunFolder(own_copy), model=MAKE)


def test_damaged_settings_are_named(own_copy):
    run = RunFolder(own_copy)
    config = json.loads(run.config_path.read_text())
    config["settings"]["networks"][0]["parameters"] = -1
    run.write_config(config["study"], config["settings"], config["environment"])
    with pytest.raises(UserError, match=r"does not hold the settings of InformationPlane.save \(networks.0.parameters"):
        FinishedRun(run, model=MAKE)
