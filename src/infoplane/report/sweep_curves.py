"""Draw curves of sweeps: the mean of each estimate over draws with its interval, and the true value."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import t as student

from infoplane.records.standing import with_standing
from infoplane.records.tables import BINNING, DECODED, INPUT_INFORMATION, KDE_BD, KDE_KL, KSG, LABEL_INFORMATION, NOISY
from infoplane.report.bits import bits
from infoplane.report.labels import estimator_label
from infoplane.report.style import CEILING, COLOURS, NULL_COLOUR

LOOKS: dict[str, dict[str, Any]] = {
    KDE_KL: {"color": COLOURS[0], "linestyle": "-", "marker": "o"},
    KDE_BD: {"color": COLOURS[1], "linestyle": "--", "marker": "s"},
    NOISY: {"color": "black", "linestyle": "-.", "marker": "^"},
    BINNING: {"color": COLOURS[5], "linestyle": ":", "marker": "D"},
    DECODED: {"color": COLOURS[2], "linestyle": "-", "marker": "x"},
    KSG: {"color": COLOURS[2], "linestyle": "-", "marker": "x"},
}
_MARKER: dict[str, Any] = {"markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.8}
# The truth is a wide, pale line under the estimates; estimates that cover it are correct.
_TRUTHS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (NOISY, "truth under noise", {"color": "#B8B8B8", "linewidth": 4, "linestyle": "-", "zorder": 0.5}),
    (BINNING, "truth in bins", {"color": "#E8B78F", "linewidth": 3, "linestyle": (0, (1.5, 0.6)), "zorder": 0.6}),
    (DECODED, "truth without noise", {"color": "#9AD9C3", "linewidth": 4, "linestyle": "-", "zorder": 0.4}),
)
_COLUMNS = 18.6  # characters of 7 pt per inch
QUANTITIES = (INPUT_INFORMATION, LABEL_INFORMATION)


class Sweeps(NamedTuple):
    """Records from which the figures of study three are drawn.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.
        clouds: picture, x, y and label of the points of one draw.
    """

    measurements: pl.DataFrame
    clouds: pl.DataFrame


def averaged(measurements: pl.DataFrame) -> pl.DataFrame:
    """Average the replicates at each x of each sweep, in bits.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.

    Returns:
        sweep, estimator, kind, quantity, x; `mean_bits`, `half_bits` (half a 95 % t interval over the replicates),
        `ceiling_bits`, `null_bits`, `truth_bits`, `saturated` (in most replicates), `replicates`.
    """
    keys = ["sweep", "estimator", "kind", "quantity", "x"]
    rows = (
        with_standing(measurements)
        .group_by(keys, maintain_order=True)
        .agg(
            mean_bits=bits(pl.col("value_nats").mean()),
            spread=bits(pl.col("value_nats").std()),
            ceiling_bits=bits(pl.col("ceiling_nats").mean()),
            null_bits=bits(pl.col("null_quantile95_nats").mean()),
            truth_bits=bits(pl.col("truth_nats").mean()),
            saturated=pl.col("saturated").mean() > 0.5,
            replicates=pl.len(),
        )
    )
    halves = [
        None if spread is None else spread * float(student.ppf(0.975, number - 1)) / number**0.5
        for spread, number in rows.select("spread", "replicates").rows()
    ]
    return rows.with_columns(half_bits=pl.Series(halves, dtype=pl.Float64)).drop("spread").sort(keys)


def draw_curves(axes: Axes, rows: pl.DataFrame, *, logarithmic: bool) -> None:
    """Draw the curves of one quantity in one sweep; the axis is scaled to the estimates, and truths may leave it.

    Args:
        axes: axes to draw in.
        rows: as `averaged` returns them, of one sweep and one quantity.
        logarithmic: whether the x axis is logarithmic.
    """
    for estimator, label, look in _TRUTHS:
        known = rows.filter(pl.col("estimator") == estimator, pl.col("truth_bits").is_not_null())
        if not known.is_empty():
            axes.plot(known["x"], known["truth_bits"], label=label, **look)
    for estimator, look in LOOKS.items():
        own = rows.filter(pl.col("estimator") == estimator)
        if own.is_empty():
            continue
        low, high = own["mean_bits"] - own["half_bits"], own["mean_bits"] + own["half_bits"]
        axes.fill_between(own["x"], low, high, color=look["color"], alpha=0.15, linewidth=0)
        axes.plot(own["x"], own["mean_bits"], label=estimator, **look, **_MARKER)
    _draw_null(axes, rows)
    ceiling = rows.filter(pl.col("ceiling_bits").is_not_null()).unique("x", keep="first").sort("x")
    if not ceiling.is_empty():
        axes.plot(ceiling["x"], ceiling["ceiling_bits"], label="ceiling", **CEILING)
    if logarithmic:
        axes.set_xscale("log")
    top = float(np.nanmax(rows.select("mean_bits", "ceiling_bits").to_numpy().astype(float)))
    axes.set_ylim(-0.04 * top, 1.12 * top)


def _draw_null(axes: Axes, rows: pl.DataFrame) -> None:
    """Shade the null: that of the Monte Carlo estimate, or that of binning if there is no other."""
    for estimator in (NOISY, BINNING):
        null = rows.filter(pl.col("estimator") == estimator, pl.col("null_bits").is_not_null())
        if not null.is_empty():
            axes.fill_between(
                null["x"], 0, null["null_bits"], facecolor=NULL_COLOUR, alpha=0.35, linewidth=0, zorder=0, label="null"
            )
            return


def curve_legend(estimators: Sequence[str], *, null: bool = True, names: dict[str, str] | None = None) -> list[Any]:
    """Return handles for these estimators, their truths, the ceiling and the null."""
    handles: list[Any] = [
        Line2D([], [], label=(names or {}).get(estimator, estimator_label(estimator)), **look, **_MARKER)
        for estimator, look in LOOKS.items()
        if estimator in estimators
    ]
    handles += [Line2D([], [], label=label, **look) for estimator, label, look in _TRUTHS if estimator in estimators]
    handles.append(Line2D([], [], label="ceiling", **CEILING))
    if null:
        handles.append(Patch(facecolor=NULL_COLOUR, alpha=0.35, label="permuted labels reach this"))
    return handles


def write_caption(figure: Figure, text: str) -> None:
    """Write text below the figure; each line is a paragraph, wrapped at the figure's width."""
    width, height = figure.get_size_inches()
    lines = [
        line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, round(_COLUMNS * (width - 1)))
    ]
    figure.text(0.75 / width, 0.08 / height, "\n".join(lines), ha="left", va="bottom", fontsize=7, linespacing=1.35)
