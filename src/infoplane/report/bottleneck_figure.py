"""Figure of `infoplane bottleneck`: accuracy under attack, and rate, against the weight of the penalty."""

import math
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.records.bottleneck import ALL_PATHS, RATE_OF_CODE, WORST_CASE
from infoplane.records.evaluation import AVERAGED_DRAWS, CLEAN, ONE_PATH
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bottleneck_table import evidence_of
from infoplane.report.figure import FigureSpec
from infoplane.report.style import COLOURS, PAGE_INCHES, new_figure

BOTTLENECK = FigureSpec[pl.DataFrame](
    kind="bottleneck",
    section="evaluation",
    caption=(
        "Accuracy without attack, under attacks along a single draw, under PGD through 20 draws, and in the worst case "
        "over all attacks, and information in the stochastic layer, against the weight of the penalty. Bars are 95 % "
        "intervals. If the bottleneck made the network robust, the lowest curve would rise; if it hid gradients, PGD "
        "along one draw would lie above PGD through 20 draws."
    ),
    draw=lambda numbers: bottleneck_figure(numbers),
)
_CURVES = {
    "without attack": (CLEAN, (AVERAGED_DRAWS, ONE_PATH)),
    "FGSM along one draw": ("fgsm-one-draw", (AVERAGED_DRAWS, ONE_PATH)),
    "PGD along one draw": ("pgd-20-one-draw", (AVERAGED_DRAWS, ONE_PATH)),
    "PGD through 20 draws": ("pgd-20", (AVERAGED_DRAWS, ONE_PATH)),
    "worst case on 20 draws": (WORST_CASE, (AVERAGED_DRAWS,)),
    "worst case on any path": (WORST_CASE, (ALL_PATHS, ONE_PATH)),
}
_INFORMATION = {RATE_OF_CODE: "rate", INPUT_INFORMATION: "I(X;T)", LABEL_INFORMATION: "I(T;Y), decoded"}


def bottleneck_figure(numbers: pl.DataFrame) -> Figure:
    """Draw a panel of accuracies for each radius, and one of information.

    Args:
        numbers: columns of `records.bottleneck.BOTTLENECK_SCHEMA`.
    """
    radii = list(numbers["epsilon"].drop_nulls().unique().sort())
    method, seeds = numbers["method"][0], numbers["seed"].n_unique()
    figure = new_figure(f"Networks trained with {method} under attack, {seeds} seeds", PAGE_INCHES[0], 3.4)
    panels = figure.subplots(1, len(radii) + 1, squeeze=False, gridspec_kw={
        "left": 0.06, "right": 0.99, "top": 0.86, "bottom": 0.26, "wspace": 0.22,
    })[0]  # fmt: skip
    for panel, epsilon in zip(panels, radii, strict=False):
        own = numbers.filter(pl.col("epsilon") == epsilon)
        for rank, (name, (attack, paths)) in enumerate(_CURVES.items()):
            rows = own.filter(pl.col("attack") == attack, pl.col("path").is_in(list(paths)))
            _draw(panel, rows, name, rank, scale=100)
        panel.set_title(f"epsilon {epsilon:g}", loc="left")
        panel.set(ylabel="accuracy in %", ylim=(-2, 102))
    for rank, (quantity, name) in enumerate(_INFORMATION.items()):
        _draw(
            panels[-1], numbers.filter(pl.col("quantity") == quantity), name, rank + len(_CURVES), scale=1 / math.log(2)
        )
    panels[-1].set_title("stochastic layer", loc="left")
    panels[-1].set_ylabel("bits")
    panels[-1].set_yscale("symlog", linthresh=1)  # a rate of hundreds of bits, and the label's 3
    smallest, largest = _smallest(numbers), max(numbers["value"].to_list())
    for panel in panels:
        panel.set_xscale("symlog", linthresh=smallest)
        panel.set(xlabel="weight of the penalty", xlim=(-smallest / 5, 1.4 * max(largest, smallest)))
    drawn = [panel.get_legend_handles_labels() for panel in (panels[0], panels[-1])]
    handles, labels = ([one for pair in drawn for one in pair[place]] for place in range(2))
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.05, 0), ncol=4)
    return figure


def _smallest(numbers: pl.DataFrame) -> float:
    positive = numbers.filter(pl.col("value") > 0)["value"]
    return float(positive.min()) if len(positive) else 1.0  # type: ignore[arg-type]


def _draw(axes: Axes, rows: pl.DataFrame, name: str, rank: int, *, scale: float) -> None:
    if rows.is_empty():
        return
    values, middles, ends = list(rows["value"].unique().sort()), [], []
    for value in values:
        evidence = evidence_of(rows.filter(pl.col("value") == value))
        low, high, _ = evidence.interval()
        middles.append(scale * evidence.value)
        ends.append((scale * (evidence.value - low), scale * (high - evidence.value)))
    look: dict[str, Any] = {"color": COLOURS[rank % len(COLOURS)], "markersize": 3, "elinewidth": 0.8}
    axes.errorbar(values, middles, yerr=list(zip(*ends, strict=True)), marker="o", label=name, **look)
