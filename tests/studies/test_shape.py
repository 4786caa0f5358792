"""`infoplane shape`: answers and decoded cues of the networks of a run, measured once."""

import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from polars.testing import assert_frame_equal
from tests.cue_patterns import CLASSES, patterns, steps

from infoplane.distortions import low_pass
from infoplane.errors import UserError
from infoplane.measuring.cue_decoding import OriginalDecoders, refitted
from infoplane.measuring.exchanged import CONFLICTS, JUDGED, exchange_of
from infoplane.records.shape import CUE_LAYER_SCHEMA
from infoplane.report.figures_in_order import FIGURES
from infoplane.report.page_shape import shape_html
from infoplane.report.recorded import recorded_of
from infoplane.report.shape_table import shape_tables
from infoplane.report.style import figure_style
from infoplane.runs.folder import RunFolder
from infoplane.runs.shape_files import CueRecords, ShapeFiles
from infoplane.studies import shape as study
from infoplane.studies.shape import shape_study

SEED = 4
TRAININGS = ("untrained", "normal", "adversarial")


@pytest.fixture(scope="module")
def whole(flow_run, tmp_path_factory) -> RunFolder:
    path = tmp_path_factory.mktemp("shape") / "run"
    shutil.copytree(flow_run.path, path)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(study, "DECODED_KINDS", (JUDGED,))  # one kind of two, for half of the time
        shape_study(RunFolder(path))
    return RunFolder(path)


@pytest.fixture
def own_whole(whole, tmp_path) -> RunFolder:
    shutil.copytree(whole.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def undecoded(monkeypatch) -> None:
    """Leave out the decoders, which take nearly all of the time."""
    monkeypatch.setattr(study._Sitting, "_layers", lambda *_: pl.DataFrame(schema=CUE_LAYER_SCHEMA))


def assert_same(found: CueRecords, expected: CueRecords) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_frame_equal(one, other, check_row_order=False)


# what the decoders read


@pytest.fixture(scope="module")
def exchanged():
    """Exchanged images, and what two layers make of images: one blurs them, one has the steps within patches alone."""
    found = exchange_of(*patterns(15), seed=0)
    return found, lambda images: low_pass(images, 2).flatten(1)[:, ::64], lambda images: 50 * steps(images)


def decoded(exchange, layer, images, rows):
    decoders = OriginalDecoders(
        layer(exchange.images), exchange.labels, groups=exchange.pairs, examples_seed=0, permutations=2
    )
    return decoders.of_originals(), decoders.of_exchanged(layer(images), rows)


def test_a_layer_of_the_blurred_image_encodes_the_shape_and_one_of_small_steps_the_texture(exchanged):
    exchange, blurs, differs = exchanged
    images, rows = exchange.conflicts(JUDGED, seed=0), torch.arange(len(exchange.labels))
    for layer, own, other in ((blurs, rows, exchange.partners), (differs, exchange.partners, rows)):
        clean, read = decoded(exchange, layer, images, own)
        assert clean.information.value > 0.95 * math.log(CLASSES)
        assert read.information.value > 0.9 * math.log(CLASSES)
        # The classes of a pair differ, so a decoder that is sure of one cue finds the other class impossible.
        assert decoded(exchange, layer, images, other)[1].information.value < -1
        assert max(read.null.values) < 0.1


def test_refitted_decoders_find_the_cue_that_is_there(exchanged):
    exchange, blurs, differs = exchanged
    images = exchange.conflicts(JUDGED, seed=0)
    for layer, own, other in (
        (blurs, exchange.labels, exchange.textures),
        (differs, exchange.textures, exchange.labels),
    ):
        options = {"groups": exchange.pairs, "examples_seed": 0, "permutations": 2}
        there = refitted(layer(images), own, **options)
        assert there.information.value > 0.95 * math.log(CLASSES)
        assert max(there.null.values) < 0.1
        # Given one cue, the other class is one of three: ln 4 - ln 3 remain.
        left = refitted(layer(images), other, **options).information
        assert left.value < math.log(4 / 3) + 2 * left.error


def test_a_conflict_is_read_by_decoders_without_both_of_its_images(exchanged):
    exchange, blurs, _ = exchanged
    decoders = OriginalDecoders(
        blurs(exchange.images), exchange.labels, groups=exchange.pairs, examples_seed=0, permutations=1
    )
    for fitted in decoders._fitted:
        for rows in fitted.held_out:
            assert set(rows.tolist()) == set(exchange.partners[rows].tolist())


def test_too_few_conflicts_or_one_class_are_not_decoded_again():
    activations, options = torch.rand(40, 3), {"examples_seed": 0, "permutations": 0}
    assert refitted(activations, torch.arange(40) % 2, groups=torch.arange(40) // 5, **options) is None
    assert refitted(activations, torch.zeros(40, dtype=torch.long), groups=torch.arange(40), **options) is None


# the study


def test_every_network_answers_every_conflict_and_trained_ones_are_decoded(whole):
    found = ShapeFiles(whole).read()
    counts = found.answers.group_by("training", "kind", "width").len()
    assert set(counts.rows()) == {(one, *kind, counts["len"][0]) for one in TRAININGS for kind in CONFLICTS}
    assert counts["len"][0] in range(36, 41)  # 40 examples, less copies and what found no partner
    rows = found.layers.select("training", "kind", "layer", "cue", "estimator").rows()
    both = [("high-pass", cue, one) for cue in ("shape", "texture") for one in ESTIMATORS]
    wanted = [("original", "label", "decoded"), *both]
    assert sorted(rows) == sorted(
        (training, kind, layer, cue, estimator)
        for training in TRAININGS[1:]
        for layer in ("conv2", "fc3")
        for kind, cue, estimator in wanted
    )
    assert set(found.layers["permutations"]) == {1}
    assert found.answers["fingerprint"].n_unique() == 1


ESTIMATORS = ("decoded", "decoded-transfer")


def test_shape_and_texture_are_of_the_measured_examples_and_differ(whole, flow_run):
    answers = ShapeFiles(whole).read().answers.filter(training="normal", kind="patches")
    labels = study.FinishedRun(flow_run, attacks=()).labels
    for cue in ("shape", "texture"):
        assert labels[answers[f"{cue}_example"].to_list()].tolist() == answers[cue].to_list()
    assert (answers["shape"] != answers["texture"]).all()
    assert sorted(answers["shape_example"]) == sorted(answers["texture_example"])


def test_group_means_average_to_the_value(whole):
    for row in ShapeFiles(whole).read().layers.iter_rows(named=True):
        sizes = np.full(len(row["group_means"]), row["n"] / len(row["group_means"]))
        assert np.average(row["group_means"], weights=sizes) == pytest.approx(row["value_nats"], abs=1e-9)


def test_the_files_are_listed_and_other_studies_do_not_see_the_records(whole, flow_run):
    assert_frame_equal(whole.measurements(), flow_run.measurements())
    listed = (whole.path / "manifest.sha256").read_text()
    assert all(f"shape/{name}.parquet" in listed for name in ("answers", "layers"))
    assert "examples/shape-s0-all-conflicts.safetensors" in listed


def test_a_complete_run_is_not_measured_again(own_whole, monkeypatch):
    monkeypatch.setattr(study._Sitting, "_measured", None)
    assert_same(shape_study(own_whole), ShapeFiles(own_whole).read())


def test_a_killed_study_continues_with_the_network_under_way(flow_run, whole, tmp_path, monkeypatch, undecoded):
    own = RunFolder(shutil.copytree(flow_run.path, tmp_path / "own"))
    measured, original = [], study._Sitting._measured

    def killed_at_the_last(sitting):
        measured.append(sitting._training)
        if measured == list(TRAININGS):
            raise KeyboardInterrupt
        return original(sitting)

    monkeypatch.setattr(study._Sitting, "_measured", killed_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        shape_study(own)
    assert ShapeFiles(own).read().answers["training"].unique(maintain_order=True).to_list() == list(TRAININGS[:2])
    shape_study(own)
    assert measured == [*TRAININGS, "adversarial"]
    assert_frame_equal(ShapeFiles(own).read().answers, ShapeFiles(whole).read().answers)


def test_other_examples_begin_anew_for_all_networks(own_whole, undecoded):
    before = ShapeFiles(own_whole).read().answers["fingerprint"][0]
    found = shape_study(own_whole, examples=30)
    assert before not in set(found.answers["fingerprint"]) | set(found.layers["fingerprint"])
    assert set(found.answers.group_by("training", "kind", "width").len()["len"]) <= {26, 28, 30}


def conflict_folder(folder: Path) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(24):
        name = f"{number % 10}{number:02d}-{(number + 3) % 10}{number:02d}.png"
        Image.fromarray(generator.integers(0, 255, (30, 28), np.uint8)).save(folder / name)
    return folder


def test_images_of_a_folder_are_added_and_measured_again_when_they_change(own_whole, whole, tmp_path, monkeypatch):
    folder, before = conflict_folder(tmp_path / "images"), ShapeFiles(whole).read()
    found = shape_study(own_whole, images=folder)
    monkeypatch.setattr(study._Sitting, "_layers", lambda *_: pl.DataFrame(schema=CUE_LAYER_SCHEMA))
    of_folder = pl.col("kind") == "folder"
    assert_same(found.where(~of_folder), before)
    assert found.where(of_folder).answers["training"].value_counts().sort("training").rows() == [
        (one, 24) for one in sorted(TRAININGS)
    ]
    assert found.where(of_folder).answers["image"][0] == "000-300.png"
    assert set(found.where(of_folder).layers["estimator"]) == set(ESTIMATORS)
    (folder / "000-300.png").unlink()
    again = shape_study(own_whole, images=folder)
    assert again.where(of_folder).answers["training"].value_counts()["count"].to_list() == [23] * 3
    monkeypatch.setattr(study._Sitting, "_measured", None)
    assert_same(shape_study(own_whole), again)  # without --images, the records of the folder stay


@pytest.fixture
def marked_by_originals(monkeypatch) -> None:
    """Write the number of originals as the decoded value of a folder's conflicts, in place of decoding anything."""

    def marked(sitting, network) -> pl.DataFrame:
        given = {name: [None] for name in CUE_LAYER_SCHEMA} | {"value_nats": [float(len(sitting._exchange.labels))]}
        facts = {"seed": sitting._seed, "training": sitting._training, "cue": "shape", "estimator": "decoded-transfer"}
        rows = [
            pl.DataFrame(given | {name: [one] for name, one in (facts | study._kind_facts(own)).items()})
            for own in sitting.missing
            if own.kind == "folder"
        ]
        empty = pl.DataFrame(schema=CUE_LAYER_SCHEMA)
        return pl.concat([empty, *(row.cast(dict(CUE_LAYER_SCHEMA)) for row in rows)])

    monkeypatch.setattr(study._Sitting, "_layers", marked)
    monkeypatch.setattr(RunFolder, "read_table", lambda _, path, *given: pl.read_parquet(path))  # columns are missing


def test_images_of_a_folder_are_measured_again_for_other_originals(flow_run, tmp_path, marked_by_originals):
    # Their "clean" decoders are fitted to the originals.
    own = RunFolder(shutil.copytree(flow_run.path, tmp_path / "own"))
    folder, of_folder = conflict_folder(tmp_path / "images"), pl.col("kind") == "folder"
    few, many = (shape_study(own, images=folder, examples=number).where(of_folder) for number in (30, 40))
    (before,), (after,) = (set(one.layers["value_nats"]) for one in (few, many))
    assert before <= 30 < after
    assert len(few.answers) == len(many.answers) == 24 * 3
    assert set(few.answers["fingerprint"]).isdisjoint(many.answers["fingerprint"])
    assert not len(shape_study(own, examples=30).where(of_folder).answers)  # without --images, stale ones are deleted


def test_too_few_examples_are_refused(flow_run):
    with pytest.raises(UserError, match="cue conflicts need at least 20 different examples of several classes, got"):
        shape_study(flow_run, examples=12)


def test_a_damaged_table_is_one_line(own_whole):
    path = ShapeFiles(own_whole).path / "layers.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"layers\.parquet.*delete the folder shape"):
        shape_study(own_whole)


def test_figures_page_and_table_show_every_training_and_kind(whole):
    own, found = recorded_of(whole), ShapeFiles(whole).read()
    with figure_style():
        figures = {spec.kind: spec.draw(own) for spec in FIGURES if spec.section == "shape"}
        for figure in figures.values():
            figure.canvas.draw()
    assert set(figures) == {"shape-bias", "shape-and-texture-layers", "shape-and-texture-images"}
    titles = ["high-pass, 2 px", "patches, 2 px", "high-pass, 1 px", "high-pass, 4 px"]
    (axes,) = figures["shape-bias"].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == titles
    assert len(figures["shape-and-texture-layers"].axes) == 2  # two trainings, one kind
    page = shape_html(found, "")
    assert all(words in page for words in (*titles, "initial weights", "conv2", "Verdict: undecided"))
    assert len(shape_tables(found).renderables) >= 5


def test_a_run_without_these_records_has_no_figure_and_no_section(flow_run):
    own = recorded_of(flow_run)
    with figure_style():
        assert [spec.draw(own) for spec in FIGURES if spec.section == "shape"] == [None] * 3
    assert shape_html(ShapeFiles(flow_run).read(), "") == ""
