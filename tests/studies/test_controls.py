"""Controls of an attack: a random perturbation of its size, and examples that are misclassified without it."""

import functools
import math

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from infoplane.attacks import L2PGD, LinfPGD
from infoplane.attacks.balls import random_perturbation
from infoplane.config import DistortionConfig, MeasurementConfig
from infoplane.estimators import decoded_information, noisy_information
from infoplane.findings import find
from infoplane.measuring.attacked_versions import randomly_perturbed
from infoplane.measuring.evaluate import evaluate
from infoplane.models import LeNet5, construct
from infoplane.randomness import seeded_generator
from infoplane.records.tables import (
    ADVERSARIAL,
    ALL_SPLITS,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    MISTAKEN_INFORMATION,
    NOISY,
    ORIGINAL,
    PIXELS,
    PIXELS_INDEX,
    RANDOM,
)
from infoplane.studies import Plane
from infoplane.studies.distortion import distortion_study
from infoplane.studies.flow.work import further_inputs
from infoplane.studies.parts import load_images

IMAGES, LABELS = torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 10
ATTACK = LinfPGD(epsilon=0.1, steps=2)
SETTINGS = MeasurementConfig(permutations=2, noise_sweep=(0.1,), decoder_permutations=1)


def darker(model, images, labels, *, generator, target=None):
    return images / 2


@functools.cache
def measured(attack, *, final=True, layers=("fc2", "fc3"), **more):
    plane = Plane(IMAGES, LABELS, layers=layers, attack=attack, settings=SETTINGS, **more)
    plane.measure(construct(LeNet5, seed=0), epoch=0, final=final)
    return plane


def kinds(table: pl.DataFrame, **values: object) -> set[str]:
    return set(table.filter(**values)["examples"])


# the perturbation


def test_every_pixel_moves_by_epsilon_up_or_down_half_of_them_each_way(generator):
    images = torch.full((50, 1, 20, 20), 0.5)
    change = random_perturbation(images, "linf", 0.25, generator) - 0.5
    assert change.abs().unique().tolist() == [0.25]
    # 20,000 fair coins: three standard deviations
    assert (change > 0).double().mean().item() == pytest.approx(0.5, abs=3 * 0.5 / math.sqrt(20_000))


def test_a_random_direction_has_the_radius_of_the_ball(generator):
    images = torch.full((50, 3, 8, 8), 0.5)
    change = (random_perturbation(images, "l2", 1.5, generator) - 0.5).flatten(start_dim=1)
    torch.testing.assert_close(change.norm(dim=1), torch.full((50,), 1.5))
    # the directions are uniform: their mean of 50 unit vectors has a squared length near 1 / 50
    assert (change / 1.5).mean(dim=0).square().sum().item() == pytest.approx(1 / 50, rel=0.5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_randomly_perturbed_pixels_stay_in_their_range(norm, generator):
    moved = random_perturbation(IMAGES, norm, 0.9, generator)
    assert 0 <= moved.min() < moved.max() <= 1
    assert not torch.equal(moved, IMAGES)


def test_the_size_is_that_of_the_first_attack_that_states_its_ball():
    attacks = {"darker": darker, "wide": L2PGD(epsilon=2.0, steps=2), "other": ATTACK}
    found = randomly_perturbed(IMAGES.new_full(IMAGES.shape, 0.5), attacks, examples_seed=0)
    change = (found[RANDOM] - 0.5).flatten(start_dim=1)
    torch.testing.assert_close(change.norm(dim=1), torch.full((len(IMAGES),), 2.0))
    assert randomly_perturbed(IMAGES, {"darker": darker}, examples_seed=0) == {}


def test_the_draws_are_the_same_for_every_training_seed_and_network():
    tables = [
        measured(ATTACK, seed=seed, layers=("fc3",)).measurements.filter(examples=RANDOM).drop("seed")
        for seed in (0, 5)
    ]
    assert_frame_equal(*tables, check_exact=True)


# measuring


def test_the_random_control_is_measured_at_the_last_epoch_only():
    ordinary, last = measured(ATTACK, final=False), measured(ATTACK)
    for table in ("measurements", "geometry", "performance"):
        assert kinds(getattr(ordinary, table)) == {ORIGINAL, ADVERSARIAL}
        assert kinds(getattr(last, table)) == {ORIGINAL, ADVERSARIAL, RANDOM}
    rows = last.measurements
    for quantity in (INPUT_INFORMATION, LABEL_INFORMATION):
        names = [
            set(rows.filter(examples=name, quantity=quantity, noise_mode="relative")["estimator"])
            for name in (ADVERSARIAL, RANDOM)
        ]
        assert names[0] == names[1]
    assert kinds(rows, noise_mode="sweep") == {ORIGINAL, ADVERSARIAL}
    assert kinds(rows, estimator=DECODED) == {ORIGINAL, ADVERSARIAL, RANDOM}


def test_without_an_attack_there_are_no_controls():
    table = measured(None).measurements
    assert kinds(table) == {ORIGINAL}
    assert MISTAKEN_INFORMATION not in set(table["quantity"])


def test_misclassified_originals_and_misclassified_random_ones_are_decoded_like_attacked_ones():
    plane = measured(ATTACK)
    rows = plane.measurements.filter(quantity=MISTAKEN_INFORMATION)
    per_kind = {
        name: sorted(rows.filter(examples=name).select("layer", "estimator", "kind").rows())
        for name in (ORIGINAL, ADVERSARIAL, RANDOM)
    }
    expected = [(layer, name) for layer in ("fc2", "fc3", PIXELS) for name in (DECODED, DECODED_TRANSFER)]
    assert [row[:2] for row in per_kind[ORIGINAL]] == sorted(expected)
    assert per_kind[ORIGINAL] == per_kind[ADVERSARIAL] == per_kind[RANDOM]
    model = construct(LeNet5, seed=0).eval()
    moved = randomly_perturbed(IMAGES, {ADVERSARIAL: ATTACK}, examples_seed=0)[RANDOM]
    for name, images in ((ORIGINAL, IMAGES), (RANDOM, moved)):
        predicted = evaluate(model, images, LABELS).predicted
        assert set(rows.filter(examples=name)["samples"]) == {int((predicted != LABELS).sum())}


@pytest.mark.parametrize("name", ["random", "original"])
def test_an_attack_cannot_have_the_name_of_a_control(name):
    with pytest.raises(ValueError, match=f"an attack cannot be called '{name}'"):
        Plane(IMAGES, LABELS, attack={name: darker})


# study two


def test_the_random_control_is_saturated_and_no_other_distortion_has_it(flow_run, tmp_path, monkeypatch):
    import shutil

    from infoplane.runs.folder import RunFolder

    monkeypatch.setattr("infoplane.measuring.decoders.MISTAKES", 10)
    shutil.copytree(flow_run.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    levels = {"saturation": (2, 8), "shuffling": (1, 4)}
    # shuffling first: its undistorted level has no control, and saturation needs one
    distortion_study(run, DistortionConfig(distortions=("shuffling",), levels={"shuffling": levels["shuffling"]}))
    distortion_study(run, DistortionConfig(levels=levels))
    study = pl.col("study") == "distortion"
    for table in (run.measurements(), run.geometry(), run.performance()):
        for level in levels["saturation"]:
            saturated = table.filter(study, distortion="saturation", level=level)
            assert kinds(saturated) == {ORIGINAL, ADVERSARIAL, RANDOM}
        assert kinds(table.filter(study), distortion="shuffling") == {ORIGINAL, ADVERSARIAL}
    rows = run.measurements().filter(study, quantity=MISTAKEN_INFORMATION, distortion="saturation")
    wrong = run.performance().filter(study, distortion="saturation", level=2, training="normal")
    for name in (ORIGINAL, RANDOM):
        counted = sum(
            cell["n"] for cell in wrong.filter(examples=name)["predictions"][0] if cell["label"] != cell["predicted"]
        )
        own = rows.filter(examples=name, training="normal", estimator=DECODED_TRANSFER)
        assert counted >= 10
        assert set(own.select("level", "layer", "samples").rows()) == {
            (level, layer, counted) for level in (2.0, 8.0) for layer in ("conv2", "fc3")
        }


# baselines


def test_the_raw_pixels_are_measured_as_a_layer_at_the_last_epoch_only():
    ordinary, last = measured(ATTACK, final=False), measured(ATTACK)
    assert PIXELS not in set(ordinary.measurements["layer"])
    rows = last.measurements.filter(layer=PIXELS)
    assert set(rows.select("layer_index", "features").rows()) == {(PIXELS_INDEX, 784)}
    assert kinds(rows) == {ORIGINAL, ADVERSARIAL, RANDOM}
    decoder = seeded_generator(0, "decoder")
    expected = decoded_information(IMAGES.flatten(start_dim=1), LABELS, generator=decoder).value
    assert rows.filter(estimator=DECODED, examples=ORIGINAL, quantity=LABEL_INFORMATION)["value_nats"][0] == expected
    others = set(last.measurements.filter(pl.col("layer") != PIXELS).select("layer_index", "layer").rows())
    assert others == {(0, "fc2"), (1, "fc3")}


def test_a_layer_of_that_name_is_measured_and_no_baseline():
    from torch import nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.pixels = nn.Linear(784, 10)

        def forward(self, images):
            return self.pixels(images.flatten(start_dim=1))

    plane = Plane(IMAGES, LABELS, layers=["pixels"], settings=SETTINGS)
    plane.measure(construct(Model, seed=0), epoch=0, final=True)
    assert set(plane.measurements.select("layer_index", "features").rows()) == {(0, 10)}


def test_claims_are_about_layers_and_not_about_pixels():
    plane = measured(ATTACK)
    rows, performance = plane.measurements, plane.performance
    without = rows.filter(pl.col("layer") != PIXELS)
    assert find(rows, performance) == find(without, performance)


# more inputs


def test_more_inputs_give_input_information_at_the_noise_of_the_examples():
    further = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(5))
    plane = measured(None, inputs=further)
    (row,) = plane.measurements.filter(split=ALL_SPLITS, layer="fc3").to_dicts()
    own = plane.measurements.filter(
        split="test", layer="fc3", estimator=NOISY, noise_mode="relative", quantity=INPUT_INFORMATION
    )
    assert (row["noise_variance"], row["noise_ratio"]) == own.select("noise_variance", "noise_ratio").row(0)
    assert (row["samples"], row["ceiling_nats"]) == (100, pytest.approx(math.log(100)))
    model = construct(LeNet5, seed=0).eval()
    with torch.no_grad():
        outputs = model(torch.cat([IMAGES, further]))
    expected = noisy_information(
        outputs,
        torch.zeros(100).long(),
        noise_variance=row["noise_variance"],
        generator=seeded_generator(0, "permutations"),
    )
    assert row["value_nats"] == pytest.approx(expected.input.value, abs=1e-5)
    assert set(plane.measurements.filter(split=ALL_SPLITS)["layer"]) == {"fc2", "fc3"}
    assert ALL_SPLITS not in set(measured(None, inputs=further, final=False).measurements["split"])


def test_a_study_takes_test_images_first_and_then_training_images(small_flow):
    images = load_images(small_flow, "cpu")
    assert (len(images.measured), len(images.test), len(images.train)) == (60, 80, 120)
    others = [place for place in range(80) if place not in images.measured.tolist()]
    found = (further_inputs(images, 90) * 255).round().byte()
    assert torch.equal(found, torch.cat([images.test.images[others], images.train.images[:10]]))
    assert len(further_inputs(images, 10_000)) == 140
    assert further_inputs(images, 60) is None
