"""Figure of an evaluation: accuracy against epsilon, with the attacks of the suite at the epsilon of the run."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from infoplane.records.evaluation import MEAN_PATH, Accuracy, Evaluation, NetworkEvaluation
from infoplane.report.evaluated import evaluation_of
from infoplane.report.evaluation_table import ball_text
from infoplane.report.figure import FigureSpec
from infoplane.report.recorded import Recorded
from infoplane.report.style import COLOURS, LINES, PAGE_INCHES, new_figure, plain

_CAPTION = (
    "Accuracy under PGD in balls of growing radius, with 95 % intervals (Wilson). Left: networks side by side; the "
    "dotted line is the radius of the attacks. Right: accuracy under each attack of the suite at that radius, and the "
    "worst case. The curve must reach 0 at the right end, where every image can be made grey; where it does not, or "
    "where an attack without gradients is the strongest, robustness is overstated, and the title says so."
)
_WRAPPED = 150  # characters of a line of the title

EVALUATION_FIGURE = FigureSpec[Recorded](
    kind="evaluation",
    section="evaluation",
    caption=_CAPTION,
    draw=lambda own: _of_run(own),
)
EVALUATION_ALONE = FigureSpec[Evaluation](
    kind="evaluation",
    section="evaluation",
    caption=_CAPTION,
    draw=lambda evaluation: evaluation_figure(evaluation),
)


def _of_run(own: Recorded) -> Figure | None:
    evaluation = evaluation_of(own.run)
    return None if evaluation is None else evaluation_figure(evaluation)


def evaluation_figure(evaluation: Evaluation) -> Figure:
    """Draw the accuracies of all networks; every alarm stands in the title."""
    alarms = [f"ALARM, {one.name}: {alarm.text}" for one in evaluation.networks for alarm in one.alarms]
    lines = [line for alarm in alarms for line in textwrap.wrap(alarm, _WRAPPED)]
    title = f"Accuracy against epsilon: {evaluation.subject}, {evaluation.examples} images, {ball_text(evaluation)}"
    names = max(len(one.attacks) for one in evaluation.networks) + 1
    curves = sum(len(one.paths) for one in evaluation.networks)
    height = 3.4 + 0.14 * len(lines) + 0.17 * curves
    figure = new_figure(title, PAGE_INCHES[0], height)
    for rank, line in enumerate(lines):
        figure.text(0.075, 1 - (0.36 + 0.14 * rank) / height, plain(line), va="top", color="#A00000", fontsize=7)
    top = 1 - (0.45 + 0.14 * len(lines)) / height
    bottom = ((0.75 if curves == len(evaluation.networks) else 1.0) + 0.17 * curves) / height
    curve, bars = figure.add_gridspec(
        1, 2, left=0.075, right=0.99, top=top, bottom=bottom, wspace=0.12, width_ratios=(1, 0.35 + 0.1 * names)
    ).subplots(squeeze=False, sharey=True)[0]
    for rank, network in enumerate(evaluation.networks):
        _draw_curves(curve, network, rank)
    _draw_attacks(bars, evaluation.networks)
    curve.axvline(evaluation.epsilon, color="#555555", linewidth=0.8, linestyle=(0, (1, 1.5)))
    curve.set_xscale("log")
    epsilons = sorted({point.epsilon for network in evaluation.networks for point in network.curve})
    curve.set_xticks(epsilons, [f"{epsilon:.2g}" for epsilon in epsilons])
    curve.xaxis.set_minor_locator(NullLocator())
    curve.set(xlabel="epsilon", ylabel="accuracy in %", ylim=(-2, 102))
    bars.set_xlabel("attack at the epsilon of the dotted line")
    handles, labels = curve.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.07, 0), ncol=1)
    return figure


def _look(rank: int) -> dict[str, Any]:
    return {"color": COLOURS[rank % len(COLOURS)], "linestyle": LINES[rank // len(COLOURS) % len(LINES)]}


def _draw_curves(axes: Axes, network: NetworkEvaluation, rank: int) -> None:
    """Draw a curve for each path, the mean path dashed."""
    for path in dict.fromkeys(point.path for point in network.curve):
        points = [point for point in network.curve if point.path == path]
        epsilons, look = [point.epsilon for point in points], _look(rank)
        axes.plot(
            epsilons, [100 * point.accuracy for point in points], marker="o", markersize=3,
            label=plain(", ".join(filter(None, (network.name, path)))),
            **(look | {"linestyle": "--"} if path == MEAN_PATH else look),
        )  # fmt: skip
        axes.fill_between(
            epsilons, [100 * point.low for point in points], [100 * point.high for point in points],
            color=COLOURS[rank % len(COLOURS)], alpha=0.15, linewidth=0,
        )  # fmt: skip


def _bars_of(network: NetworkEvaluation) -> dict[str, Accuracy]:
    rows = {"\n".join(filter(None, (row.attack, row.path))): row for row in network.attacks}
    return {**rows, "worst case": network.worst_case}


def _draw_attacks(axes: Axes, networks: Sequence[NetworkEvaluation]) -> None:
    names = list(dict.fromkeys(name for network in networks for name in _bars_of(network)))
    for rank, network in enumerate(networks):
        bars = _bars_of(network)
        shift = (rank - (len(networks) - 1) / 2) * 0.8 / len(networks)
        errors = [
            [100 * (row.accuracy - row.low) for row in bars.values()],
            [100 * (row.high - row.accuracy) for row in bars.values()],
        ]
        axes.errorbar(
            [names.index(name) + shift for name in bars], [100 * row.accuracy for row in bars.values()], yerr=errors,
            fmt="o", markersize=3, elinewidth=0.8, color=COLOURS[rank % len(COLOURS)],
        )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
