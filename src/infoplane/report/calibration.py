"""The table of `infoplane calibrate`: estimators against known truths, for the terminal and as Markdown."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

# What an interval can be held to depends on what the number is.
_HOLDING = {"estimate": "covers", "lower": "below", "upper": "above"}
_LEGEND = {
    "error": "value - truth, mean over the replicates: fresh draws of the task, the same for every estimator",
    "spread": "standard deviation of the value over the replicates",
    "stated": "standard error by the estimator's own account, mean; an honest one is like the spread",
    "95 %": "the stated interval: in how many replicates it covers the truth, or, of a lower bound, starts below it, "
    "of an upper one, ends above it; a bound can be right and far away",
    "n": "replicates",
    "flag": "replicates above 0.95 of the estimator's ceiling, where it ran out of samples or labels; of noisy also "
    "those that it calls biased itself",
    "null": "replicates no higher than permuted labels get (95 % quantile), which say nothing about the labels",
    "s": "seconds of processor time for one fit on one thread, median",
}
_NOTES = (
    "KDE bounds and the Monte Carlo value between them (noisy) are of the mixture of the samples at hand. That stands "
    "for the distribution, which the truth is of, only well below the log of the number of samples: nearer to it even "
    "an upper bound ends below the truth. I(T;Y) by one kind of bound (Bhattacharyya, Kullback-Leibler) is a "
    "difference of bounds, so an estimate.",
    "For plain I(T;Y), KDE and noisy add noise of their own and binning rounds. What is left after that is their "
    "target, and no more than the truth.",
    "Intervals state the sampling error, not the bias. A decoder's is of the decoder's own value, a lower bound.",
)


def calibration_table(cells: pl.DataFrame, notice: str = "") -> Group:
    """Render the cells for `rich.console.Console.print`; fits 120 columns.

    Args:
        cells: columns of the study's `CALIBRATION_SCHEMA`.
        notice: what a reader must know first, say that these are quick ones.
    """
    parts: list[Table | Text] = [Text(notice)] if notice else []
    for (question,), of_question in cells.group_by("question", maintain_order=True):
        table = Table(
            title=f"\n{question}, {_sample_sizes(of_question)}, in nats", title_justify="left", title_style="bold",
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
        )  # fmt: skip
        table.add_column("estimator", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        for name in _LEGEND:
            table.add_column(name, justify="right", no_wrap=True)
        for (task,), of_task in of_question.group_by("task", maintain_order=True):
            table.add_row(Text(f"{task}: {of_task['truth_nats'][0]:.4f}", style="bold"))
            for row in of_task.to_dicts():
                estimator, *texts = _texts(row)
                style = "yellow" if row["null_like"] or row["flagged"] else ""
                table.add_row(Text(f"  {estimator}"), *map(Text, texts), style=style)
        parts.append(table)
    legend = "\n".join(f"{name}: {meaning}." for name, meaning in _LEGEND.items())
    return Group(*parts, Text(f"\n{legend}", style="dim"))


def calibration_page(cells: pl.DataFrame, facts: Mapping[str, str], notice: str = "") -> str:
    """Render the cells as a page of Markdown.

    Args:
        cells: columns of the study's `CALIBRATION_SCHEMA`.
        facts: what the page begins with: command, date, machine, versions.
        notice: as in `calibration_table`.
    """
    lines = ["# Estimators against known truths", ""]
    lines += [notice, ""] if notice else []
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {_escaped(fact)} |" for name, fact in facts.items()]
    lines += ["", "All information is in nats.", ""]
    lines += [f"- **{name}**: {meaning}." for name, meaning in _LEGEND.items()]
    lines += ["", *(f"{note}\n" for note in _NOTES)]
    for (question,), of_question in cells.group_by("question", maintain_order=True):
        lines += [f"## {question}, {_sample_sizes(of_question)}", ""]
        columns = ["task", "truth", "estimator", "kind", *_LEGEND]
        lines += [_line(columns), "|---|--:|---|---|" + "--:|" * len(_LEGEND)]
        for _, of_task in of_question.group_by("task", maintain_order=True):
            for number, row in enumerate(of_task.to_dicts()):
                task = [row["task"], f"{row['truth_nats']:.4f}"] if number == 0 else ["", ""]
                lines.append(_line([*task, *_texts(row)]))
        lines.append("")
    lines += ["## Where the truths come from", "", "| task | truth |", "|---|---|"]
    sources = cells.unique("task", maintain_order=True)
    lines += [_line(pair) for pair in sources.select("task", "truth_source").rows()]
    lines += ["", "## Settings", "", "| fit | estimators | settings |", "|---|---|---|"]
    for (fit, settings), of_fit in cells.group_by("fit", "settings", maintain_order=True):
        names = of_fit["estimator"].unique(maintain_order=True)
        lines.append(_line([str(fit), "; ".join(names), str(settings)]))
    return "\n".join(lines) + "\n"


def _sample_sizes(cells: pl.DataFrame) -> str:
    return "N = " + ", ".join(f"{samples:,}" for samples in cells["samples"].unique().sort())


def _texts(row: Mapping[str, Any]) -> list[str]:
    """Estimator, kind, and a text under each name of the legend."""
    replicates = row["replicates"]

    def share(count: int | None, word: str = "") -> str:
        return "-" if count is None else f"{word}{count}/{replicates}"

    return [
        row["estimator"],
        row["kind"],
        f"{row['mean_error_nats']:+.3f}",
        f"{row['spread_nats']:.3f}",
        "-" if row["stated_error_nats"] is None else f"{row['stated_error_nats']:.3f}",
        share(row["intervals_holding"], f"{_HOLDING[row['kind']]} "),
        str(replicates),
        share(row["flagged"]),
        share(row["null_like"]),
        f"{row['seconds']:.2g}" if row["seconds"] < 100 else f"{row['seconds']:.0f}",
    ]


def _line(texts: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(_escaped(text) for text in texts) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
