"""Test images drawn anew at each epoch, for the originals and for each attack: `examples_drawn = each-epoch`."""

import json
from itertools import combinations

import numpy as np
import polars as pl
import pytest
import torch
from tests.studies.test_information_flow import FlowRecords, Listener, assert_same_records, changed

import infoplane
from infoplane.attacks import LinfPGD
from infoplane.config import FlowConfig, MeasurementConfig
from infoplane.errors import UserError
from infoplane.estimators import binning_information
from infoplane.findings.evidence import Paired
from infoplane.measuring.attacked_versions import versions_of
from infoplane.measuring.evaluate import layer_activations
from infoplane.measuring.fitted_decoders import fitted_decoders
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.recipes import RECIPES
from infoplane.records.tables import (
    ADVERSARIAL,
    BINNING,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    ORIGINAL,
    RANDOM,
)
from infoplane.report.compare_source import measured_examples
from infoplane.report.html import write_report
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY, information_flow
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.drawn_examples import drawn_examples
from infoplane.studies.parts import load_test_images

LABELS = torch.arange(2000) % 10


def draw(epoch: int = 0, examples: str = ORIGINAL, number: int = 1000, seed: int = 0):
    return drawn_examples(LABELS, number, seed=seed, epoch=epoch, examples=examples)


@pytest.fixture(scope="module")
def config(small_flow) -> FlowConfig:
    measurement = {"examples": 100, "layers": ("fc3",), "examples_drawn": "each-epoch", "inputs": 0}
    return changed(small_flow, data={"test_examples": 160}, measurement=measurement)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory) -> RunFolder:
    """A finished run: look, do not write."""
    folder = RunFolder(tmp_path_factory.mktemp("drawn") / "run")
    folder.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=folder)
    return folder


def test_each_epoch_and_each_kind_of_examples_has_a_draw_of_its_own():
    draws = [draw(epoch, examples) for epoch in (0, 1) for examples in (ORIGINAL, ADVERSARIAL)]
    names = [one.name for one in draws]
    assert names == ["original-e0000", "adversarial-e0000", "original-e0001", "adversarial-e0001"]
    for one, other in combinations(draws, 2):
        shared = np.intersect1d(one.indices, other.indices)
        # Two draws of half of 2,000 images share 500 of them, with a standard deviation below 16.
        assert 430 < len(shared) < 570


def test_a_draw_is_reproducible_and_follows_the_seed_of_the_data():
    again, other = draw(), draw(seed=1)
    assert torch.equal(draw().indices, again.indices)
    assert torch.equal(draw().groups, again.groups)
    assert not torch.equal(draw().indices, other.indices)


def test_a_draw_takes_an_image_once_and_every_class_in_proportion():
    found = draw(number=250)
    assert len(found.indices) == len(found.indices.unique()) == 250
    assert LABELS[found.indices].bincount().tolist() == [25] * 10


def test_an_image_is_in_the_same_group_in_every_draw_and_groups_are_equal_in_size_and_classes():
    groups = {}
    for epoch in range(5):
        found = draw(epoch)
        for index, group in zip(found.indices.tolist(), found.groups.tolist(), strict=True):
            assert groups.setdefault(index, group) == group
        by_class = torch.stack([found.groups[LABELS[found.indices] == one].bincount(minlength=20) for one in range(10)])
        assert (by_class == 5).all()  # 1,000 images, 10 classes, 20 groups


def test_an_interval_of_a_difference_between_two_draws_covers_the_choice_of_images():
    """Numbers of 400 pairs of draws, which differ by chance alone: 95 % intervals hold 0 in about 95 % of the pairs."""
    generator = np.random.default_rng(0)
    covered = []
    for epoch in range(400):
        of_images = generator.normal(size=len(LABELS))
        means = []
        for examples in (ORIGINAL, ADVERSARIAL):
            found = draw(epoch, examples)
            own, groups = of_images[found.indices.numpy()], found.groups.numpy()
            means.append(np.array([own[groups == group].mean() for group in range(20)]))
        difference = Paired(values=(means[1] - means[0]).mean(keepdims=True), groups=(means[1] - means[0])[None])
        low, high = difference.evidence().over_examples(0.05)
        covered.append(low <= 0 <= high)
    assert 0.92 < np.mean(covered) < 0.98  # three standard deviations of .011 around .95


def test_the_records_name_the_draw_of_every_row(run):
    for table in (run.measurements(), run.geometry(), run.performance()):
        undrawn = table.filter(pl.col("example_draw").is_null())
        if "loss" in table.columns:  # accuracy on original images is that on whole splits
            assert set(undrawn["examples"]) == {ORIGINAL}
        else:
            assert undrawn.is_empty()
        of_draws = table.filter(pl.col("example_draw").is_not_null())
        for examples, epoch, name in of_draws.select("examples", "epoch", "example_draw").unique().iter_rows():
            kind = ADVERSARIAL if examples == RANDOM else examples  # the control is on the images of the attack
            assert name == f"{kind}-e{epoch:04d}"


def test_runs_with_one_set_of_examples_have_no_draws(flow_run):
    for table in (flow_run.measurements(), flow_run.geometry(), flow_run.performance()):
        assert table["example_draw"].null_count() == len(table)


def test_numbers_are_those_of_the_drawn_images(run, config):
    """Originals, attacked examples and transferred decoders, each from its own draw by the estimators alone."""
    finished, epoch = FinishedRun(run), config.training.epochs
    (network,) = [one for one in finished if one.training == "adversarial"]
    test, _ = load_test_images(config, "cpu")
    found = {}
    for examples in (ORIGINAL, ADVERSARIAL):
        own = drawn_examples(test.labels, 100, seed=0, epoch=epoch, examples=examples).indices
        pixels, labels = as_pixels(test.images[own]), test.labels[own]
        with evaluation_mode(network.model):
            versions = versions_of(
                pixels, labels, network.model, network.attacks, seed=0, training="adversarial", epoch=epoch
            )
            found[examples] = (
                labels,
                {name: next(layer_activations(network.model, images, ["fc3"]))[1] for name, images in versions.items()},
            )

    def recorded(examples, estimator, quantity):
        rows = run.measurements().filter(
            training="adversarial", epoch=epoch, examples=examples, estimator=estimator, quantity=quantity, layer="fc3"
        )
        (value,) = rows.filter(pl.col("class_index").is_null())["value_nats"]
        return value

    for examples, (labels, outputs) in found.items():
        binned = binning_information(outputs[examples], labels, bin_width=config.measurement.bin_width)
        assert recorded(examples, BINNING, INPUT_INFORMATION) == pytest.approx(binned.input.value, abs=1e-9)
        assert recorded(examples, BINNING, LABEL_INFORMATION) == pytest.approx(binned.label.value, abs=1e-9)
    labels, outputs = found[ADVERSARIAL]
    (decoder,) = fitted_decoders(outputs[ORIGINAL], labels, groups=torch.arange(100), examples_seed=0, permutations=0)
    moved = decoder.transferred(outputs[ADVERSARIAL], labels)
    assert recorded(ADVERSARIAL, DECODED_TRANSFER, LABEL_INFORMATION) == pytest.approx(moved.value, abs=1e-6)


def test_trainings_and_seeds_have_the_same_draws_and_the_originals_are_measured_once(run):
    rows = run.measurements().filter(estimator=BINNING, quantity=INPUT_INFORMATION)
    by_kind = rows.filter(epoch=0).group_by("training", "examples").len()
    assert set(by_kind["len"]) == {1}
    # At epoch 0 all trainings have the same network, so the same images give the same numbers.
    assert rows.filter(epoch=0, examples=ORIGINAL)["value_nats"].n_unique() == 1


def test_a_run_that_is_continued_has_the_same_records(run, config, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})

    measured = []

    def kill() -> None:
        measured.append(1)
        if len(measured) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        information_flow(config, run=folder, on_measured=kill)
    unbroken = FlowRecords(run.measurements(), run.geometry(), run.performance())
    assert_same_records(information_flow(config, run=folder), unbroken)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without figures, which take longest."""
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])


@pytest.mark.usefixtures("undrawn")
def test_the_run_and_its_page_say_that_the_examples_differ(run, config, tmp_path):
    listener = Listener()
    information_flow(config, run=run, progress=listener)  # complete: measures nothing
    assert [
        line for line in listener.lines if "drawn anew at each epoch, for the originals and for each attack" in line
    ]
    page = write_report(run, output=tmp_path).read_text("utf-8")
    assert "100 test examples, drawn anew at each epoch for the originals and for each attack" in page
    assert "Originals and attacked examples are different images." in page


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_one_set_of_examples_does_not_say_so(flow_run, tmp_path):
    assert "drawn anew" not in write_report(flow_run, output=tmp_path).read_text("utf-8")


def test_runs_with_other_draws_did_not_measure_the_same_examples():
    def config_of(**measurement):
        settings = {"data": {"seed": 0}, "measurement": {"examples": 100, **measurement}}
        return {"settings": settings, "environment": {"data": {"test_sha256": "abc"}}}

    assert measured_examples(config_of()) == measured_examples(config_of(examples_drawn="once"))
    assert measured_examples(config_of()) != measured_examples(config_of(examples_drawn="each-epoch"))


def test_draws_of_all_test_images_are_refused(config):
    with pytest.raises(UserError, match="160 of 160 test images are the same in every draw; choose fewer with"):
        information_flow(changed(config, measurement={"examples": 160}))


def test_training_images_are_not_drawn():
    with pytest.raises(ValueError, match=r"splits\n.*must be test if examples_drawn is each-epoch, got test train"):
        MeasurementConfig(examples_drawn="each-epoch", splits=("test", "train"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"examples_drawn": "each-epoch"}, r"settings\.examples_drawn must be once, got each-epoch"),
        ({"splits": ("test", "train")}, r"settings\.splits must be test, got test train: .* with split='train'"),
    ],
)
def test_a_plane_of_ones_own_measures_the_images_it_is_given(settings, words):
    with pytest.raises(ValueError, match=words):
        infoplane.InformationPlane(
            torch.zeros(4, 1, 8, 8),
            torch.arange(4),
            attack=LinfPGD(epsilon=0.1, steps=5),
            settings=MeasurementConfig(**settings),
        )


def test_the_recipe_has_the_settings_and_slips_of_the_earlier_code():
    released, ours = (RECIPES[name].config for name in ("mnist-lenet5-as-released", "mnist-lenet5"))
    assert (released.training.milestones, released.training.milestones_in) == ((20, 60), "batches")
    assert (released.training.warmup_epochs, released.model.mean) == (0, (0.0,))
    assert released.measurement.examples_drawn == "each-epoch"
    kept = json.loads(released.model_dump_json())
    theirs = json.loads(ours.model_dump_json())
    differing = {
        f"{part}.{name}"
        for part in ("data", "model", "training", "attack", "measurement")
        for name in kept[part]
        if kept[part][name] != theirs[part][name]
    }
    assert differing == {
        "model.mean",
        "training.milestones_in",
        "training.warmup_epochs",
        "measurement.examples_drawn",
    }
