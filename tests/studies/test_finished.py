"""Finished networks come with the weights, examples and attack that study one measured last."""

import shutil

import polars as pl
import pytest
import torch

from infoplane.config import FlowConfig
from infoplane.errors import UserError
from infoplane.measuring.evaluate import evaluate
from infoplane.measuring.plane import Plane
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.records.tables import KDE_KL, PIXELS, RANDOM
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY
from infoplane.studies import parts as studies_parts
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.information_flow import information_flow

SEED = 4


@pytest.fixture
def own_run(flow_run, tmp_path) -> RunFolder:
    """A copy that a test may damage."""
    shutil.copytree(flow_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_each_finished_network_is_the_one_that_study_one_measured_last(flow_run):
    networks = list(FinishedRun(flow_run))
    assert [(network.seed, network.training, network.epoch) for network in networks] == [
        (SEED, "normal", 1),
        (SEED, "adversarial", 1),
    ]
    recorded = flow_run.performance().filter(pl.col("epoch") == 1)
    for network in networks:
        own = recorded.filter(pl.col("training") == network.training)
        for (split, examples), images, labels in (
            (("test", "adversarial"), network.versions()["adversarial"], network.labels),
            (("test", "original"), network.test.images, network.test.labels),
        ):
            row = own.filter(pl.col("split") == split, pl.col("examples") == examples).row(0, named=True)
            with evaluation_mode(network.model):
                assert evaluate(network.model, images, labels)[:2] == (row["accuracy"], row["loss"])
        assert {network.gradient_evaluations} == set(own["gradient_evaluations"])
        assert {network.seconds} == set(own["seconds"])


def test_a_plane_of_the_finished_network_repeats_the_last_records_of_study_one(flow_run):
    network = FinishedRun(flow_run).network(SEED, "adversarial")
    plane = Plane(
        network.images,
        network.labels,
        layers=network.layers,
        attack=network.attacks,
        settings=network.config.measurement,
        seed=network.seed,
        examples_seed=network.config.data.seed,
    )
    plane.measure(network.model, epoch=network.epoch, training="adversarial", thorough=False)
    chosen = (pl.col("estimator") == KDE_KL) & (pl.col("noise_mode") != "sweep")
    measured = pl.col("split") == "test", pl.col("examples") != RANDOM, pl.col("layer") != PIXELS
    recorded = flow_run.measurements().filter(
        chosen, *measured, pl.col("epoch") == 1, pl.col("training") == "adversarial"
    )
    # pairs are multiplied in float32 where that is faithful: a last bit of the noise variance shows there
    values = pytest.approx(recorded["value_nats"].to_list(), abs=1e-6)
    assert plane.measurements.filter(chosen)["value_nats"].to_list() == values


def test_training_images_are_not_read(flow_run, monkeypatch):
    splits = []
    original = studies_parts.load_split

    def spy(name, split, **more):
        splits.append(split)
        return original(name, split, **more)

    monkeypatch.setattr(studies_parts, "load_split", spy)
    list(FinishedRun(flow_run))
    assert splits == ["test"]


def test_every_seed_with_checkpoints_counts(own_run):
    folder = own_run.path / "checkpoints"
    for path in sorted(folder.iterdir()):
        own_run.write_file(folder / path.name.replace(f"s{SEED}-", "s11-"), path.read_bytes())
    finished = FinishedRun(own_run)
    assert finished.trainings == [
        (SEED, "normal"), (SEED, "adversarial"), (11, "normal"), (11, "adversarial"),
    ]  # fmt: skip
    networks = {(network.seed, network.training): network for network in finished}
    assert networks[11, "normal"].config.seed == 11
    one, other = networks[SEED, "normal"].model, networks[11, "normal"].model
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_unfinished_training_is_named(own_run):
    next(own_run.path.glob("checkpoints/*-adversarial-e0001*")).unlink()
    with pytest.raises(UserError, match=rf"adversarial training, seed {SEED}, has not finished \(it has no checkpoint"):
        FinishedRun(own_run)
    settings = own_run.read_config()["settings"]
    settings["training"]["epochs"] = 9
    shutil.rmtree(own_run.path / "measurements")
    own_run.write_config(STUDY, settings, {})
    with pytest.raises(UserError, match="its last checkpoint is of epoch 1 of 9"):
        FinishedRun(own_run)


def test_a_folder_of_another_study_is_refused(tmp_path):
    run = RunFolder(tmp_path / "other")
    with pytest.raises(UserError, match="is no run folder"):
        FinishedRun(run)
    run.begin("calibration", {"quick": True}, {})
    with pytest.raises(UserError, match=r"holds the study .calibration.; choose one that infoplane flow or demo made"):
        FinishedRun(run)


def test_settings_that_are_none_of_a_flow_are_named(own_run):
    own_run.write_config(STUDY, own_run.read_config()["settings"] | {"seeds": 0}, {})
    with pytest.raises(UserError, match=r"settings of infoplane flow \(seeds must be .* to 1, got 0\); restore"):
        FinishedRun(own_run)


def test_a_checkpoint_of_another_network_is_refused(own_run):
    settings = own_run.read_config()["settings"]
    settings["model"]["name"] = "wideresnet"
    own_run.write_config(STUDY, settings, {})
    with pytest.raises(UserError, match="does not fit the network"):
        list(FinishedRun(own_run))


def test_a_torn_checkpoint_is_named_before_any_network_is_measured(own_run):
    path = next(own_run.path.glob("checkpoints/*-adversarial-e0001*"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{path} was changed after infoplane wrote it"):
        FinishedRun(own_run)


def test_an_untrained_run_is_finished_at_epoch_0(small_flow, tmp_path):
    settings = small_flow.model_dump() | {"training": {"epochs": 0}, "methods": ["normal"]}
    settings["measurement"] |= {"examples": 20, "layers": ("fc3",)}
    config = FlowConfig.model_validate(settings)
    run = RunFolder(tmp_path / "run")
    run.begin("information-flow", config.model_dump(mode="json"), {})
    information_flow(config, run=run)
    (network,) = FinishedRun(run)
    assert (network.epoch, network.gradient_evaluations, network.seconds) == (0, 0, 0.0)


def test_the_best_network_has_the_weights_of_its_checkpoint(own_run):
    finished = FinishedRun(own_run)
    assert finished.best_network(SEED, "normal") is None
    tensors, facts = own_run.read_checkpoint(SEED, "normal", 1)
    own_run.write_best_checkpoint(SEED, "normal", tensors, facts)
    best = finished.best_network(SEED, "normal")
    assert (best.epoch, best.training, best.seed) == (1, "normal", SEED)
    for name, value in best.model.state_dict().items():
        assert torch.equal(value, tensors[f".model.{name}"])
    path = own_run.path / "checkpoints" / f"s{SEED}-normal-best.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="was changed after infoplane wrote it"):
        finished.best_network(SEED, "normal")


def test_attacks_of_the_run_are_left_out_where_they_are_not_needed(flow_run):
    network = FinishedRun(flow_run, attacks=()).network(SEED, "normal")
    assert network.attacks == {}
    assert list(network.versions()) == ["original"]
