"""Terminal table of an evaluation: accuracy under each attack, and the alarms."""

from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infoplane.records.evaluation import (
    CLEAN,
    ONE_PATH,
    Accuracy,
    AttackedAccuracy,
    Evaluation,
    NetworkEvaluation,
)

WORST = "worst case"
_HEADS = ("attack", "sees", "accuracy", "95 % interval", "L-inf", "L2", "seconds", "passes", "gradients")


def evaluation_table(evaluation: Evaluation) -> Group:
    """Render an evaluation for `rich.console.Console.print`: for each network a table, then its alarms and notes."""
    parts: list[RenderableType] = []
    for network in evaluation.networks:
        parts.append(_network(network, evaluation))
        parts += [Text(f"ALARM: {alarm.text}", style="bold red") for alarm in network.alarms]
        parts += [Text(f"note: {note}") for note in network.notes]
        if not network.alarms:
            parts.append(Text("no alarm of gradient masking"))
    parts += [Text(f"left out: {reason}") for reason in evaluation.left_out]
    return Group(*parts)


def ball_text(evaluation: Evaluation) -> str:
    """Return the ball in words, e.g. "L-infinity ball of radius 0.3"."""
    name = "L-infinity" if evaluation.norm == "linf" else "L2"
    return f"{name} ball of radius {evaluation.epsilon:.4g}"


class Line(NamedTuple):
    """One line of the table of a network."""

    cells: list[str]  # in the order of `heads_of`
    description: str  # of the attack; empty of a worst case
    begins: bool  # whether a part of the table begins with it: another path, or the worst cases


def heads_of(network: NetworkEvaluation) -> list[str]:
    """Return the heads of the columns; a network with random parts has one more, for the path."""
    first, *rest = _HEADS
    return [first, "path", *rest] if _has_paths(network) else [first, *rest]


def lines_of(network: NetworkEvaluation) -> list[Line]:
    """Return the rows of all attacks, path by path, and then the worst cases."""
    lines = [
        Line(_with_path(_cells_of(row), row.path, network), row.description, begins=row.attack == CLEAN)
        for row in network.attacks
    ]
    worst = dict(network.worst_of_paths)
    if len(worst) > 1:
        worst["all"] = network.worst_case
    elif not worst:
        worst[network.paths[0]] = network.worst_case
    for place, (path, one) in enumerate(worst.items()):
        cells = [WORST, "", *accuracy_texts(one), *[""] * 5]
        lines.append(Line(_with_path(cells, path, network), "", begins=place == 0))
    return lines


def _has_paths(network: NetworkEvaluation) -> bool:
    return network.paths != [ONE_PATH]


def _with_path(cells: list[str], path: str, network: NetworkEvaluation) -> list[str]:
    return [cells[0], path, *cells[1:]] if _has_paths(network) else cells


def _cells_of(row: AttackedAccuracy) -> list[str]:
    if row.attack == CLEAN:
        return [row.attack, "-", *accuracy_texts(row), *["-"] * 5]
    norms = ["-" if norm is None else f"{norm:.3g}" for norm in (row.median_linf, row.median_l2)]
    if row.threat == "mean path":  # made there, where its cost is counted
        return [row.attack, row.threat, *accuracy_texts(row), *norms, *["-"] * 3]
    counts = [f"{row.seconds:.1f}", f"{row.forward:,.0f}", f"{row.gradient:,.0f}"]
    return [row.attack, row.threat, *accuracy_texts(row), *norms, *counts]


def accuracy_texts(one: Accuracy) -> list[str]:
    """Return an accuracy and its interval as texts."""
    return [f"{100 * one.accuracy:.1f} %", f"{100 * one.low:.1f} to {100 * one.high:.1f}"]


def outside_notes(network: NetworkEvaluation) -> list[str]:
    """Return a sentence for each attack that found examples outside the ball, which do not count."""
    return [
        f"{', '.join(filter(None, (row.attack, row.path)))}: {row.fooled} of {row.attacked} images have an adversarial "
        f"example, {row.outside} of these outside the ball"
        for row in network.attacks
        if row.outside
    ]


def _network(network: NetworkEvaluation, evaluation: Evaluation) -> Table:
    title = f"\n{network.name}: {evaluation.examples} images, {ball_text(evaluation)}, suite {evaluation.suite}"
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
        caption=Text("\n".join(outside_notes(network))), caption_justify="left",
    )  # fmt: skip
    for place, head in enumerate(heads_of(network)):
        table.add_column(head, justify="left" if place < (3 if _has_paths(network) else 2) else "right")
    for place, line in enumerate(lines_of(network)):
        if line.begins and place:
            table.add_section()
        table.add_row(*map(Text, line.cells))
    return table
