"""Planes of training images beside test images; everything that is said of a run uses test images only."""

import re

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from infoplane.config import FlowConfig, MeasurementConfig
from infoplane.errors import UserError
from infoplane.findings import find
from infoplane.findings.sentences import sentences
from infoplane.networks.memory_format import as_pixels
from infoplane.records.tables import TEST, TRAIN, Performance
from infoplane.report.findings_table import findings_json
from infoplane.report.html import run_findings, write_report
from infoplane.report.recorded import recorded_of
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY, information_flow
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.epoch_line import accuracies_text
from infoplane.studies.parts import load_images


def settings(small_flow: FlowConfig, splits: tuple[str, ...], **training) -> FlowConfig:
    own = small_flow.model_dump() | {"methods": ("adversarial",), "measure_every": 3}
    own["training"] |= {"epochs": 3, "batch_size": 16} | training
    own["measurement"] |= {"splits": splits, "layers": ("fc3",), "inputs": 0, "noise_sweep": (0.1,), "examples": 40}
    return FlowConfig.model_validate(own)


def ran(config: FlowConfig, path) -> RunFolder:
    run = RunFolder(path)
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=run)
    return run


@pytest.fixture(scope="module")
def both(small_flow, tmp_path_factory) -> RunFolder:
    return ran(settings(small_flow, (TEST, TRAIN)), tmp_path_factory.mktemp("both") / "run")


@pytest.fixture(scope="module")
def test_only(small_flow, tmp_path_factory) -> RunFolder:
    return ran(settings(small_flow, (TEST,)), tmp_path_factory.mktemp("test") / "run")


def of_test(table: pl.DataFrame, *, attacked_only: bool = False) -> pl.DataFrame:
    """Leave out what only a run that measures training images records."""
    training = pl.col("split") == TRAIN
    return table.filter(~(training & (pl.col("examples") != "original")) if attacked_only else ~training)


def test_as_many_training_images_are_measured_and_none_is_held_out(small_flow):
    config = settings(small_flow, (TEST, TRAIN), validation_fraction=0.3)
    images = load_images(config, "cpu")
    assert images.train is not None
    assert images.held_out is not None
    assert images.measured_train is not None
    assert len(images.measured_train) == len(images.measured) == 40
    assert images.number_measured == 80
    labels = images.train.labels[images.measured_train]
    assert labels.bincount().tolist() == pytest.approx([4] * 10, abs=1)
    held_out = {image.numpy().tobytes() for image in images.held_out.images}
    assert not held_out & {image.numpy().tobytes() for image in images.train.images[images.measured_train]}
    again = load_images(config.model_copy(update={"seed": 7}), "cpu")
    assert again.measured_train is not None
    assert (again.measured_train == images.measured_train).all()


def test_without_asking_no_training_image_is_measured(small_flow):
    images = load_images(settings(small_flow, (TEST,)), "cpu")
    assert images.measured_train is None
    assert images.number_measured == len(images.measured)


def test_training_images_change_nothing_of_the_test_images(both, test_only):
    keys = ["training", "epoch", "split", "examples"]
    for name in ("measurements", "geometry"):
        assert_frame_equal(of_test(getattr(both, name)()), getattr(test_only, name)(), check_row_order=True)
    found = of_test(both.performance(), attacked_only=True).sort(keys)
    assert_frame_equal(found.drop("seconds"), test_only.performance().sort(keys).drop("seconds"))


def test_both_splits_are_measured_in_the_same_way(both):
    rows = both.measurements()
    columns = ["training", "epoch", "examples", "layer", "estimator", "quantity", "noise_mode"]
    test, train = (set(rows.filter(split=split).select(columns).iter_rows()) for split in (TEST, TRAIN))
    assert test == train
    assert ("adversarial", 3, "adversarial", "fc3", "decoded", "I(T;Y)", None) in train
    assert ("adversarial", 3, "adversarial", "fc3", "decoded-transfer", "I(T;Y)", None) in train


def test_values_of_training_images_are_about_training_images(small_flow, both):
    images = load_images(settings(small_flow, (TEST, TRAIN)), "cpu")
    assert images.train is not None
    assert images.measured_train is not None
    own = images.train.subset(images.measured_train)
    network = FinishedRun(both).network(0, "adversarial").model.eval()
    with torch.no_grad():
        norm = network(as_pixels(own.images)).double().square().sum(dim=1).mean().sqrt().item()
    chosen = {"split": TRAIN, "epoch": 3, "examples": "original", "layer": "fc3"}
    assert both.geometry().filter(**chosen)["activation_norm"].item() == pytest.approx(norm, rel=1e-5)


def test_labels_that_were_learnt_by_heart_are_in_training_images_alone(small_flow, tmp_path):
    # Labels are drawn by lot, so a layer tells the labels of images that it was fitted to and of no others.
    source = np.random.default_rng(0)
    arrays = {}
    for split, number in (("train", 60), ("test", 60)):
        arrays[f"{split}_images"] = source.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = source.permutation(np.arange(number) % 2)
    np.savez(tmp_path / "noise.npz", **arrays)
    config = settings(small_flow, (TEST, TRAIN), epochs=40, batch_size=10, learning_rate=0.01, warmup_epochs=2)
    own = config.model_dump() | {"methods": ("normal",), "attacks": (), "measure_every": 40}
    own["model"] |= {"mean": (0.5,), "std": (0.29,)}
    own["data"] = {"name": "npz", "folder": str(tmp_path / "noise.npz")}
    own["measurement"] |= {"examples": 60, "permutations": 0, "decoder_permutations": 0, "noise_sweep": ()}
    records = information_flow(FlowConfig.model_validate(own))
    decoded = records.measurements.filter(estimator="decoded", quantity="I(T;Y)", epoch=40)
    value = dict(decoded.select("split", "value_nats").iter_rows())
    assert value[TRAIN] > 0.5  # of ln 2
    assert value[TEST] < 0.1


def test_nothing_that_is_said_of_a_run_rests_on_training_images(both):
    measurements, performance = both.measurements(), both.performance()
    test, performed = of_test(measurements), of_test(performance, attacked_only=True)
    assert len(test) < len(measurements)
    assert len(performed) < len(performance)
    assert findings_json(find(measurements, performance)) == findings_json(find(test, performed))
    assert sentences(measurements, performance) == sentences(test, performed)


def test_figures_but_one_show_test_images(both, test_only):
    found, expected = recorded_of(both), recorded_of(test_only)
    for name in ("rows", "points", "geometry", "distorted"):
        assert_frame_equal(getattr(found, name), getattr(expected, name))
    assert expected.train_rows.is_empty()
    assert set(found.train_rows["split"]) == {TRAIN}


def test_the_page_shows_both(both, tmp_path):
    page = write_report(both, run_findings(both), tmp_path / "page").read_text()
    assert '"splits":["test","train"]' in page
    assert sorted(path.name for path in (tmp_path / "page" / "figures").glob("training-images*.svg")) == [
        "training-images-adversarial-s0.svg"
    ]
    assert "train, adversarial" in page


def test_lines_of_a_run_name_the_split_of_attacked_images(both, test_only):
    def line(run: RunFolder) -> str:
        last = run.performance().filter(epoch=3).iter_rows(named=True)
        return re.sub(r" [\d.]+%", "", accuracies_text([Performance(**row) for row in last]))

    assert line(both) == "train, test, train attacked, train random, test attacked, test random"
    assert line(test_only) == "train, test, attacked, random"


def test_training_images_need_training(small_flow):
    with pytest.raises(UserError, match=r"--measurement.splits train: nothing is trained \(--epochs 0\)"):
        load_images(settings(small_flow, (TEST, TRAIN), epochs=0), "cpu")


def test_test_images_are_always_measured():
    with pytest.raises(ValueError, match="must contain test, which findings rest on, got train"):
        MeasurementConfig(splits=("train",))
    with pytest.raises(ValueError, match="must name each split once, got test test"):
        MeasurementConfig(splits=("test", "test"))
