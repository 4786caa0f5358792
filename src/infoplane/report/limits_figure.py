"""Figure that shows why I(X;T) needs noise: a discrete and a continuous layer as the noise vanishes."""

import math
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.records.sweeps import CLOSED_FORM, CONTINUOUS_LIMIT, DISCRETE_LIMIT, LAYER_ENTROPY, NOISE_ENTROPY
from infoplane.records.tables import INPUT_INFORMATION, KSG, NOISY
from infoplane.report.bits import bits
from infoplane.report.figure import FigureSpec
from infoplane.report.style import COLOURS, PAGE_INCHES, log_axis, new_figure
from infoplane.report.sweep_curves import averaged, curve_legend, draw_curves, write_caption

_BOX: dict[str, Any] = {"color": "#222222", "linewidth": 0.9, "linestyle": (0, (6, 1.5))}
_CAPTION = (
    "X is uniform on [0, 1]; noise or bin of width b around f(X): a box (KSG, from pairs of X and T), Gaussian noise "
    "of the box's variance (KDE, Monte Carlo), or bins (binning). Wide and pale: the truth for each.\n"
    "Left: as the noise vanishes, I(X;T) of a layer with eight values ends at H(T), and so do the estimates. "
    "Middle: I(X;T) of a continuous layer grows with every halving of b, without limit; the "
    "estimates end at log N or below, where they depend on the sample alone.\n"
    "Right: the reason. h(T) stays, h(T|X) = log b falls without limit, and "
    "I(X;T) is their difference. A network without noise has b = 0."
)

LIMITS = FigureSpec[pl.DataFrame](
    kind="limits",
    caption=(
        "Study three: I(X;T) against the width of the noise, for a layer of eight values and for a continuous one, and "
        "the entropies of the latter. As the noise vanishes, I(X;T) of the first ends at H(T), and that of the second "
        "grows without end while its estimates stop at log N or below."
    ),
    draw=lambda measurements: limits_figure(measurements),
)


def limits_figure(measurements: pl.DataFrame) -> Figure:
    """Draw I(X;T) against the width of the noise: a discrete layer, a continuous one, and the entropies of the latter.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`, as the study of the limits fills them.
    """
    width, height = PAGE_INCHES[0], 4.6
    figure = new_figure("Why noise is needed: I(X;T) as the noise vanishes", width, height)
    edges = {"left": 0.75 / width, "right": 0.99, "top": 1 - 0.55 / height, "bottom": 1.8 / height}
    discrete, continuous, entropies = figure.add_gridspec(1, 3, wspace=0.2, **edges).subplots(squeeze=False)[0]
    measured = averaged(measurements.filter(pl.col("estimator") != CLOSED_FORM))
    exact = measurements.filter(pl.col("estimator") == CLOSED_FORM).with_columns(exact_bits=bits(pl.col("value_nats")))
    for axes, sweep, name in (
        (discrete, DISCRETE_LIMIT, "Eight values: I(X;T) ends at H(T)"),
        (continuous, CONTINUOUS_LIMIT, "Continuous: I(X;T) has no end"),
    ):
        draw_curves(axes, measured.filter(pl.col("sweep") == sweep), logarithmic=True)
        curve = exact.filter(sweep=sweep, quantity=INPUT_INFORMATION).sort("x")
        axes.plot(curve["x"], curve["exact_bits"], label=CLOSED_FORM, zorder=0.7, **_BOX)
        axes.set_title(name, loc="left", fontweight="bold")
        axes.set_ylabel("I(X;T), bits")
        top = curve["exact_bits"].max()
        axes.set_ylim(-0.06 * top, 1.15 * top)  # type: ignore[operator]
    _draw_entropies(entropies, exact.filter(sweep=CONTINUOUS_LIMIT))
    for axes in (discrete, continuous, entropies):
        log_axis(axes.xaxis)
        axes.set_xlabel("width b of noise or bin")
    samples = measurements.filter(pl.col("estimator") == NOISY)["samples"][0]
    continuous.annotate(
        f"log N, N = {samples:,}", (0.98, math.log2(samples)), xycoords=("axes fraction", "data"), ha="right",
        va="bottom", color="#555555",
    )  # fmt: skip
    handles = curve_legend(measured["estimator"].unique().to_list(), null=False, names={KSG: "KSG"})
    handles.append(Line2D([], [], label="closed form, box", **_BOX))
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.95 / height), ncol=5, columnspacing=1.6)
    write_caption(figure, _CAPTION)
    return figure


def _draw_entropies(axes: Axes, exact: pl.DataFrame) -> None:
    for (quantity, name), look in zip(
        ((LAYER_ENTROPY, "h(T)"), (NOISE_ENTROPY, "h(T|X) = log b"), (INPUT_INFORMATION, "I(X;T) = h(T) - h(T|X)")),
        ({"color": COLOURS[1], "linestyle": "--"}, {"color": COLOURS[0], "linestyle": ":"}, _BOX),
        strict=True,
    ):
        curve = exact.filter(quantity=quantity).sort("x")
        axes.plot(curve["x"], curve["exact_bits"], label=name, **look)
    axes.axhline(0, color="#999999", linewidth=0.5)
    axes.set_xscale("log")
    axes.set_title("Why: entropies in the box", loc="left", fontweight="bold")
    axes.set_ylabel("bits")
    axes.legend(loc="upper right")
