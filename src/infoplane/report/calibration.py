"""Tables of `infoplane calibrate`, for the terminal and as Markdown: estimates compared with known information."""

from collections.abc import Mapping
from textwrap import TextWrapper
from typing import Any

import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

# When an interval is correct depends on the kind of the number.
_HOLDING = {"estimate": "covers", "lower": "below", "upper": "above"}
_LEGEND = {
    "error": "value minus true value, mean over the replicates. Replicates are fresh draws of the task, the same for "
    "every estimator",
    "spread": "standard deviation of the value over the replicates",
    "stated": "mean of the standard errors that the estimator states. A correct standard error is similar to the "
    "spread",
    "95 %": "number of replicates with a correct 95 % interval. The interval of an estimate is correct if it covers "
    "the true value, that of a lower bound if it starts below the true value, and that of an upper bound if it ends "
    "above. A correct bound can be far from the true value",
    "n": "number of replicates",
    "flag": "number of replicates above 0.95 of the ceiling of the estimator, which had too few samples or labels. For "
    "noisy and decoders, replicates that they mark as undersampled count too",
    "null": "number of replicates that do not exceed the 95 % quantile of permuted labels. They are no evidence of "
    "information about the labels",
    "s": "median processor time in seconds for one fit on one thread",
}
_NOTES = (
    "The bounds of KDE, and the Monte Carlo estimate between them (noisy), are those of the mixture of the measured "
    "samples. The true value is that of the distribution. The mixture represents the distribution only if the value is "
    "well below the log of the number of samples. Nearer to it, even an upper bound ends below the true value. I(T;Y) "
    "by one kind of bound (Bhattacharyya, Kullback-Leibler) is a difference of bounds, and so an estimate.",
    "For I(T;Y) without noise, KDE and noisy add noise of their own, and binning rounds. They estimate the information "
    "that is left after that, which is at most the true value.",
    "Intervals cover the sampling error and not the bias. The interval of a decoder is that of its own value, a lower "
    "bound.",
)
_PROSE = TextWrapper(width=100, break_on_hyphens=False)
_ITEM = TextWrapper(width=100, subsequent_indent="  ", break_on_hyphens=False)


def calibration_table(cells: pl.DataFrame, notice: str = "") -> Group:
    """Render the cells for `rich.console.Console.print`; fits 120 columns.

    Args:
        cells: columns of the study's `CALIBRATION_SCHEMA`.
        notice: shown first, for instance that this is a quick run.
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
        facts: shown at the top of the page: command, date, machine, versions.
        notice: as in `calibration_table`.
    """
    lines = ["# Estimators on data with known information", ""]
    lines += [_PROSE.fill(notice), ""] if notice else []
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {_escaped(fact)} |" for name, fact in facts.items()]
    lines += ["", "All information is in nats.", ""]
    lines += [_ITEM.fill(f"- **{name}**: {text}.") for name, text in _LEGEND.items()]
    lines += ["", *(f"{_PROSE.fill(note)}\n" for note in _NOTES)]
    for (question,), of_question in cells.group_by("question", maintain_order=True):
        lines += [f"## {question}, {_sample_sizes(of_question)}", ""]
        columns = ["task", "truth", "estimator", "kind", *_LEGEND]
        lines += [_line(columns), "|---|--:|---|---|" + "--:|" * len(_LEGEND)]
        for _, of_task in of_question.group_by("task", maintain_order=True):
            for number, row in enumerate(of_task.to_dicts()):
                task = [row["task"], f"{row['truth_nats']:.4f}"] if number == 0 else ["", ""]
                lines.append(_line([*task, *_texts(row)]))
        lines.append("")
    lines += ["## Source of each true value", "", "| task | truth |", "|---|---|"]
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
    """Return estimator, kind, and the text of each column of the legend."""
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
