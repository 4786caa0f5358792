import math

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import ttest_1samp

from infoplane.records.sweeps import (
    BINS,
    CLOSED_FORM,
    CONTINUOUS_LIMIT,
    DIMENSION,
    DIMENSION_FIXED,
    DISCRETE_LIMIT,
    LAYER_ENTROPY,
    NOISE,
    NOISE_ENTROPY,
    PICTURES,
    PURITY,
    SAMPLES,
    SAMPLES_APART,
    SPREAD,
    TIGHTNESS,
    SweepMeasurement,
    sweep_table,
)
from infoplane.records.tables import BINNING, DECODED, INPUT_INFORMATION, KDE_BD, KDE_KL, KSG, LABEL_INFORMATION, NOISY
from infoplane.report.clouds_figure import clouds_figure
from infoplane.report.geometry_sweeps import artefact_sweep_figure, geometry_sweep_figure
from infoplane.report.limits_figure import limits_figure
from infoplane.report.sweep_curves import LOOKS, averaged
from infoplane.report.sweep_tables import limits_table, trend_table
from infoplane.studies.sweeps.trends import trends

GEOMETRY = (SPREAD, TIGHTNESS, PURITY, NOISE, BINS)
ARTEFACTS = (SAMPLES, SAMPLES_APART, DIMENSION, DIMENSION_FIXED)
XS = (1.0, 4.0, 16.0)
RANK = {KDE_KL: 1.3, KDE_BD: 1.1, NOISY: 1.2, BINNING: 1.4, DECODED: 1.05, KSG: 1.0}


def value(x, replicate, estimator, quantity):
    """Numbers that differ in everything that a figure could mix up, in nats."""
    scale = 1.0 if quantity == INPUT_INFORMATION else 0.2
    return scale * RANK[estimator] * (1 + 0.5 * math.log(x)) + 0.01 * (replicate - 0.5)


def rows_of(sweep, estimators, quantities=(INPUT_INFORMATION, LABEL_INFORMATION), xs=XS, **settings):
    for x in xs:
        for replicate in range(2):
            for estimator in estimators:
                for quantity in quantities:
                    if estimator == DECODED and quantity == INPUT_INFORMATION:
                        continue
                    found = value(x, replicate, estimator, quantity) if x > 0 else 0.1 * replicate
                    yield SweepMeasurement(
                        sweep=sweep, x=x, replicate=replicate, estimator=estimator, kind="estimate",
                        quantity=quantity, value_nats=found, standard_error=0.1, samples=1000, features=2, classes=4,
                        ceiling_nats=6.9 if quantity == INPUT_INFORMATION else 1.4,
                        null_quantile95_nats=0.07 if quantity == LABEL_INFORMATION and estimator != DECODED else None,
                        truth_nats=found + 0.3, saturated=x == XS[-1] and estimator == KDE_KL,
                        noise_variance=0.1 if estimator in (NOISY, KDE_KL, KDE_BD) else None,
                        bin_width=0.5 if estimator == BINNING else None, **settings,
                    )  # fmt: skip


@pytest.fixture(scope="module")
def sweeps():
    estimators = [name for name in RANK if name != KSG]
    rows = [row for sweep in (*GEOMETRY, *ARTEFACTS) if sweep != BINS for row in rows_of(sweep, estimators)]
    rows += rows_of(BINS, [BINNING])
    for place, (spread, tightness) in enumerate([(1.0, 0.1), (1.0, 0.9), (4.0, 0.1), (4.0, 0.9)]):
        rows += rows_of(PICTURES, estimators, xs=(float(place),), spread=spread, tightness=tightness)
    return sweep_table(rows)


@pytest.fixture(scope="module")
def limits():
    rows = [
        row
        for sweep in (DISCRETE_LIMIT, CONTINUOUS_LIMIT)
        for row in rows_of(sweep, [KDE_KL, KDE_BD, NOISY, BINNING, KSG], (INPUT_INFORMATION,))
    ]
    for x in XS:
        for sweep, quantity in (
            (DISCRETE_LIMIT, INPUT_INFORMATION), (CONTINUOUS_LIMIT, INPUT_INFORMATION),
            (CONTINUOUS_LIMIT, LAYER_ENTROPY), (CONTINUOUS_LIMIT, NOISE_ENTROPY),
        ):  # fmt: skip
            number = x * len(quantity)
            rows.append(
                SweepMeasurement(
                    sweep=sweep,
                    x=x,
                    replicate=0,
                    estimator=CLOSED_FORM,
                    kind="estimate",
                    quantity=quantity,
                    value_nats=number,
                    truth_nats=number,
                    samples=1000,
                    features=1,
                    classes=1,
                )
            )
    return sweep_table(rows)


def curve_of(axes, estimator):
    (line,) = [line for line in axes.lines if line.get_label() == estimator]
    return line


def expected_bits(estimator, quantity, xs=XS):
    return [np.mean([value(x, r, estimator, quantity) for r in range(2)]) / math.log(2) for x in xs]


def test_averages_are_means_in_bits_with_t_intervals(sweeps):
    row = averaged(sweeps).row(
        by_predicate=(pl.col("sweep") == SPREAD)
        & (pl.col("estimator") == NOISY)
        & (pl.col("quantity") == INPUT_INFORMATION)
        & (pl.col("x") == 4.0),
        named=True,
    )
    draws = [value(4.0, replicate, NOISY, INPUT_INFORMATION) / math.log(2) for replicate in range(2)]
    interval = ttest_1samp(draws, 0).confidence_interval(0.95)
    assert (row["mean_bits"] - row["half_bits"], row["mean_bits"] + row["half_bits"]) == pytest.approx(tuple(interval))
    assert row["truth_bits"] == pytest.approx(row["mean_bits"] + 0.3 / math.log(2))
    assert row["ceiling_bits"] == pytest.approx(6.9 / math.log(2))


@pytest.mark.parametrize(
    ("draw", "names"), [(geometry_sweep_figure, GEOMETRY), (artefact_sweep_figure, ARTEFACTS)], ids=["geometry", "n"]
)
def test_each_sweep_has_a_column_with_both_informations(sweeps, draw, names):
    figure = draw(sweeps)
    for column, sweep in enumerate(names):
        for row, quantity in enumerate((INPUT_INFORMATION, LABEL_INFORMATION)):
            axes = figure.axes[row * len(names) + column]
            for estimator in sweeps.filter(sweep=sweep, quantity=quantity)["estimator"].unique():
                line = curve_of(axes, estimator)
                assert list(line.get_xdata()) == list(XS)
                assert line.get_ydata() == pytest.approx(expected_bits(estimator, quantity))
                assert line.get_linestyle() == LOOKS[estimator]["linestyle"]
            assert axes.get_xscale() == ("linear" if sweep in (TIGHTNESS, PURITY) else "log")
            truth = curve_of(axes, "truth in bins")
            assert truth.get_ydata() == pytest.approx(np.array(expected_bits(BINNING, quantity)) + 0.3 / math.log(2))


def test_estimators_differ_in_more_than_colour():
    looks = [(look["linestyle"], look["marker"]) for name, look in LOOKS.items() if name != KSG]
    assert len(set(looks)) == len(looks)


def test_only_label_information_has_a_null(sweeps):
    figure = geometry_sweep_figure(sweeps)
    has_null = [any(c.get_label() == "null" for c in axes.collections) for axes in figure.axes]
    assert has_null == [False] * 5 + [True] * 5


def test_a_truth_beyond_the_ceiling_does_not_stretch_the_axis(sweeps):
    beyond = sweeps.with_columns(truth_nats=pl.lit(500.0))
    assert artefact_sweep_figure(beyond).axes[0].get_ylim()[1] == pytest.approx(1.12 * 6.9 / math.log(2))


def test_the_four_clouds_carry_their_values_and_scales(sweeps):
    generator = np.random.default_rng(0)
    clouds = pl.DataFrame(
        {"picture": picture, "x": x, "y": y, "label": label}
        for picture in range(4)
        for label in range(4)
        for x, y in generator.normal(size=(5, 2)).tolist()
    )
    figure = clouds_figure(sweeps, clouds)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"{size} spread, {how} classes" for size in ("small", "large") for how in ("mixed", "tight")]
    for picture, axes in enumerate(figure.axes):
        texts = [text.get_text() for text in axes.texts]
        for estimator in (KDE_KL, KDE_BD, BINNING, NOISY):
            # the value at x = 0 is 0.1 nats in the second of two replicates and 0 in the first
            bits = expected_bits(estimator, INPUT_INFORMATION, (picture,))[0] if picture else 0.05 / math.log(2)
            assert f"{bits:.2f}" in texts
        drawn = np.concatenate([line.get_xydata() for line in axes.lines if str(line.get_label()).startswith("class")])
        points = clouds.filter(picture=picture).select("x", "y").to_numpy()
        assert drawn == pytest.approx(points)
        ring, square = axes.patches
        assert ring.radius == pytest.approx(2 * math.sqrt(0.1))
        assert (square.get_width(), square.get_height()) == (0.5, 0.5)
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_a_saturated_value_is_starred(sweeps):
    clouds = pl.DataFrame({"picture": [0, 1, 2, 3], "x": [1.0] * 4, "y": [1.0] * 4, "label": [0] * 4})
    starred = sweeps.with_columns(saturated=pl.col("estimator") == BINNING)
    texts = [text.get_text() for text in clouds_figure(starred, clouds).axes[1].texts]
    (bits,) = expected_bits(BINNING, LABEL_INFORMATION, (1.0,))
    assert f"{bits:.2f}*" in texts
    assert sum(text.endswith("*") for text in texts) == 2


def test_limits_draw_estimates_closed_forms_and_entropies(limits):
    discrete, continuous, entropies = limits_figure(limits).axes
    for axes in (discrete, continuous):
        for estimator in (KDE_KL, KDE_BD, NOISY, BINNING, KSG):
            assert curve_of(axes, estimator).get_ydata() == pytest.approx(expected_bits(estimator, INPUT_INFORMATION))
        exact = [x * len(INPUT_INFORMATION) / math.log(2) for x in XS]
        assert curve_of(axes, CLOSED_FORM).get_ydata() == pytest.approx(exact)
    assert any("log N, N = 1,000" in text.get_text() for text in continuous.texts)
    for label, quantity in (("h(T)", LAYER_ENTROPY), ("h(T|X) = log b", NOISE_ENTROPY)):
        exact = [x * len(quantity) / math.log(2) for x in XS]
        assert curve_of(entropies, label).get_ydata() == pytest.approx(exact)


def printed(table):
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def test_the_table_says_which_way_each_estimate_goes(sweeps):
    rising = sweeps.filter(sweep=SPREAD).with_columns(
        value_nats=pl.when(pl.col("quantity") == LABEL_INFORMATION).then(1.0).otherwise(pl.col("value_nats"))
    )
    lines = printed(trend_table(trends(rising)))
    (line,) = [line for line in lines if line.startswith("Monte Carlo")]
    first, last = expected_bits(NOISY, INPUT_INFORMATION)[0], expected_bits(NOISY, INPUT_INFORMATION)[-1]
    assert f"{first:.2f} -> {last:.2f}" in line
    assert line.split()[-1] == "level"
    (line,) = [line for line in lines if line.startswith("KDE (KL)")]
    assert "33%" in line
    assert max(map(len, lines)) <= 120


def test_the_table_of_limits_gives_value_and_truth_at_three_widths(limits):
    lines = printed(limits_table(limits))
    assert f"log N = {math.log2(1000):.2f}" in lines[0]
    noisy = [line for line in lines if line.strip().startswith("Monte Carlo")]
    bits = expected_bits(NOISY, INPUT_INFORMATION)
    assert len(noisy) == 2
    for shown in (bits[0], bits[1]):
        assert all(f"{shown:.2f}  ({shown + 0.3 / math.log(2):.2f})" in line for line in noisy)
