"""A plane of one's own training loop becomes a run folder that says truly what was measured."""

import hashlib
import json

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from tests.loops.own_loops import ATTACK, IMAGES, SETTINGS, Small, examples, measured, plane, small
from torch import nn

import infoplane
from infoplane.attacks import AddedPerturbation, LinfPGD
from infoplane.config import AttackConfig
from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import is_own_loop, loop_settings, read_images
from infoplane.runs.training_state import read_state

KEYS = ["training", "epoch", "examples", "layer_index", "estimator", "quantity", "kind", "noise_mode", "noise_ratio"]


def in_order(table: pl.DataFrame) -> pl.DataFrame:
    return table.sort(*(key for key in [*KEYS, "seed", "samples", "class_index"] if key in table.columns))


def settings_of(folder):
    found = loop_settings(RunFolder(folder))
    assert found is not None
    return found


def test_the_tables_of_the_run_are_those_of_the_plane(finished, saved):
    run = infoplane.load_run(saved)
    for name in ("measurements", "geometry", "performance"):
        assert_frame_equal(in_order(getattr(run, name)), in_order(getattr(finished, name)))


def test_the_settings_say_what_was_measured(saved):
    images, labels = examples()
    found = settings_of(saved)
    assert found.recipe == "mine"
    assert found.data.images_sha256 == hashlib.sha256(images.numpy().tobytes()).hexdigest()
    assert found.data.labels_sha256 == hashlib.sha256(labels.numpy().tobytes()).hexdigest()
    assert (found.data.examples, found.data.image_shape, found.data.classes) == (IMAGES, (1, 6, 6), 3)
    assert found.data.class_counts == (14, 13, 13)
    (network,) = found.networks
    assert (network.model, network.layers) == ("Small", ("hidden", "last"))
    assert network.parameters == 36 * 8 + 8 + 8 * 3 + 3
    assert found.measurement == SETTINGS.model_copy(update={"examples": IMAGES})


def test_the_settings_say_nothing_about_a_training_that_infoplane_did_not_see(saved):
    settings = json.loads((saved / "config.json").read_text())["settings"]
    assert {"training", "methods", "epochs", "seeds"} & set(settings) == set()


def test_the_config_says_that_the_loop_is_the_users_own(saved):
    assert is_own_loop(RunFolder(saved).read_config())
    assert not is_own_loop({"settings": {"recipe": "digits-lenet5"}})


def test_an_attack_that_a_command_can_make_again_is_recorded_by_its_name(saved):
    (attack,) = settings_of(saved).attacks
    assert (attack.examples, attack.name) == ("adversarial", "pgd")
    assert settings_of(saved).attack == AttackConfig(epsilon=0.1, step_size=0.05, steps=3)


@pytest.mark.parametrize(
    "attack",
    [
        LinfPGD(epsilon=0.1, step_size=0.05, steps=3, restarts=2, random_start=True),
        AddedPerturbation(perturbation=torch.zeros(1, 6, 6)),
        lambda model, images, labels, *, generator: images,
    ],
    ids=["restarts", "perturbation", "function"],
)
def test_an_attack_that_no_command_makes_has_no_name(attack, tmp_path):
    own = plane(attack=attack)
    own.measure(small(), epoch=0, thorough=False)
    (found,) = settings_of(own.save(tmp_path / "run")).attacks
    assert found.name is None
    assert " at 0x" not in found.described


def test_images_are_kept_exactly(own_copy, tmp_path):
    kept = read_images(RunFolder(own_copy))
    assert kept.images.dtype == torch.uint8
    assert torch.equal(kept.images.float() / 255, examples()[0])
    between = examples()[0] * 0.999
    own = infoplane.InformationPlane(between, examples()[1], settings=SETTINGS)
    own.measure(small(), epoch=0, thorough=False)
    assert torch.equal(read_images(RunFolder(own.save(tmp_path / "run"))).images, between)


def test_the_checkpoint_holds_the_weights_that_were_measured_last(tmp_path):
    own, model = plane(), small()
    own.measure(model, epoch=3, thorough=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.last.weight.zero_()
    run = RunFolder(own.save(tmp_path / "run"))
    state = read_state(run, 0, "normal", 3)
    assert all(torch.equal(state["model"][name], value) for name, value in before.items())


def test_saving_again_adds_and_replaces_epochs(tmp_path):
    own = plane()
    own.measure(small(0), epoch=0, thorough=False)
    own.save(tmp_path / "run")
    own.measure(small(1), epoch=1, thorough=False)
    own.measure(small(2), epoch=0, thorough=False)
    folder = own.save(tmp_path / "run")
    assert_frame_equal(in_order(infoplane.load_run(folder).measurements), in_order(own.measurements))
    assert RunFolder(folder).checkpoint_epochs(0, "normal") == [1]


def test_an_epoch_that_has_not_changed_is_not_written_again(tmp_path):
    own = plane()
    own.measure(small(0), epoch=0, thorough=False)
    folder = own.save(tmp_path / "run")
    path = next((folder / "measurements").iterdir())
    before = path.stat().st_mtime_ns
    own.measure(small(1), epoch=1, thorough=False)
    own.save(folder)
    assert path.stat().st_mtime_ns == before


def test_a_folder_that_was_deleted_is_written_anew(tmp_path):
    own = plane()
    own.measure(small(0), epoch=0, thorough=False)
    own.save(tmp_path / "run").rename(tmp_path / "moved")
    assert_frame_equal(
        in_order(infoplane.load_run(own.save(tmp_path / "run")).measurements), in_order(own.measurements)
    )


def test_seeds_and_trainings_of_several_planes_share_a_folder(tmp_path):
    for seed in (0, 1):
        own = plane(seed=seed)
        for training in ("normal", "mine-2"):
            own.measure(small(seed), epoch=0, training=training, thorough=False)
        own.save(tmp_path / "run")
    trained = settings_of(tmp_path / "run").trained
    assert sorted(trained) == [(seed, training) for seed in (0, 1) for training in ("mine-2", "normal")]
    performance = infoplane.load_run(tmp_path / "run").performance
    assert set(performance.select("seed", "training").unique().rows()) == set(trained)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"attack": None}, r"other attacks \(adversarial: LinfPGD\(.*epsilon=0.1.*, not none\)"),
        ({"class_names": ()}, "other class_names"),
        ({"examples_seed": 1}, "other permutations"),
        ({"settings": SETTINGS.model_copy(update={"bin_width": 2.0})}, "other settings of the measurement"),
    ],
)
def test_a_plane_of_other_settings_is_refused(own_copy, more, words):
    own = plane(**more)
    own.measure(small(), epoch=0, thorough=False)
    with pytest.raises(UserError, match=f"{words}.*another folder"):
        own.save(own_copy)


def test_a_plane_of_other_images_is_refused(own_copy):
    own = infoplane.InformationPlane(*examples(seed=1), settings=SETTINGS, attack=ATTACK, class_names=("a", "b", "c"))
    own.measure(small(), epoch=0, thorough=False)
    with pytest.raises(UserError, match="other images"):
        own.save(own_copy)


def test_another_network_under_the_same_name_is_refused(own_copy):
    class Other(Small):
        pass

    own, other = plane(), Other()
    other.load_state_dict(small(5).state_dict())
    own.measure(other, epoch=5, thorough=False)
    with pytest.raises(UserError, match=r"another network as training 'normal', seed 0: Small .* this one is Other"):
        own.save(own_copy)


def test_the_folder_of_another_run_is_refused(finished, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_config("information-flow", {"recipe": "digits-lenet5"}, {"device": "cpu"})
    with pytest.raises(UserError, match="holds a run of infoplane flow"):
        finished.save(tmp_path / "run")
    assert json.loads(run.config_path.read_text())["settings"] == {"recipe": "digits-lenet5"}


def test_nothing_measured_is_nothing_to_save(tmp_path):
    with pytest.raises(UserError, match=r"call measure\(model, epoch=...\) before save"):
        plane().save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_training_must_be_a_name_for_files():
    with pytest.raises(
        ValueError,
        match=r"training must be at most 100 letters, digits and . _ \+ -, and not begin with a dot, got '../x'",
    ):
        plane().measure(small(), epoch=0, training="../x", thorough=False)


def test_a_wrapped_network_is_kept_as_the_network_itself(tmp_path):
    own = plane()
    own.measure(nn.DataParallel(small(), device_ids=[]), epoch=0, thorough=False)
    run = RunFolder(own.save(tmp_path / "run"))
    assert set(read_state(run, 0, "normal", 0)["model"]) == set(small().state_dict())
    assert settings_of(run.path).networks[0].model == "Small"


def test_the_parts_of_a_short_sequence_are_named(tmp_path):
    own = plane()
    own.measure(nn.Sequential(nn.Identity(), small()), epoch=0, thorough=False)
    assert settings_of(own.save(tmp_path / "run")).model == {"name": "Sequential(Identity, Small)"}


def test_class_names_must_name_every_class():
    with pytest.raises(ValueError, match="class_names must name every class, got 2 names and labels up to 2"):
        plane(class_names=("cat", "dog"))


def test_a_second_training_with_fewer_epochs_keeps_its_own_last_network(tmp_path):
    own = measured(training="long")
    own.measure(small(), epoch=0, training="short", thorough=False)
    run = RunFolder(own.save(tmp_path / "run"))
    assert (run.checkpoint_epochs(0, "long"), run.checkpoint_epochs(0, "short")) == ([1], [0])


def test_a_missing_epoch_is_missed_in_the_class_of_the_user():
    with pytest.raises(TypeError, match=r"InformationPlane.measure\(\) missing .* 'epoch'"):
        plane().measure(small())
