"""Figures of study three: estimates against the geometry, the number and the dimension of points."""

import polars as pl
from matplotlib.figure import Figure

from infoplane.records.sweeps import (
    BINS,
    DIMENSION,
    DIMENSION_FIXED,
    NOISE,
    PURITY,
    SAMPLES,
    SAMPLES_APART,
    SPREAD,
    TIGHTNESS,
)
from infoplane.report.figure import FigureSpec
from infoplane.report.style import PAGE_INCHES, log_axis, new_figure
from infoplane.report.sweep_curves import QUANTITIES, Sweeps, averaged, curve_legend, draw_curves, write_caption

_GEOMETRY = {
    SPREAD: ("Overall spread", "standard deviation\nper coordinate"),
    TIGHTNESS: ("Tightness, equal spread", "share of variance\nbetween classes"),
    PURITY: ("Purity, equal points", "share of labels that\ngive the cluster"),
    NOISE: ("Noise", "noise variance"),
    BINS: ("Bins", "bin width"),
}
_ARTEFACTS = {
    SAMPLES: ("Number, points close", "N"),
    SAMPLES_APART: ("Number, points far apart", "N"),
    DIMENSION: ("Dimension, labelled", "units"),
    DIMENSION_FIXED: ("Dimension, fixed capacity", "units"),
}
_LINEAR = (TIGHTNESS, PURITY)

GEOMETRY_SWEEPS = FigureSpec[Sweeps](
    kind="geometry-sweeps",
    caption=(
        "Study three: estimates of synthetic clouds whose information is known, against the spread of all points, the "
        "tightness of classes at equal spread, the noise and the width of bins. Only the geometry changes, and the "
        "estimates follow it."
    ),
    draw=lambda sweeps: geometry_sweep_figure(sweeps.measurements),
)

ARTEFACT_SWEEPS = FigureSpec[Sweeps](
    kind="artefact-sweeps",
    caption=(
        "Study three: the same estimates against the number of samples and of dimensions, with the true values. Where "
        "an estimate changes and the truth does not, the estimate is wrong."
    ),
    draw=lambda sweeps: artefact_sweep_figure(sweeps.measurements),
)


def geometry_sweep_figure(measurements: pl.DataFrame) -> Figure:
    """Draw how the estimates of one cloud of points depend on spread, tightness, purity, noise and bins.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.
    """
    return _sweeps(
        measurements,
        _GEOMETRY,
        "Estimates follow the geometry of labelled clouds in the plane",
        "Scaling a cloud does not change what a decoder can use (left, flat), yet every other estimate rises from "
        "near 0 to its ceiling: these estimates measure distances in units of noise or bin.\n"
        "Tightness at equal spread (equal total variance): I(T;Y) rises and I(X;T) falls, because the points form "
        "denser clusters. Purity changes the labels only: the points, and so I(X;T), do not change.\n"
        "Where the true information keeps growing, its curve leaves the panel. With small bins or little noise I(T;Y) "
        "is near H(Y) for any labels, and so says nothing about them. Bands: 95 % "
        "over draws, often narrower than the line. Permuted labels: those of the Monte Carlo estimate, of "
        "binning where bins vary.",
    )


def artefact_sweep_figure(measurements: pl.DataFrame) -> Figure:
    """Draw how the estimates depend on the number of points and of units.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.
    """
    return _sweeps(
        measurements,
        _ARTEFACTS,
        "What is not geometry: the number of points and of units",
        "Left: points are close together; with more points, all estimates but the bounds approach the truth. Second: "
        "each point is alone in its noise; I(X;T) is log N, although the truth does not depend on N.\n"
        "Third: units of noise around ten classes do not change the true I(T;Y). The estimates memorise, as permuted "
        "labels show, and decoders find less because they have too few examples.\n"
        "Right: a Gaussian channel with the same information in any dimension, and labels independent of it. KL and BD "
        "come to differ by a factor of four, and binning is at log N from the start.",
    )


def _sweeps(measurements: pl.DataFrame, sweeps: dict[str, tuple[str, str]], title: str, caption: str) -> Figure:
    rows = averaged(measurements.filter(pl.col("sweep").is_in(list(sweeps))))
    width, height = PAGE_INCHES[0], 6.1
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 0.99, "top": 1 - 0.55 / height, "bottom": 1.85 / height}
    axes = figure.add_gridspec(2, len(sweeps), hspace=0.12, wspace=0.22, **edges).subplots(squeeze=False)
    for column, (sweep, (name, x_label)) in enumerate(sweeps.items()):
        for row, quantity in enumerate(QUANTITIES):
            own = rows.filter(pl.col("sweep") == sweep, pl.col("quantity") == quantity)
            draw_curves(axes[row, column], own, logarithmic=sweep not in _LINEAR)
            if sweep not in _LINEAR:
                log_axis(axes[row, column].xaxis)
        axes[0, column].set_title(name, loc="left", fontweight="bold")
        axes[0, column].tick_params(labelbottom=False)
        axes[1, column].set_xlabel(x_label)
    for row, quantity in enumerate(QUANTITIES):
        axes[row, 0].set_ylabel(f"{quantity}, bits")
    handles = curve_legend(rows["estimator"].unique().to_list())
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.85 / height), ncol=5, columnspacing=1.6)
    write_caption(figure, caption)
    return figure
