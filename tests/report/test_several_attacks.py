"""Examples of several attacks in one run, none of which need have the usual name."""

import io
import json
import re

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from infoplane.records.tables import performance_table
from infoplane.report.bits import in_bits, last_epoch, plane_points, undistorted
from infoplane.report.comparison_figure import comparison_figure
from infoplane.report.distortion_table import distortion_table
from infoplane.report.entropy_figure import class_entropy_figure
from infoplane.report.examples import examples_look, short_names, transferred_look
from infoplane.report.flow_figure import information_flow_figure
from infoplane.report.geometry_figure import geometry_figure
from infoplane.report.html import report_html
from infoplane.report.mistakes_figure import mistakes_figure, transfer_figure
from infoplane.report.page_data import page_data
from infoplane.report.seeds_figure import seeds_performance_figure
from infoplane.report.summary import missing_parts
from infoplane.report.sweep_figure import noise_sweep_figure
from infoplane.report.table import summary_table
from infoplane.report.trusted_figure import trusted_figure

ATTACKS = ("adversarial", "fgsm", "l2-pgd", "package.module:my_attack")
KINDS = {"with the usual one": ("original", *ATTACKS), "without it": ("original", *ATTACKS[1:])}
LAYERS = ("fc1", "fc2")


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS.keys())
def kinds(request):
    return request.param


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory, kinds):
    path = tmp_path_factory.mktemp("run") / "several"
    return make_run(path, epochs=(0, 4, 10), layers=LAYERS, examples=kinds)


@pytest.fixture(scope="module")
def rows(run):
    return in_bits(run.measurements()).filter(pl.col("training") == "normal")


def texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def values(rows, examples, estimator, quantity, layer="fc2", noise=""):
    own = rows.filter(examples=examples, estimator=estimator + noise, quantity=quantity, layer=layer)
    return own.sort("epoch")["value_bits"].to_list()


def test_each_attack_has_a_marker_of_its_own_in_planes_and_the_legend(run, rows, kinds):
    figure = information_flow_figure(plane_points(rows), run.performance(), "title")
    plane = figure.axes[4]
    drawn = {one.get_label(): one for one in plane.collections if one.get_label() in kinds}
    assert list(drawn) == list(kinds)
    shapes = {tuple(map(tuple, np.round(one.get_paths()[0].vertices, 6))) for one in drawn.values()}
    assert len(shapes) == len(kinds)
    assert texts(figure)[: len(kinds)] == [f"{name} examples" for name in kinds]
    for name, scatter in drawn.items():
        own = plane_points(rows).filter(examples=name, estimator="kde-kl", layer="fc1")
        assert np.asarray(scatter.get_offsets())[:, 0] == pytest.approx(own["input_drawn_bits"].to_numpy())


def test_a_plane_that_lacks_an_attack_keeps_the_markers_of_the_others(run, rows, kinds):
    first, *others = kinds[1:]
    points = plane_points(rows)
    lacking = points.filter((pl.col("examples") != first) | (pl.col("layer") != "fc1"))
    plane, whole = (
        information_flow_figure(some, run.performance(), "title").axes[4].collections for some in (lacking, points)
    )
    assert first not in {one.get_label() for one in plane}
    for name in others:
        one, other = (next(c for c in found if c.get_label() == name) for found in (plane, whole))
        assert np.array_equal(one.get_paths()[0].vertices, other.get_paths()[0].vertices)


def test_curves_over_epochs_are_drawn_attack_by_attack(rows, kinds):
    figure = trusted_figure(rows, "title")
    inputs, labels = figure.axes[2 + 1], figure.axes[4 + 1]
    for rank, name in enumerate(kinds):
        (noisy,) = [line for line in inputs.lines if line.get_label() == name]
        assert list(noisy.get_ydata()) == pytest.approx(values(rows, name, "noisy", "I(X;T)", noise="@relative"))
        (decoded,) = [line for line in labels.lines if line.get_label() == name]
        expected = np.clip(values(rows, name, "decoded", "I(T;Y)"), -0.5 * np.log2(10), None)
        assert list(decoded.get_ydata()) == pytest.approx(expected)
        assert decoded.get_marker() == examples_look(rank).marker
    moved = [line for line in labels.lines if str(line.get_label()).endswith("/transferred")]
    assert [line.get_label() for line in moved] == [f"{name}/transferred" for name in kinds[1:]]
    assert len({(line.get_color(), line.get_marker()) for line in moved}) == len(moved)
    for name in kinds[1:]:
        assert f"{name} examples, decoders refitted" in texts(figure)
        assert f"{name} examples, decoders trained on clean" in texts(figure)


def test_no_curve_of_the_comparison_joins_two_attacks(run, kinds):
    figure = comparison_figure(plane_points(in_bits(run.measurements())), "title")
    labelled = [line for axes in figure.axes for line in axes.lines if "/" in str(line.get_label())]
    assert {len(line.get_xdata()) for line in labelled} == {3}
    for name in kinds[1:]:
        assert any(line.get_label() == f"normal/{name}/transferred" for line in labelled)
        assert f"{name}, decoders trained on clean" in texts(figure)


def test_the_noise_sweep_names_every_attack(rows, kinds):
    figure = noise_sweep_figure(last_epoch(rows), "title")
    for name in kinds:
        assert f"Monte Carlo, {name}" in texts(figure)
        assert any(one.get_label() == name for one in figure.axes[0].collections)
        (line,) = [one for one in figure.axes[2].lines if one.get_label() == f"decoded/{name}"]
        assert line.get_ydata()[0] == pytest.approx(values(rows, name, "decoded", "I(T;Y)", layer="fc1")[-1])


def test_entropies_have_two_rows_for_each_kind_of_examples(rows, kinds):
    figure = class_entropy_figure(rows, "title")
    heads = [axes.get_ylabel().partition("\n")[0] for axes in figure.axes if axes.get_ylabel()]
    assert heads == [name for name in kinds for _ in range(2)]


def test_geometry_and_performance_have_a_line_for_each_attack(run, kinds):
    figure = geometry_figure(undistorted(run.geometry()), [0.1], "title")
    assert [one for one in texts(figure) if one.endswith("examples")] == [f"{name} examples" for name in kinds]
    figure = seeds_performance_figure(run.performance(), "title")
    assert [one for one in texts(figure) if one.startswith("test,")] == [f"test, {name}" for name in kinds[1:]]


def test_mistakes_are_shown_for_each_attack(run, kinds):
    predictions = [{"label": 0, "predicted": 1, "n": 3, "confidence": 0.5}]
    performance = run.performance().to_dicts()
    table = performance_table([]).vstack(
        pl.DataFrame([row | {"predictions": predictions} for row in performance], schema=performance_table([]).schema)
    )
    figure = transfer_figure(table, "title")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert [title.partition(", epoch")[0] for title in titles] == [
        f"{training} training, {attack}" for training in ("normal", "adversarial") for attack in kinds[1:]
    ]
    rows = in_bits(run.measurements()).filter(pl.col("estimator") == "decoded", pl.col("examples") != "original")
    mistaken = rows.with_columns(quantity=pl.lit("I(T;mistaken)"))
    figure = mistakes_figure(mistaken, mistaken.clear(), "title")
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == 2 * (len(kinds) - 1)
    for axes, name in zip(drawn, kinds[1:], strict=False):
        assert axes.get_title(loc="left").startswith(f"normal training, {name}: ")
        assert {len(line.get_xdata()) for line in axes.lines if "ceiling" in str(line.get_label())} == {0, len(LAYERS)}


def printed(what, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()


def test_the_summary_has_a_row_for_each_attack_and_fits_eighty_columns(run, kinds):
    text = printed(summary_table(run.measurements(), run.performance()))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    lines = [line.split() for line in text.splitlines()]
    for short in short_names(kinds).values():
        trained_on_clean = sum(line[:2] == [short, "(trained"] for line in lines)
        assert trained_on_clean == (0 if short == "orig" else 2 * len(LAYERS))
        assert sum(short in line[:2] for line in lines) - trained_on_clean == 2 * len(LAYERS)
    assert "packag is package.module:my_attack" in " ".join(text.split())


def test_short_names_differ():
    names = short_names(["original", "adversarial", "pgd-l2-10", "pgd-l2-20", "pgd-l2-50", "fgsm"])
    assert list(names.values()) == ["orig", "adv", "pgd-l2", "pgd-l3", "pgd-l4", "fgsm"]


def test_looks_of_examples_differ_and_are_none_of_transferred_ones():
    looks = [examples_look(rank) for rank in range(6)]
    assert len({look.marker for look in looks}) == len({str(look.line) for look in looks}) == 6
    moved = [transferred_look(rank) for rank in range(1, 5)]
    assert not {look.marker for look in looks} & {look.marker for look in moved}
    assert not {str(look.line) for look in looks} & {str(look.line) for look in moved}


def test_nothing_is_called_missing_where_some_attack_was_measured(run):
    assert not any("adversarial examples" in one for one in missing_parts(run.measurements(), run.performance(), {}))


def test_accuracy_under_distortions_fits_a_hundred_columns(run, kinds):
    performance = pl.concat(
        run.performance().filter(pl.col("epoch") == 10, pl.col("split") == "test").with_columns(
            distortion=pl.lit("shuffling"), level=pl.lit(level)
        )
        for level in (1.0, 4.0)
    )  # fmt: skip
    text = printed(distortion_table(performance), width=100)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    _, _, body = text.partition("─\n")
    for name in kinds:
        assert sum(name in line.split() for line in body.splitlines()) == 2


def test_the_page_has_rows_series_and_verdicts_for_each_attack(run, kinds):
    page = report_html(run.read_config(), run.measurements(), run.geometry(), run.performance(), [])
    for name in kinds:
        assert f'<th scope="row">{name}</th>' in page
    data = page_data(in_bits(run.measurements()), run.performance())
    assert data["examples"] == list(kinds)
    assert {one["examples"] for one in data["series"]} == set(kinds)
    assert json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page).group(1))
    left_out = ", ".join(name for name in kinds[2:])
    assert f"measured but not judged: {left_out} examples" in page
