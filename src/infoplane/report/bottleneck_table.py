"""Terminal table of `infoplane bottleneck`: accuracy and information by weight of the penalty, and the verdicts."""

import math
from collections.abc import Iterator

import numpy as np
import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infoplane.findings.bottleneck import Judged, share_evidence
from infoplane.findings.evidence import Evidence
from infoplane.findings.finding import Finding
from infoplane.records.bottleneck import ACCURACY, ALL_PATHS, AT_CHANCE, RATE_OF_CODE, WORST_CASE
from infoplane.records.evaluation import AVERAGED_DRAWS, MEAN_PATH, ONE_PATH, Evaluation
from infoplane.records.standing import NEAR_NATS
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION

_PATHS = (ONE_PATH, MEAN_PATH, AVERAGED_DRAWS, ALL_PATHS)
INFORMATION = {RATE_OF_CODE: "rate", INPUT_INFORMATION: "I(X;T), Monte Carlo", LABEL_INFORMATION: "I(T;Y), decoded"}


def bottleneck_tables(numbers: pl.DataFrame, evaluations: dict[float, Evaluation], found: Judged) -> Group:
    """Render a table for each radius, one of information, the alarms and the verdicts.

    Args:
        numbers: columns of `records.bottleneck.BOTTLENECK_SCHEMA`.
        evaluations: by radius, for their alarms.
        found: verdicts on the claims.
    """
    parts: list[RenderableType] = []
    parts += [_accuracies(numbers, epsilon) for epsilon in numbers["epsilon"].drop_nulls().unique().sort()]
    parts.append(_information(numbers))
    parts += map(Text, notes_on(numbers))
    for epsilon, evaluation in evaluations.items():
        parts += [
            Text(f"ALARM, epsilon {epsilon:g}, {one.name}: {alarm.text}", style="bold red")
            for one in evaluation.networks
            for alarm in one.alarms
        ]
        parts += [Text(f"left out, epsilon {epsilon:g}: {reason}") for reason in evaluation.left_out]
    for verdict in found.verdicts:
        parts.append(Text(f"\n{verdict.statement} {verdict.verdict}: {verdict.reason}", style="bold"))
        for one in found.findings:
            if one.claim == verdict.claim:
                parts.append(Text(f"  {one.statistic}: {percent(one)}"))
    return Group(*parts)


def rows_of(numbers: pl.DataFrame, epsilon: float) -> Iterator[tuple[str, str]]:
    """Return the path and attack of each row of a table, in the order of the suite, worst cases last on each path."""
    own = numbers.filter(pl.col("epsilon") == epsilon).select("path", "attack").unique(maintain_order=True)
    pairs = list(own.iter_rows())
    yield from sorted(pairs, key=lambda pair: (_PATHS.index(pair[0]), pair[1] == WORST_CASE))


def place_heads(numbers: pl.DataFrame) -> tuple[str, ...]:
    """Return the heads of the columns that say what a row is about: networks without noise have one path."""
    return ("path", "attack") if (numbers["path"].drop_nulls() != "").any() else ("attack",)


def evidence_of(numbers: pl.DataFrame) -> Evidence:
    """Return the mean over seeds of one quantity of one value, with its intervals.

    Of information, the recorded ends, which may allow for bias, are averaged, as if all seeds erred together.

    Args:
        numbers: rows of the seeds, of one quantity, value, path, attack and radius.
    """
    if numbers["quantity"][0] == ACCURACY:
        return share_evidence(numbers["number"].to_list(), int(numbers["n"][0]))
    low = float(numbers["low"].fill_null(-math.inf).to_numpy().mean())
    high = float(numbers["high"].fill_null(math.inf).to_numpy().mean())
    return Evidence(values=numbers["number"].to_numpy(), over_examples=lambda _alpha: (low, high))


def percent(one: Finding) -> str:
    """Return a difference of accuracies with its interval, in percentage points."""
    if one.value is None or one.low is None or one.high is None:
        return one.reason
    return f"{100 * one.value:+.1f} points [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def cells_of(numbers: pl.DataFrame, own: pl.DataFrame, scale: float, digits: int) -> list[str]:
    """Return a cell for each weight of the penalty: "at chance" if all its networks ended so, "-" without rows.

    Args:
        numbers: the whole table.
        own: its rows of one quantity, path, attack and radius.
        scale: factor of what is shown.
        digits: as in `cell_of`.
    """
    alive = set(numbers.filter(pl.col("quantity") != AT_CHANCE)["value"])
    return [
        cell_of(own.filter(pl.col("value") == value), scale, digits) if value in alive else AT_CHANCE
        for value in values_of(numbers)
    ]


def notes_on(numbers: pl.DataFrame) -> list[str]:
    """Return a line for each network that ended at chance, and one on the mark of saturated values, if there are any.

    Args:
        numbers: columns of `records.bottleneck.BOTTLENECK_SCHEMA`.
    """
    lines = [
        f"at chance and left out: {row['method']} {row['value']:g}, seed {row['seed']} "
        f"({100 * row['number']:.1f} % of {row['n']} test images are right)"
        for row in numbers.filter(pl.col("quantity") == AT_CHANCE).iter_rows(named=True)
    ]
    marked = numbers.filter("saturated")
    if not marked.is_empty():
        lines.append(
            f"saturated: near the ceiling, log2 {marked['n'][0]} = {math.log2(marked['n'][0]):.2f} bits, so a value is "
            f"about the number of images; of I(X;T), Monte Carlo, from {NEAR_NATS / math.log(2):.1f} bits below it, "
            "where it is too low"
        )
    return lines


def cell_of(numbers: pl.DataFrame, scale: float, digits: int) -> str:
    """Return the mean over seeds with its 95 % interval, marked if one seed is saturated; "-" without rows.

    Args:
        numbers: as in `evidence_of`.
        scale: factor of what is shown.
        digits: after the point, at least 1; ends of the interval have one less.
    """
    if numbers.is_empty():
        return "-"
    evidence = evidence_of(numbers)
    low, high, _ = evidence.interval()
    if numbers["quantity"][0] == ACCURACY:
        low, high = max(low, 0.0), min(high, 1.0)
    mark = " saturated" if numbers["saturated"].any() else ""
    ends = f"[{scale * low:.{digits - 1}f}, {scale * high:.{digits - 1}f}]"
    return f"{scale * evidence.value:.{digits}f} {ends}{mark}"


def _accuracies(numbers: pl.DataFrame, epsilon: float) -> Table:
    seeds = ", ".join(map(str, numbers["seed"].unique().sort()))
    own = numbers.filter(pl.col("epsilon") == epsilon)
    title = (
        f"\n{own['method'][0]}: accuracy in %, epsilon {epsilon:g}, {own['n'][0]} images, mean of seeds {seeds} [95 %]"
    )
    heads = place_heads(numbers)
    table, before = _table(title, numbers, heads), None
    for path, attack in rows_of(numbers, epsilon):
        if before not in (None, path):
            table.add_section()
        before = path
        of_row = own.filter(pl.col("path") == path, pl.col("attack") == attack)
        cells = cells_of(numbers, of_row, 100, 1)
        table.add_row(*map(Text, [*(path, attack)[-len(heads) :], *cells]))
    return table


def _information(numbers: pl.DataFrame) -> Table:
    table = _table("\ninformation in the layer, in bits, mean over seeds [95 %]", numbers, ("quantity", "about"))
    for quantity, name in INFORMATION.items():
        own = numbers.filter(pl.col("quantity") == quantity)
        if own.is_empty():
            continue
        about = "mean and noise" if quantity != LABEL_INFORMATION else "mean"
        cells = cells_of(numbers, own, 1 / math.log(2), 2)
        table.add_row(*map(Text, [name, about, *cells]))
    return table


def values_of(numbers: pl.DataFrame) -> list[float]:
    """Return the weights of the penalty, ascending."""
    return list(np.sort(numbers["value"].unique().to_numpy()))


def _table(title: str, numbers: pl.DataFrame, heads: tuple[str, ...]) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
        pad_edge=False,
    )  # fmt: skip
    for head in heads:
        table.add_column(head)
    for value in values_of(numbers):
        table.add_column(f"{value:g}", justify="right")
    return table
