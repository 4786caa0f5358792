"""Several seeds as lines and bands."""

import polars as pl
import pytest

from infoplane.report.bits import in_bits, plane_points
from infoplane.report.figure_files import write_figures
from infoplane.report.page_images import figures_html
from infoplane.report.seeds_figure import (
    SEEDS_INFORMATION,
    SEEDS_PERFORMANCE,
    seeds_figure,
    seeds_performance_figure,
)
from infoplane.report.summary import missing_parts


@pytest.fixture(scope="module")
def two_seeds(full_run):
    """The full run twice; the second seed has half a nat less."""
    rows = full_run.measurements()
    other = rows.with_columns(seed=pl.lit(4, dtype=pl.Int64), value_nats=pl.col("value_nats") - 0.5)
    return plane_points(in_bits(pl.concat([rows, other])))


def edges(axes, band):
    """From epoch to (lowest, highest) of a band."""
    found = {}
    for epoch, value in axes.collections[band].get_paths()[0].vertices:
        found.setdefault(round(epoch), []).append(value)
    return {epoch: (min(values), max(values)) for epoch, values in found.items()}


def test_lines_are_means_and_bands_go_from_the_lowest_to_the_highest_seed(two_seeds):
    figure = seeds_figure(two_seeds, "title")
    axes = figure.axes[5 * 1 + 2]  # noisy I(X;T) in the third of five layers
    assert axes.get_subplotspec().rowspan.start == 1
    own = two_seeds.filter(
        estimator="noisy@relative+decoded", layer="fc1", training="adversarial", examples="adversarial"
    ).sort("epoch")
    expected = own.group_by("epoch", maintain_order=True).agg(
        mean=pl.col("input_drawn_bits").mean(), low=pl.col("input_drawn_bits").min(),
        high=pl.col("input_drawn_bits").max(),
    )  # fmt: skip
    line, band = axes.lines[3], edges(axes, 3)
    assert list(line.get_xdata()) == expected["epoch"].to_list()
    assert line.get_ydata() == pytest.approx(expected["mean"].to_list())
    for epoch, _, low, high in expected.rows():
        assert band[epoch] == pytest.approx((low, high))
        assert high - low > 0.5


def test_trainings_differ_by_colour_and_examples_by_line_and_marker(two_seeds):
    lines = seeds_figure(two_seeds, "title").axes[0].lines[:4]
    assert len({line.get_color() for line in lines}) == 2
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--"]
    assert [line.get_marker() for line in lines] == ["o", "x", "o", "x"]


def test_a_panel_without_records_says_so(two_seeds):
    without = two_seeds.filter((pl.col("layer") != "fc1") | (pl.col("estimator") != "kde-kl"))
    texts = [text.get_text() for axes in seeds_figure(without, "title").axes for text in axes.texts]
    assert texts == ["not measured"] * 2  # both informations


def test_performance_is_drawn_likewise(full_run):
    rows = full_run.performance()
    other = rows.with_columns(seed=pl.lit(4, dtype=pl.Int64), accuracy=pl.col("accuracy") / 2)
    accuracy, loss = seeds_performance_figure(pl.concat([rows, other]), "title").axes
    assert len(accuracy.lines) == len(loss.lines) == 6
    last = rows.filter(training="normal", split="train", epoch=10)["accuracy"][0]
    assert accuracy.lines[0].get_ydata()[-1] == pytest.approx(75 * last)
    assert edges(accuracy, 0)[10] == pytest.approx((50 * last, 100 * last))
    assert loss.get_yscale() == "log"


def stems_of(run, monkeypatch):
    """What is drawn, without rendering it."""
    monkeypatch.setattr("infoplane.report.figure.save_figure", lambda figure, stem, pdfs: None)
    return [one.stem.name for one in write_figures(run)]


def test_one_seed_has_no_bands_and_two_have(make_run, tmp_path, monkeypatch):
    facts = {"epochs": (0, 1), "layers": ("fc",), "trainings": ("normal",), "trusted": False}
    run = make_run(tmp_path / "run", **facts)
    assert not [stem for stem in stems_of(run, monkeypatch) if stem.startswith("seeds")]
    other = make_run(tmp_path / "other", **facts, seed=4)
    for epoch in facts["epochs"]:
        run.write_records("flow", 4, "normal", epoch, **other.read_records("flow", 4, "normal", epoch))
    found = [stem for stem in stems_of(run, monkeypatch) if stem.startswith("seeds")]
    assert found == ["seeds-information", "seeds-performance"]


@pytest.mark.parametrize("spec", [SEEDS_INFORMATION, SEEDS_PERFORMANCE], ids=lambda spec: spec.kind)
def test_captions_say_what_the_bands_are(spec, tmp_path):
    drawn = spec.files(tmp_path)
    drawn.png.write_bytes(b"synthetic")
    assert "Bands: from the lowest to the highest seed" in figures_html([drawn])


def test_seeds_that_were_not_reached_yet_are_named(full_run):
    settings = {"seed": 3, "seeds": 3}
    parts = missing_parts(full_run.measurements(), full_run.performance(), settings)
    assert [part for part in parts if "seed" in part and "Nothing" in part] == [
        "Nothing has been recorded for seed 4 yet.",
        "Nothing has been recorded for seed 5 yet.",
    ]
