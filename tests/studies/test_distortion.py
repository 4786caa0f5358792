"""Study two measures every level once, continues where it stopped, and compares with the undistorted examples."""

import math
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from infoplane.config import DistortionConfig
from infoplane.distortions import exchange_texture, saturate, shuffle_patches, texture_donors
from infoplane.errors import UserError
from infoplane.estimators import decoded_information
from infoplane.measuring.evaluate import evaluate
from infoplane.measuring.plane import Plane
from infoplane.measuring.probes import gather_activations
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.records.tables import (
    FIXED_NOISE,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    MISTAKEN_INFORMATION,
    RELATIVE_NOISE,
)
from infoplane.runs.folder import RunFolder
from infoplane.studies import distortion as study
from infoplane.studies.distortion import DistortionRecords, distortion_study, planned_levels
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.information_flow import information_flow

SEED = 4
CONFIG = DistortionConfig(levels={"saturation": (2, 8, 1024)})
LEVELS = {"saturation": [2, 8, 1024], "shuffling": [1, 2, 4, 7]}
LAYERS = ("conv2", "fc3")
PLACE = ["training", "distortion", "level", "examples", "layer_index"]
KEY = [*PLACE, "estimator", "quantity", "kind", "class_index", "noise_mode"]
PLANE = ("training", "examples", "layer_index", "estimator", "quantity", "kind", "class_index", "noise_mode")


class Listener(study.Silence):
    """How much work was ahead, and how much was done."""

    total = done = 0.0

    def begin(self, work):
        self.total = work

    def advance(self, work):
        self.done += work


class Count:
    """Levels that were measured, as a stand-in for the plane's own method."""

    def __init__(self, monkeypatch, *, stop_at=None) -> None:
        self.measured, original = [], Plane.measure

        def measure(plane, model, *, training, distorted, **more):
            if (training, distorted.distortion, distorted.level) == stop_at:
                raise KeyboardInterrupt
            self.measured.append((training, distorted.distortion, distorted.level))
            return original(plane, model, training=training, distorted=distorted, **more)

        monkeypatch.setattr(Plane, "measure", measure)


@pytest.fixture(scope="module")
def made(flow_run, tmp_path_factory) -> tuple[RunFolder, Count, Listener]:
    """A run with both distortions, whole; what was measured and what was said of the work meanwhile."""
    path = tmp_path_factory.mktemp("distortion") / "run"
    shutil.copytree(flow_run.path, path)
    with pytest.MonkeyPatch.context() as patching:
        count, listener = Count(patching), Listener()
        distortion_study(RunFolder(path), CONFIG, progress=listener)
    return RunFolder(path), count, listener


@pytest.fixture(scope="module")
def whole(made) -> RunFolder:
    """The run alone."""
    return made[0]


@pytest.fixture
def own_run(flow_run, tmp_path) -> RunFolder:
    """A copy without distortions."""
    shutil.copytree(flow_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def own_whole(whole, tmp_path) -> RunFolder:
    """A copy with both distortions."""
    shutil.copytree(whole.path, tmp_path / "whole")
    return RunFolder(tmp_path / "whole")


def tables_of(run: RunFolder, training: str, distortion: str) -> list[Path]:
    found = [*run.path.glob(f"*/distortion-s{SEED}-{training}-e0001-{distortion}.parquet")]
    assert len(found) == 3
    return found


def records(run: RunFolder) -> DistortionRecords:
    chosen = pl.col("study") == "distortion"
    return DistortionRecords(
        *(table.filter(chosen) for table in (run.measurements(), run.geometry(), run.performance()))
    )


def assert_same(found: RunFolder, expected: RunFolder) -> None:
    for one, other, key in zip(records(found), records(expected), (KEY, PLACE, PLACE[:-1]), strict=True):
        assert_frame_equal(one.sort(key), other.sort(key), check_exact=True)


def test_every_network_level_version_and_layer_is_measured_once(whole):
    found = records(whole)
    conditions = {
        (training, name, float(level), examples)
        for training in ("normal", "adversarial")
        for name, levels in LEVELS.items()
        for level in levels
        for examples in ("original", "adversarial", *(["random"] if name == "saturation" else []))
    }
    performed = found.performance.select("training", "distortion", "level", "examples").rows()
    assert len(performed) == len(conditions)
    assert set(performed) == conditions
    assert set(found.performance.select("seed", "epoch", "split", "n").rows()) == {(SEED, 1, "test", 40)}
    rows = found.measurements.filter(pl.col("class_index").is_null())
    everywhere = {("kde-kl", "fixed"), ("kde-kl", "relative"), ("kde-bd", "fixed"), ("kde-bd", "relative")}
    wanted = {
        INPUT_INFORMATION: everywhere | {("binning", None)},
        LABEL_INFORMATION: everywhere | {("binning", None), ("decoded-transfer", None)},
    }
    noisy = {("noisy", "fixed"), ("noisy", "relative")}
    last = {INPUT_INFORMATION: noisy, LABEL_INFORMATION: noisy | {("decoded", None)}}
    measured = rows.filter(pl.col("estimator") != "kde-mixed")
    columns = ["training", "distortion", "level", "examples", "layer", "quantity", "estimator", "noise_mode"]
    expected = [
        (*condition, layer, quantity, *one)
        for condition in conditions
        for layer in LAYERS
        for quantity in wanted
        for one in wanted[quantity] | (last[quantity] if layer == "fc3" else set())
    ]
    assert sorted(map(repr, measured.select(columns).rows())) == sorted(map(repr, expected))


def test_numbers_come_with_error_ceiling_and_null(whole):
    rows = records(whole).measurements.filter(pl.col("class_index").is_null())
    assert rows["standard_error"].null_count() == 0
    bounded = rows.filter(pl.col("estimator") != "kde-mixed")
    assert bounded["ceiling_nats"].null_count() == 0
    label = bounded.filter(pl.col("quantity") == LABEL_INFORMATION)
    assert label["null_quantile95_nats"].null_count() == 0
    for decoder in ("decoded", "decoded-transfer"):
        assert set(label.filter(pl.col("estimator") == decoder)["permutations"]) == {1}


def test_images_are_attacked_first_and_distorted_then(whole):
    network = FinishedRun(whole).network(SEED, "normal")
    performance = records(whole).performance.filter(pl.col("training") == "normal")
    with evaluation_mode(network.model):
        for name, level in (("saturation", 8), ("shuffling", 4)):
            for examples, images in (("original", network.images), ("adversarial", network.versions()["adversarial"])):
                if name == "saturation":
                    changed = saturate(images, level)
                else:
                    changed = shuffle_patches(
                        images, level, generator=seeded_generator(0, "distortion", "shuffling", "4")
                    )
                row = performance.filter(distortion=name, level=level, examples=examples).row(0, named=True)
                assert evaluate(network.model, changed, network.labels)[:2] == (row["accuracy"], row["loss"])


def test_the_undistorted_level_repeats_the_last_epoch_of_study_one(flow_run, whole):
    before = flow_run.measurements().filter(pl.col("noise_mode").ne_missing("sweep"), epoch=1, split="test")
    keyed = {tuple(row[name] for name in PLANE): row for row in before.iter_rows(named=True)}
    compared = 0
    for name in LEVELS:
        for row in records(whole).measurements.filter(distortion=name, level=LEVELS[name][0]).iter_rows(named=True):
            if (row["estimator"], row["examples"]) == ("decoded-transfer", "original"):
                continue  # study one has no other decoders of originals
            expected = keyed[tuple(row[name] for name in PLANE)]
            compared += 1
            for column in ("value_nats", "standard_error", "ceiling_nats", "noise_variance", "group_means"):
                # pairs are multiplied in float32 where that is faithful: a last bit of the noise variance shows there
                assert row[column] == pytest.approx(expected[column], abs=1e-6), row
    assert compared > 100


def test_decoders_of_originals_read_themselves_where_nothing_is_distorted(whole):
    rows = records(whole).measurements.filter(layer="fc3", examples="original", distortion="saturation", level=2)
    one, other = (rows.filter(estimator=name)["value_nats"].to_list() for name in ("decoded", "decoded-transfer"))
    assert one == other


def test_decoders_of_originals_read_the_distorted_outputs_of_examples_they_never_saw(whole):
    network = FinishedRun(whole).network(SEED, "adversarial")
    with evaluation_mode(network.model):
        before, *after = (
            gather_activations(network.model, images, ["fc3"], batch_size=40)["fc3"]
            for images in (network.images, saturate(network.images, 8), saturate(network.versions()["adversarial"], 8))
        )
    decoders = decoded_information(before, network.labels, generator=seeded_generator(0, "decoder"))
    rows = records(whole).measurements.filter(
        training="adversarial", distortion="saturation", level=8, layer="fc3", estimator="decoded-transfer"
    )
    for examples, outputs in zip(("original", "adversarial"), after, strict=True):
        assert not torch.equal(outputs, before)
        found = rows.filter(examples=examples)["value_nats"].item()
        assert found == pytest.approx(decoders.transferred(outputs, network.labels).value, abs=1e-6)


def test_at_every_level_the_same_mistakes_are_decoded_those_made_before_the_distortion(own_run, monkeypatch):
    monkeypatch.setattr("infoplane.measuring.decoders.MISTAKES", 10)
    distortion_study(own_run, CONFIG)
    mistaken = own_run.measurements().filter(quantity=MISTAKEN_INFORMATION, study=study.STUDY, examples="adversarial")
    performance = own_run.performance()
    for training in ("normal", "adversarial"):
        last = performance.filter(training=training, examples="adversarial", study="information-flow", epoch=1)
        wrong = sum(cell["n"] for cell in last["predictions"][0] if cell["label"] != cell["predicted"])
        own = mistaken.filter(training=training)
        assert set(own["samples"]) == {wrong}
        levels = own.filter(layer="fc3", estimator="decoded").select("distortion", "level").rows()
        assert sorted(levels) == sorted((name, float(level)) for name, levels in LEVELS.items() for level in levels)
        inner = own.filter(layer="conv2", estimator="decoded")
        assert set(inner.select("distortion", "level").rows()) == {("saturation", 1024.0), ("shuffling", 7.0)}
        assert set(own.filter(layer="conv2", estimator="decoded-transfer")["level"]) == set(own["level"])


def test_the_strongest_level_stands_last_whatever_the_order_asked_for(own_run):
    finished = FinishedRun(own_run)
    config = DistortionConfig(levels={"saturation": (64, 8), "shuffling": (7, 2)})
    plan = planned_levels(config, finished.images, finished.labels)
    assert plan == {"saturation": (2, 8, 64), "shuffling": (1, 2, 7)}


def test_cue_conflicts_say_how_many_decisions_follow_the_texture(own_run):
    few = {"texture-exchange": (2,), "noise": (0.1,)}
    distortion_study(own_run, DistortionConfig(distortions=("texture-exchange", "noise"), levels=few))
    performance = own_run.performance().filter(pl.col("study") == study.STUDY)
    lent = performance.filter(pl.col("distortion") == "texture-exchange", pl.col("level") > 0)
    assert performance.filter(pl.col("texture_accuracy").is_not_null()).equals(lent)
    network = FinishedRun(own_run).network(SEED, "normal")
    generator = seeded_generator(0, "distortion", "texture-exchange", "2")
    donors = texture_donors(network.labels, generator=generator)  # the first draw of the exchange
    changed = exchange_texture(
        network.images, network.labels, 2, generator=seeded_generator(0, "distortion", "texture-exchange", "2")
    )
    with evaluation_mode(network.model):
        predicted = evaluate(network.model, changed, network.labels).predicted
    row = lent.filter(training="normal", examples="original", level=2).row(0, named=True)
    assert row["texture_accuracy"] == (predicted == network.labels[donors]).double().mean().item()
    assert row["accuracy"] == pytest.approx((predicted == network.labels).double().mean().item())


def test_relative_noise_stays_that_of_the_undistorted_version(whole):
    found = records(whole)
    relative = found.measurements.filter(noise_mode=RELATIVE_NOISE, estimator="kde-kl", quantity=INPUT_INFORMATION)
    scale = found.geometry.filter((pl.col("distortion") == "saturation") & (pl.col("level") == 2)).select(
        "training", "examples", "layer", scale="mean_unit_variance"
    )
    joined = relative.join(scale, on=["training", "examples", "layer"])
    assert len(joined) == len(relative)
    assert joined["noise_variance"].to_list() == pytest.approx((joined["noise_ratio"] * joined["scale"]).to_list())
    own = relative.join(found.geometry, on=["training", "distortion", "level", "examples", "layer"])
    moved = own.filter(pl.col("level") > 4)
    assert ((moved["noise_variance"] / moved["mean_unit_variance"] / moved["noise_ratio"] - 1).abs() > 0.01).any()
    fixed = found.measurements.filter(noise_mode=FIXED_NOISE)
    assert set(fixed["noise_variance"]) == {0.1}


def test_the_undistorted_level_is_measured_once_per_network(made):
    _, count, _ = made
    undistorted = ("shuffling", 1)  # as is saturation 2
    levels = [(name, level) for name, some in LEVELS.items() for level in some if (name, level) != undistorted]
    assert count.measured == [(training, *level) for training in ("normal", "adversarial") for level in levels]


def test_a_stopped_study_continues_at_the_distortion_it_was_stopped_in(own_whole, whole, monkeypatch):
    for distortion in LEVELS:
        for path in tables_of(own_whole, "normal", distortion):
            path.unlink()
    with monkeypatch.context() as stopping:
        Count(stopping, stop_at=("normal", "shuffling", 4.0))
        with pytest.raises(KeyboardInterrupt):
            distortion_study(own_whole, CONFIG)
    assert set(records(own_whole).performance.filter(training="normal")["distortion"]) == {"saturation"}
    count = Count(monkeypatch)
    distortion_study(own_whole, CONFIG)
    assert count.measured == [("normal", "shuffling", 2.0), ("normal", "shuffling", 4.0), ("normal", "shuffling", 7.0)]
    assert_same(own_whole, whole)


def test_a_whole_study_computes_nothing(own_whole, whole, monkeypatch):
    loaded: list[object] = []
    monkeypatch.setattr(FinishedRun, "network", lambda self, *network: loaded.append(network))
    before = {path: path.read_bytes() for path in own_whole.path.rglob("*") if path.is_file()}
    distortion_study(own_whole, CONFIG)
    assert loaded == []
    assert {path: path.read_bytes() for path in own_whole.path.rglob("*") if path.is_file()} == before
    assert_same(own_whole, whole)


def test_more_levels_are_added_to_those_that_are_there(own_whole, monkeypatch):
    count = Count(monkeypatch)
    more = DistortionConfig(distortions=("saturation",), levels={"saturation": (2, 8, 64)})
    found = distortion_study(own_whole, more).performance
    assert count.measured == [("normal", "saturation", 64.0), ("adversarial", "saturation", 64.0)]
    rows = found.filter(distortion="saturation").select("training", "level", "examples").rows()
    assert sorted(rows) == sorted(
        (training, float(level), examples)
        for training in ("normal", "adversarial")
        for level in (2, 8, 64, 1024)
        for examples in ("original", "adversarial", "random")
    )
    images, facts = own_whole.read_examples("distortion", SEED, "normal", "saturation")
    assert (
        set(images)
        == set(facts["predicted"])
        == {f"{examples}/{level}" for examples in ("original", "adversarial") for level in (2, 8, 64, 1024)}
    )


def test_tables_that_a_killed_process_left_apart_are_made_whole(own_whole, whole, monkeypatch):
    path = next(path for path in tables_of(own_whole, "normal", "saturation") if path.parent.name == "performance")
    own_whole.write_table(path, pl.read_parquet(path).filter(pl.col("level") != 8))
    tables_of(own_whole, "adversarial", "shuffling")[0].unlink()
    count = Count(monkeypatch)
    distortion_study(own_whole, CONFIG)
    shuffled = [("adversarial", "shuffling", float(level)) for level in (2, 4, 7)]
    assert count.measured == [("normal", "saturation", 8.0), *shuffled]
    assert_same(own_whole, whole)


def test_a_lost_sheet_of_examples_is_made_again_and_nothing_is_measured(own_whole, whole, monkeypatch):
    name = f"distortion-s{SEED}-normal-saturation.safetensors"
    (own_whole.path / "examples" / name).unlink()
    count = Count(monkeypatch)
    distortion_study(own_whole, DistortionConfig(distortions=("saturation",), levels={"saturation": (8,)}))
    assert count.measured == []
    assert (own_whole.path / "examples" / name).read_bytes() == (whole.path / "examples" / name).read_bytes()
    assert_same(own_whole, whole)


def test_a_damaged_sheet_of_examples_is_named_before_anything_is_measured(own_whole, monkeypatch):
    path = own_whole.path / "examples" / f"distortion-s{SEED}-adversarial-shuffling.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(FinishedRun, "network", None)
    with pytest.raises(UserError, match=f"{path} was changed .* delete it and run infoplane distortion again"):
        distortion_study(own_whole, DistortionConfig(levels={"shuffling": (14,)}))


def test_a_few_examples_are_kept_with_what_the_network_takes_them_for(whole):
    network = FinishedRun(whole).network(SEED, "adversarial")
    images, facts = whole.read_examples("distortion", SEED, "adversarial", "saturation")
    places = [int((network.labels == label).nonzero()[0]) for label in facts["labels"]]
    assert len(set(facts["labels"])) == 3
    assert facts["class_names"] == list(network.test.class_names)
    shown = saturate(network.versions()["adversarial"][places], 8)
    assert torch.equal(images["adversarial/8"], (shown * 255).round().byte())
    with torch.no_grad(), evaluation_mode(network.model):
        assert facts["predicted"]["adversarial/8"] == network.model(shown).argmax(dim=1).tolist()


def test_the_network_and_the_records_of_study_one_stay_as_they_were(flow_run, whole):
    for name in ("measurements", "geometry", "performance"):
        for path in (flow_run.path / name).iterdir():
            assert (whole.path / name / path.name).read_bytes() == path.read_bytes()
    for path in (flow_run.path / "checkpoints").iterdir():
        assert (whole.path / "checkpoints" / path.name).read_bytes() == path.read_bytes()
    config = FinishedRun(whole).config
    for again, before in zip(information_flow(config, run=whole), information_flow(config, run=flow_run), strict=True):
        assert_frame_equal(again, before)
    assert (whole.path / "config.json").read_bytes() == (flow_run.path / "config.json").read_bytes()


def test_distortions_that_do_not_fit_the_images_are_refused_at_once(own_run, monkeypatch):
    monkeypatch.setattr(FinishedRun, "network", None)
    with pytest.raises(UserError, match=r"shuffling: .* got 8; these do: 1, 2, 4, 7, 14, 28"):
        distortion_study(own_run, DistortionConfig(levels={"shuffling": (4, 8, 14)}))
    with pytest.raises(UserError, match="grey: images must have three channels"):
        distortion_study(own_run, DistortionConfig(distortions=("saturation", "grey")))


def test_a_layer_that_is_not_finite_is_the_users_to_mend(own_run, monkeypatch):
    original = FinishedRun.network

    def broken(finished, seed, training):
        network = original(finished, seed, training)
        with torch.no_grad():
            network.model.conv2.weight.fill_(torch.inf)
        return network

    monkeypatch.setattr(FinishedRun, "network", broken)
    with pytest.raises(UserError, match=f"normal training, seed {SEED}: .*conv2"):
        distortion_study(own_run, CONFIG)


def test_other_distortions_are_measured_on_request(own_whole):
    finished, config = FinishedRun(own_whole), DistortionConfig(distortions=("high-pass", "texture-exchange"))
    plan = planned_levels(config, finished.images, finished.labels)
    assert plan == {"high-pass": (math.inf, 4, 2, 1, 0.5), "texture-exchange": (0, 0.5, 1, 2, 4)}
    config = config.model_copy(update={"levels": {"high-pass": (4, 0.5), "texture-exchange": (1,)}})
    performance = distortion_study(own_whole, config).performance.filter(training="normal", examples="original")
    assert performance.filter(distortion="high-pass")["level"].to_list() == [math.inf, 4, 0.5]
    assert performance.filter(distortion="texture-exchange")["level"].to_list() == [0, 1]
    undistorted = performance.filter(pl.col("level").is_infinite() | (pl.col("level") == 0))
    assert len(set(undistorted["loss"])) == 1


def test_work_ahead_is_the_work_done(made):
    _, _, listener = made
    assert 0 < listener.total == pytest.approx(listener.done)
