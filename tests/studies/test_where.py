"""`infoplane where`: every network of a run is decoded once, example by example, as study one decodes it."""

import json
import shutil

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from infoplane.errors import UserError
from infoplane.report.figures_in_order import FIGURES
from infoplane.report.page_where import where_html
from infoplane.report.recorded import recorded_of
from infoplane.report.style import figure_style
from infoplane.report.where_gallery import gallery_blocks
from infoplane.report.where_table import where_tables
from infoplane.runs.folder import RunFolder
from infoplane.runs.where_files import Where, WhereFiles
from infoplane.studies import where as study
from infoplane.studies.where import where_lost

SEED = 4
KEY = ["seed", "training", "examples", "layer"]


@pytest.fixture(scope="module")
def whole(flow_run, tmp_path_factory) -> RunFolder:
    path = tmp_path_factory.mktemp("where") / "run"
    shutil.copytree(flow_run.path, path)
    where_lost(RunFolder(path))
    return RunFolder(path)


@pytest.fixture
def own_whole(whole, tmp_path) -> RunFolder:
    shutil.copytree(whole.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def own_run(flow_run, tmp_path) -> RunFolder:
    shutil.copytree(flow_run.path, tmp_path / "own")
    return RunFolder(tmp_path / "own")


def assert_same(found: Where, expected: Where) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_frame_equal(one, other, check_row_order=False)


def test_the_mean_over_examples_is_the_decoded_information_of_study_one(whole, flow_run):
    chosen = pl.col("estimator").is_in(["decoded", "decoded-transfer"]), pl.col("quantity") == "I(T;Y)"
    recorded = flow_run.measurements().filter(*chosen, pl.col("epoch") == 1, pl.col("class_index").is_null())
    originals, attacked = pl.col("examples") == "original", pl.col("examples") == "adversarial"
    wanted = recorded.filter(
        (originals & (pl.col("estimator") == "decoded")) | attacked & (pl.col("estimator") != "decoded")
    )
    means = WhereFiles(whole).read().pointwise.group_by(KEY).agg(pl.col("information_nats").mean())
    both = wanted.join(means, on=KEY)
    assert len(both) == 8
    assert both["information_nats"].to_list() == pytest.approx(both["value_nats"].to_list(), abs=1e-9)


def test_there_is_a_row_for_every_example_and_layer_of_every_network(whole, flow_run):
    found = WhereFiles(whole).read()
    assert found.pointwise.group_by(KEY, maintain_order=True).len().select(
        "training", "examples", "layer", "len"
    ).rows() == [
        (training, examples, layer, 40)
        for training in ("normal", "adversarial")
        for examples in ("original", "adversarial")
        for layer in ("conv2", "fc3")
    ]
    assert set(found.layers["permutations"]) == {1}
    assert set(found.layers["attack"]) == {None, "pgd"}
    accuracy = (
        found.pointwise.filter(layer="fc3")
        .group_by("training", "examples")
        .agg(accuracy=(pl.col("predicted") == pl.col("label")).mean())
    )
    recorded = flow_run.performance().filter(pl.col("epoch") == 1, split="test")
    both = accuracy.join(recorded, on=["training", "examples"], suffix="_of_study_one").filter(pl.col("n") == 40)
    assert len(both) >= 2
    assert both["accuracy"].to_list() == pytest.approx(both["accuracy_of_study_one"].to_list())


def test_the_files_are_listed_and_other_studies_do_not_see_the_records(whole, flow_run):
    assert_frame_equal(whole.measurements(), flow_run.measurements())
    listed = (whole.path / "manifest.sha256").read_text()
    assert all(f"where/{name}.parquet" in listed for name in ("where", "layers"))
    assert "examples/where-s4-normal-gallery.safetensors" in listed


def test_a_complete_run_is_not_measured_again(own_whole, monkeypatch):
    monkeypatch.setattr(study._Sitting, "_decoded", None)
    assert_same(where_lost(own_whole), WhereFiles(own_whole).read())


def test_a_killed_study_continues_with_the_network_under_way(own_run, whole, monkeypatch):
    measured, original = [], study._Sitting._decoded

    def killed_at_the_second(sitting, network, *rest):
        measured.append(network.training)
        if measured == ["normal", "adversarial"]:
            raise KeyboardInterrupt
        return original(sitting, network, *rest)

    monkeypatch.setattr(study._Sitting, "_decoded", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        where_lost(own_run)
    assert WhereFiles(own_run).read().pointwise["training"].unique().to_list() == ["normal"]
    where_lost(own_run)
    assert measured == ["normal", "adversarial", "adversarial"]
    assert_same(WhereFiles(own_run).read(), WhereFiles(whole).read())


def test_a_network_of_which_one_table_knows_nothing_is_measured_again(own_whole, whole):
    files = WhereFiles(own_whole)
    own_whole.write_table(files.path / "where.parquet", files.read().without(SEED, "normal").pointwise)
    assert files.read().layers["training"].unique().to_list() == ["adversarial"]
    assert_same(where_lost(own_whole), WhereFiles(whole).read())


def test_further_attacks_are_added_and_the_originals_kept(own_whole, whole):
    found, before = where_lost(own_whole, attacks=["fgsm"]), WhereFiles(whole).read()
    assert set(found.pointwise["examples"]) == {"original", "adversarial", "fgsm"}
    assert_same(Where(*(table.filter(pl.col("examples") != "fgsm") for table in found)), before)
    images, facts = WhereFiles(own_whole).read_gallery(SEED, "normal")
    assert set(facts["examples"]) == {"original", "adversarial", "fgsm"}
    assert all(len(images[name]) == len(chosen) for name, chosen in facts["examples"].items() if chosen)


def test_another_number_of_examples_begins_anew(own_whole):
    found = where_lost(own_whole, examples=30)
    assert set(found.layers["n"]) == {30}
    assert found.pointwise["example"].n_unique() == 30


def test_of_too_few_examples_or_one_class_nothing_is_decoded(own_run, monkeypatch):
    with pytest.raises(UserError, match="decoders need at least 10 different examples, got 9"):
        where_lost(own_run, examples=9)
    finished = study.FinishedRun(own_run)
    monkeypatch.setattr(finished, "chosen", lambda purpose, examples: torch.arange(12))
    monkeypatch.setattr(study, "FinishedRun", lambda *args, **named: finished)
    finished._labels = torch.zeros_like(finished._labels)
    with pytest.raises(UserError, match="all measured examples are of one class"):
        where_lost(own_run)


def test_a_damaged_table_is_one_line(own_whole):
    path = WhereFiles(own_whole).path / "where.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"where\.parquet.*delete the folder where"):
        where_lost(own_whole)


def test_the_gallery_has_one_image_of_each_class_and_mistaken_class(whole):
    blocks = gallery_blocks(WhereFiles(whole), tuple("abcdefghij"))
    assert blocks
    for title, shown in blocks.items():
        assert title.endswith("seed 4, after pgd")
        heads = [one.head for one in shown]
        assert len(set(heads)) == len(heads) <= study.SHOWN_PAIRS
        assert all(one.image.shape == (28, 28) and len(one.bits) == 2 for one in shown)
        assert all(one.lost is None or (one.bits[one.lost :] < 0.1).all() for one in shown)


def test_large_images_are_stored_smaller_and_in_colour():
    images = torch.rand(2, 3, 200, 100)
    shown = study._shown(images)
    assert (shown.shape, shown.dtype) == ((2, 3, 96, 48), torch.uint8)
    assert abs(shown.double().mean().item() / 255 - images.mean().item()) < 0.02


def test_figures_page_and_table_show_every_training_and_layer(whole):
    own, found = recorded_of(whole), WhereFiles(whole).read()
    with figure_style():
        figures = {spec.kind: spec.draw(own) for spec in FIGURES if spec.section == "where"}
    assert set(figures) == {"lost-labels", "pointwise-information", "lost-labels-gallery"}
    places = ["never encoded", "conv2", "fc3", "kept"]
    assert [
        [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
        for axes in figures["lost-labels"].axes
    ] == [places] * 2
    assert len(figures["pointwise-information"].axes) == 4
    page = where_html(found, "", own.class_names)
    assert all(f'<th scope="row">{place}</th>' in page for place in places)
    assert "Misclassified examples by class and mistaken class" in page
    assert len(where_tables(found).renderables) >= 6


def test_a_run_without_these_records_has_no_figure_and_no_section(flow_run):
    own = recorded_of(flow_run)
    with figure_style():
        assert [spec.draw(own) for spec in FIGURES if spec.section == "where"] == [None] * 3
    assert where_html(WhereFiles(flow_run).read(), "", ()) == ""


def test_names_from_the_user_are_escaped_and_long_ones_are_cut(whole):
    found = WhereFiles(whole).read()
    odd = "<script>alert('“&$x$')</script>" * 4
    renamed = Where(
        found.pointwise.with_columns(pl.col("layer").replace("fc3", odd)),
        found.layers.with_columns(pl.col("layer").replace("fc3", odd), pl.col("attack").replace("pgd", odd)),
    )
    page = where_html(renamed, "", [odd] * 10)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert len(where_tables(renamed).renderables) >= 6


def test_the_summary_has_counts_and_sentences(own_whole):
    files = WhereFiles(own_whole)
    files.write_summary({"sentences": ["Ünï"]}, {"shares": pl.DataFrame({"share": [0.5, None]})})
    read = json.loads((files.path / "summary.json").read_text())
    assert read == {"sentences": ["Ünï"], "shares": [{"share": 0.5}, {"share": None}]}
    assert (files.path / "shares.csv").read_text() == "share\n0.5\n\n"
